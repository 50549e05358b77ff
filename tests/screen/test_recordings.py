"""What a screen shows of each recording is what @xterm/headless shows of it."""

from __future__ import annotations

import random

import pytest

from tests.screen.recordings import NAMES, TAKEN_BACK, compared, recording

PROGRAMS = (
    "tqdm_one tqdm_nested tqdm_write rich_progress pip npm git_clone wget pv ninja cmake docker_pull apt "
    "rsync curl vim htop"
)


def test_every_program_that_the_contract_names_was_recorded() -> None:
    assert set(PROGRAMS.split()) <= set(NAMES)
    assert all(recording(name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_fed_whole_or_in_any_pieces_shows_what_a_terminal_shows(name: str) -> None:
    pieces = random.Random(name)
    for cut in (lambda left: left, lambda left: 1, lambda left: pieces.choice((1, 2, 5, 17, 100, 1000))):
        for offset, shown, expected in compared(name, cut, take=False):
            assert (offset, shown) == (offset, expected)


@pytest.mark.parametrize("name", sorted(set(NAMES) - TAKEN_BACK))
def test_lines_taken_on_the_way_and_live_rows_are_what_a_terminal_shows_at_that_point(name: str) -> None:
    pieces = random.Random(name)
    for offset, shown, expected in compared(
        name, lambda left: pieces.choice((1, 3, 20, 200, 2000)), take=True
    ):
        assert (offset, shown) == (offset, expected)
