"""What a view shows, and when: decided without a job, a cell or a clock."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ipyproc.views.budget import Budget
from ipyproc.views.cell import Medium
from ipyproc.views.kinds import Freshness
from ipyproc.views.pace import LARGEST_MESSAGE, Pace, Step

NEVER = float("inf")
PLENTY = 10_000_000


@dataclass
class Limits:
    cell_bytes: int = 1000
    batch_bytes: int = 2000
    tail_lines: int = 15
    messages_per_second: float = 20.0
    bytes_per_second: int = 500_000


def paced(medium: Medium = Medium.PAGE, *, output: bool = True, start: int = 0) -> Pace:
    pace = Pace(medium, Limits(), output=output, start=start)
    pace.status_changed = False
    return pace


def step(
    pace: Pace, end: int, now: float = 100.0, allowance: int = PLENTY, *, force: bool = False
) -> Step | None:
    return pace.next_step(now, end, allowance, force=force)


@pytest.mark.parametrize(("medium", "room"), [(Medium.PAGE, 1000), (Medium.FILE, 2000)])
def test_a_cell_takes_what_it_has_room_for_and_then_the_tail_stands_for_the_rest(
    medium: Medium, room: int
) -> None:
    pace = paced(medium)
    assert step(pace, room) == Step(room, False)
    pace.went(100.0, room - 100, is_last=False)
    assert step(pace, room + 1, now=200.0) == Step(100, True)
    pace.went(200.0, 90, is_last=True)
    assert step(pace, PLENTY, now=300.0) is None
    assert pace.is_tail_due(300.0, PLENTY, 1, force=False)
    assert (pace.position, pace.shown) == (room - 10, room - 10)


def test_a_terminal_takes_all_and_has_no_tail() -> None:
    pace = paced(Medium.TERMINAL)
    assert step(pace, PLENTY) == Step(1_000_000, False)


def test_a_page_waits_for_its_budget_and_between_two_messages() -> None:
    pace = paced()
    assert step(pace, 500, allowance=0) is None
    assert step(pace, 500, allowance=200) == Step(200, False)
    pace.went(100.0, 200, is_last=False)
    assert step(pace, 500, now=100.04) is None
    assert step(pace, 500, now=100.06) == Step(300, False)


def test_a_file_waits_for_nothing() -> None:
    pace = paced(Medium.FILE)
    pace.went(100.0, 200, is_last=False)
    assert step(pace, 500, now=100.0, allowance=0) == Step(300, False)


def test_what_is_forced_goes_at_once_and_in_messages_that_a_page_can_bear() -> None:
    pace = Pace(Medium.PAGE, Limits(cell_bytes=PLENTY), output=True, start=0)
    pace.went(100.0, 200, is_last=False)
    assert step(pace, PLENTY, allowance=0, force=True) == Step(LARGEST_MESSAGE, False)


def test_a_view_of_the_status_alone_shows_no_output() -> None:
    pace = paced(output=False)
    assert step(pace, 500) is None
    assert pace.has_caught_up(500)
    assert pace.due(100.0, 100.0, 500, over=False) == NEVER


def test_a_view_that_begins_later_shows_what_comes_after_that() -> None:
    assert step(paced(start=400), 500) == Step(100, False)


def test_nothing_is_due_until_there_is_something_new() -> None:
    pace = paced()
    assert pace.due(100.0, 100.0, 0, over=False) == NEVER
    assert pace.due(100.0, 107.0, 1, over=False) == 107.0
    pace.went(100.0, 1, is_last=False)
    assert pace.due(100.0, 100.0, 1, over=False) == NEVER
    assert pace.due(100.0, 100.0, 2, over=False) == pytest.approx(100.05)
    assert pace.due(100.0, 100.0, 1, over=True) == 100.0
    pace.status_changed = True
    pace.status_went(100.0)
    assert pace.due(100.0, 100.0, 1, over=False) == pytest.approx(100.25)


def test_the_tail_is_shown_four_times_a_second_and_only_when_there_is_more() -> None:
    pace = paced()
    pace.went(100.0, 0, is_last=True)
    pace.tail_went(100.0, 5000)
    assert not pace.is_tail_due(200.0, 5000, PLENTY, force=True)
    assert not pace.is_tail_due(100.2, 6000, PLENTY, force=False)
    assert pace.is_tail_due(100.2, 6000, 0, force=True)
    assert pace.is_tail_due(100.3, 6000, PLENTY, force=False)
    assert not pace.is_tail_due(100.3, 6000, 0, force=False)
    assert pace.due(100.0, 100.0, 6000, over=False) == pytest.approx(100.25)


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
