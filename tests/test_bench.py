"""What the bench says of its figures."""

from __future__ import annotations

import pytest

from tests.bench.rounds import in_turn
from tests.bench.table import OURS, Bar, Row, Verdict, as_markdown


def row(ours: list[float], peer: list[float], limit: list[float] | None = None) -> Row:
    figures = {OURS: ours, "a | b": peer} | ({"bare": limit} if limit else {})
    return Row("x", "what it is", "s", figures, Bar(1.0, "a | b"), limits=("bare",) if limit else ())


@pytest.mark.parametrize(
    ("ours", "limit", "verdict"),
    [
        ([0.9, 0.91, 0.92], None, Verdict.REACHED),
        ([1.0, 1.01, 0.99], None, Verdict.AT_THE_BAR),
        ([0.8, 1.0, 1.2], None, Verdict.NOISY),
        ([1.2, 1.21, 1.22], None, Verdict.MISSED),
        ([1.2, 1.21, 1.22], [0.8, 0.8, 0.8], Verdict.MISSED),
        ([1.2, 1.21, 1.22], [1.1, 1.1, 1.1], Verdict.BEYOND),
        ([0.9, 0.91, 0.92], [1.1, 1.1, 1.1], Verdict.REACHED),
    ],
)
def test_a_missed_bar_is_told_from_one_that_the_limit_misses_too(
    ours: list[float], limit: list[float] | None, verdict: Verdict
) -> None:
    assert row(ours, [1.0, 1.0, 1.0], limit).verdict is verdict


def test_a_peer_that_fails_in_a_later_round_keeps_its_figures_and_we_do_not() -> None:
    rounds = {"peer": iter([1.0]), OURS: iter([2.0, 2.0])}
    measured = in_turn({who: values.__next__ for who, values in rounds.items()}, 2)
    row = measured.row("x", "", "s", Bar(3.0, "peer"))
    assert row.judged() == [2.0, 2.0] and row.verdict is Verdict.REACHED and "peer" in row.lost
    failing = in_turn({OURS: iter([2.0]).__next__, "peer": lambda: 1.0}, 2).row(
        "x", "", "s", Bar(3.0, "peer")
    )
    assert failing.verdict is Verdict.FAILED


def test_slowness_of_the_machine_excuses_a_time_and_no_ratio() -> None:
    figures = {OURS: [0.011, 0.012]}
    shaken = Row("x", "", "s", figures, Bar(0.010), shaken=1.5)
    assert shaken.verdict is Verdict.NOISY
    assert Row("x", "", "s", figures, Bar(0.010)).verdict is Verdict.MISSED


def test_a_row_in_markdown_is_one_line_with_its_bars_escaped() -> None:
    text = as_markdown([row([1.2, 1.21, 1.22], [1.0, 1.0, 1.0], [1.1, 1.1, 1.1])])
    assert text.splitlines()[2] == (
        r"| what it is | 1.21 s | a \| b 1 s, bare 1.1 s | 1.21 x | ≤ 1 x a \| b "
        "| NOT reached, nor by the limit: bare: 1.1 x |"
    )
