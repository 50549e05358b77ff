"""What a view shows, and when: decided without a job, a cell or a clock."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ipyproc.views.budget import Budget
from ipyproc.views.cell import Medium
from ipyproc.views.kinds import Freshness
from ipyproc.views.pace import LARGEST_MESSAGE, Pace

NEVER = float("inf")
PLENTY = 10_000_000


@dataclass
class Limits:
    cell_bytes: int = 1000
    batch_bytes: int = 2000
    tail_lines: int = 15
    messages_per_second: float = 20.0
    bytes_per_second: int = 500_000


def paced(medium: Medium = Medium.PAGE, *, output: bool = True) -> Pace:
    pace = Pace(medium, Limits(), output=output)
    pace.status_changed = False
    return pace


def due(
    pace: Pace, now: float = 100.0, free_at: float = 100.0, *, more: bool = False, over: bool = False
) -> float:
    return pace.due(now, free_at, has_caught_up=not more, over=over)


@pytest.mark.parametrize(
    ("medium", "room"), [(Medium.PAGE, 1000), (Medium.FILE, 2000), (Medium.TERMINAL, NEVER)]
)
def test_a_cell_has_room_for_so_many_finished_lines(medium: Medium, room: float) -> None:
    pace = paced(medium)
    assert pace.room == room
    pace.sent(100.0, 400)
    assert pace.room == room - 400
    pace.sent(100.0, 4000)
    assert pace.room == (NEVER if medium is Medium.TERMINAL else 0)


def test_a_page_waits_for_its_budget_and_between_two_messages() -> None:
    pace = paced()
    assert pace.allowed(100.0, 0, force=False) == 0
    assert pace.allowed(100.0, 200, force=False) == 200
    assert pace.allowed(100.0, PLENTY, force=False) == LARGEST_MESSAGE
    pace.sent(100.0, 200)
    assert pace.allowed(100.04, PLENTY, force=False) == 0
    assert pace.allowed(100.06, 300, force=False) == 300


def test_a_file_and_a_terminal_wait_for_nothing() -> None:
    for medium in (Medium.FILE, Medium.TERMINAL):
        pace = paced(medium)
        pace.sent(100.0, 200)
        assert pace.allowed(100.0, 0, force=False) == 1_000_000


def test_what_is_forced_goes_at_once_and_in_messages_that_a_page_can_bear() -> None:
    pace = paced()
    pace.sent(100.0, 200)
    assert pace.allowed(100.0, 0, force=True) == LARGEST_MESSAGE


def test_a_prompt_is_shown_at_once_where_somebody_may_answer() -> None:
    assert [medium for medium in Medium if paced(medium).shows_prompts] == [Medium.PAGE, Medium.TERMINAL]


def test_nothing_is_due_until_there_is_something_new() -> None:
    pace = paced()
    assert due(pace) == NEVER
    assert due(pace, free_at=107.0, more=True) == 107.0
    pace.sent(100.0, 1)
    assert due(pace) == NEVER
    assert due(pace, more=True) == pytest.approx(100.05)
    assert due(pace, over=True) == 100.0
    pace.status_changed = True
    pace.status_went(100.0)
    assert due(pace) == pytest.approx(100.25)


def test_rows_that_change_are_drawn_after_a_while_and_then_four_times_a_second() -> None:
    pace = paced()
    pace.rows_changed(100.0, drawn=False)
    pace.rows_changed(100.1, drawn=False)
    assert due(pace) == pytest.approx(100.15)
    assert not pace.are_rows_due(100.1, force=False) and pace.are_rows_due(100.1, force=True)
    assert pace.are_rows_due(100.2, force=False)
    pace.rows_went(100.2, drawn=True)
    assert due(pace) == NEVER and not pace.are_rows_due(200.0, force=True)
    pace.rows_changed(100.3, drawn=True)
    assert due(pace) == pytest.approx(100.45)
    pace.rows_went(100.45, drawn=True)
    pace.rows_changed(103.0, drawn=True)
    assert due(pace, now=103.0) == 103.0


def test_the_tail_is_shown_four_times_a_second_and_only_when_it_has_changed() -> None:
    pace = paced()
    pace.rows_changed(100.0, drawn=False)
    pace.begin_tail(100.0)
    assert not pace.is_tail_due(200.0, PLENTY, force=True) and due(pace) == NEVER
    assert pace.allowed(100.2, PLENTY, force=False) == 0 < pace.allowed(100.3, 0, force=False)
    assert due(pace, more=True) == pytest.approx(100.25)
    pace.tail_changed()
    assert not pace.is_tail_due(100.2, PLENTY, force=False)
    assert pace.is_tail_due(100.2, 0, force=True)
    assert pace.is_tail_due(100.3, PLENTY, force=False)
    assert not pace.is_tail_due(100.3, 0, force=False)
    assert due(pace) == pytest.approx(100.25)
    pace.tail_went(100.3)
    assert due(pace) == NEVER


def test_clocks_are_shown_anew_the_rarer_the_longer_a_job_runs() -> None:
    pace, line = paced(), Freshness()
    pace.status_opened(0.0)
    pace.status_went(0.0)
    assert [pace.is_status_old(now, line) for now in (0.9, 1.1)] == [False, True]
    pace.status_went(10_000.0)
    assert [pace.is_status_old(now, line) for now in (10_059.0, 10_061.0)] == [False, True]
    assert pace.is_status_old(10_001.0, Freshness(moves=True))
    assert not pace.is_status_old(10_061.0, Freshness(patience=5.0))


def test_figures_are_looked_at_once_a_second() -> None:
    pace, table = paced(), Freshness(look=1.0)
    assert [pace.is_look_due(now, table) for now in (10.0, 10.9, 11.1, 11.2)] == [True, False, True, False]
    assert not pace.is_look_due(20.0, Freshness())


def test_the_page_gets_no_more_a_second_than_its_budget_and_what_was_forced_is_paid_back() -> None:
    budget = Budget(Limits(bytes_per_second=10_000), now=0.0)
    assert budget.available(0.0) == 5000
    budget.spend(4000)
    assert budget.available(0.0) == 0
    assert budget.free_at(0.0) == pytest.approx(0.2048)
    budget.spend(PLENTY)
    assert budget.free_at(0.0) == pytest.approx(1.2048)
    assert budget.available(3.0) == 5000


def test_a_turn_that_has_sent_nothing_and_left_output_is_followed_by_another_in_a_moment() -> None:
    pace = paced()
    pace.fell_behind(100.0)
    assert 100.0 < due(pace, more=True) < 100.02
    pace.begin_tail(100.0)
    pace.tail_changed()
    pace.fell_behind(100.0)
    # The tail itself is sent as rarely as ever.
    assert 100.0 < due(pace, more=True) < 100.02 and not pace.is_tail_due(100.02, PLENTY, force=False)
    pace.tail_changed()
    assert pace.allowed(100.1, PLENTY, force=False) == 0 < pace.allowed(100.3, PLENTY, force=False)
