"""A manager shows jobs in cells of any make: here, in lists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tornado.ioloop import IOLoop

from ipyproc.bench.findings import Findings
from ipyproc.bench.model import BenchSnapshot
from ipyproc.job.fork import fork
from ipyproc.job.table import JobTable
from ipyproc.model.group import GroupSnapshot
from ipyproc.model.state import JobState, Snapshot
from ipyproc.views.cell import Bundle, Medium
from ipyproc.views.kinds import freshness_of, picture
from ipyproc.views.manager import ViewManager
from tests.jobs.looped import looped
from tests.support import until
from tests.views.test_pace import Limits


class ListCell:
    """A cell that keeps what it is given."""

    def __init__(self, key: str, *, lasting: bool = False, medium: Medium = Medium.PAGE) -> None:
        self.key = key
        self.lasting = lasting
        self.medium = medium
        self.is_drawable = medium is Medium.PAGE
        self.text = ""
        self.rows: list[str] = []
        self.displays: dict[str, str] = {}
        self.settled: set[str] = set()

    def stream(self, name: str, text: str) -> None:
        self.text += text

    def display(self, bundle: Bundle, display_id: str) -> None:
        assert display_id not in self.displays
        self.displays[display_id] = bundle["text/plain"]

    def update(self, bundle: Bundle, display_id: str) -> None:
        assert display_id in self.displays
        self.displays[display_id] = bundle["text/plain"]

    def settle(self, bundle: Bundle, display_id: str) -> None:
        self.update(bundle, display_id)
        self.settled.add(display_id)

    def draw(self, lines: str, rows: list[str], display_id: str) -> None:
        assert self.medium is Medium.TERMINAL
        self.text += lines
        self.rows = list(rows)

    @property
    def shown(self) -> str:
        return "\n".join(self.displays.values())


class OnePage:
    """A front end with one cell after the other."""

    medium = Medium.PAGE

    def __init__(self) -> None:
        self.cell = ListCell("first")

    def running_cell(self) -> ListCell:
        return self.cell

    def target(self) -> ListCell:
        return self.cell

    def flush_prints(self) -> None:
        pass

    def job_is_awaited(self) -> None:
        pass


@pytest.fixture
def page() -> OnePage:
    return OnePage()


@pytest.fixture
def managers(table: JobTable) -> Iterator[list[ViewManager]]:
    """Screens that watch the table, until the test has ended."""
    watching: list[ViewManager] = []
    yield watching
    for manager in watching:
        table.remove_watcher(manager)


def manager_of(
    page: OnePage, table: JobTable, managers: list[ViewManager], limits: Limits | None = None
) -> ViewManager:
    manager = ViewManager(page, table, IOLoop.current(), limits or Limits())
    table.add_watcher(manager)
    managers.append(manager)
    return manager


@looped
async def test_a_job_is_shown_in_the_cell_that_ran_when_it_was_started(
    table: JobTable, page: OnePage, managers: list[ViewManager]
) -> None:
    manager = manager_of(page, table, managers)
    first = page.cell
    job = table.spawn("echo one; read line; echo two", name="it")
    await until(lambda: first.text == "one\n" and "running" in first.shown)
    page.cell = ListCell("second")
    manager.show(job)
    job.send("\n")
    await job
    await until(lambda: "exit 0" in first.shown and "exit 0" in page.cell.shown)
    assert first.text == page.cell.text == "one\ntwo\n"
    assert first.settled == first.displays.keys()
    manager.close()


@looped
async def test_what_an_ended_job_wrote_is_shown_by_the_call_while_the_pages_budget_lasts(
    table: JobTable, page: OnePage, managers: list[ViewManager]
) -> None:
    jobs = [table.spawn("seq 1 150", name=str(number), quiet=True) for number in range(3)]
    for job in jobs:
        await job
    limits = Limits(bytes_per_second=4000)
    manager = manager_of(page, table, managers, limits)
    cells = []

    def show_all() -> list[bool]:
        for job in jobs:
            cells.append(page.cell)
            manager.show(job)
            page.cell = ListCell(f"after {job.name}")
            # So that nothing is added to what is left, however long the calls take.
            limits.bytes_per_second = 1
        return [cell.text == jobs[0].output for cell in cells]

    # In a thread, so that the loop's own flush comes later.
    shown = await asyncio.to_thread(show_all)
    # All of a job at once, or nothing of it yet.
    assert shown == [True, False, False]
    assert all("exit 0" in cell.shown for cell in cells)
    limits.bytes_per_second = 500_000
    await until(lambda: all(cell.text == jobs[0].output for cell in cells))
    manager.close()


@looped
async def test_past_its_budget_a_cell_has_a_tail(
    table: JobTable, page: OnePage, managers: list[ViewManager]
) -> None:
    manager = manager_of(page, table, managers)
    await table.spawn("seq 1 5000", name="it")
    await until(lambda: page.cell.shown.endswith("\n5000"))
    assert len(page.cell.text) <= 1000 and page.cell.text.endswith("\n")
    assert "not shown" in page.cell.shown
    manager.close()


@looped
async def test_a_restarted_job_goes_on_in_its_cell_from_where_it_was(
    table: JobTable, page: OnePage, managers: list[ViewManager]
) -> None:
    manager = manager_of(page, table, managers)
    first = page.cell
    job = table.spawn("echo run", name="it")
    await job
    await until(lambda: "exit 0" in first.shown)
    page.cell = ListCell("second")
    await job.restart()
    await job
    await until(lambda: first.text == "run\nrun\n" and "exit 0" in first.shown)
    assert not page.cell.text and not page.cell.displays
    manager.close()


@looped
async def test_a_screen_that_follows_another_goes_on_with_its_views(
    table: JobTable, page: OnePage, managers: list[ViewManager]
) -> None:
    before = manager_of(page, table, managers)
    job = table.spawn("echo one; read line; echo two", name="it")
    await until(lambda: page.cell.text == "one\n")
    table.remove_watcher(before)
    managers.remove(before)
    before.close()
    after = manager_of(page, table, managers)
    after.adopt(before)
    job.send("\n")
    await job
    await until(lambda: page.cell.text == "one\ntwo\n" and "exit 0" in page.cell.shown)
    assert len(page.cell.displays) == 1
    after.close()


@looped
async def test_a_group_is_shown_with_a_row_a_worker(
    table: JobTable, page: OnePage, managers: list[ViewManager]
) -> None:
    manager = manager_of(page, table, managers)
    await fork("pass", 2, name="pool", table=table)
    await until(lambda: page.cell.shown.count("exited") == 2)
    assert "last exit" in page.cell.shown
    manager.close()


HEAD = {
    "name": "it",
    "command": "command",
    "state": JobState.RUNNING,
    "pid": 7,
    "elapsed": 1.0,
    "uptime": 1.0,
    "returncode": None,
    "exits": (),
    "restarts": 0,
    "max_restarts": None,
    "ready": None,
    "size": 0,
    "dropped": 0,
    "lost": 0,
    "last_line": "",
    "notes": (),
}
JOB = Snapshot(**HEAD)
GROUP = GroupSnapshot(**HEAD)
BENCH = BenchSnapshot(**HEAD, findings=Findings("pass", 2), active=1, rate=1.0, progress=0.5, left=2.0)


def test_what_a_snapshot_is_decides_how_it_is_shown() -> None:
    shown = {type(it): picture(it, Medium.PAGE)["text/plain"] for it in (JOB, GROUP, BENCH)}
    assert "task" not in shown[Snapshot] and "task" in shown[GroupSnapshot] and "50 %" in shown[BenchSnapshot]
    assert freshness_of(BENCH).moves and freshness_of(GROUP).look and not freshness_of(JOB).look


def test_a_terminal_where_all_stays_that_is_printed_has_no_table_that_says_nothing_yet() -> None:
    for it in (GROUP, BENCH):
        assert "\n" not in picture(it, Medium.TERMINAL)["text/plain"]


@looped
async def test_a_program_that_draws_the_whole_screen_is_said_to_with_how_to_end_it(
    table: JobTable, page: OnePage, managers: list[ViewManager]
) -> None:
    manager = manager_of(page, table, managers)
    script = r"printf '\033[?1049h\033[HVIEWER'; read key; printf '\033[?1049l'; echo back; read end"
    job = table.spawn(script, name="my viewer", tty=True)
    hint = "draws the whole screen; %stop 'my viewer' ends it, %send -n 'my viewer' q presses q"
    await until(lambda: hint in page.cell.shown and "VIEWER" in page.cell.shown)
    job.send("q\n")
    await until(lambda: "back" in page.cell.text + page.cell.shown and "whole screen" not in page.cell.shown)
    job.send("\n")
    await job
    await until(lambda: "exit 0" in page.cell.shown)
    assert "whole screen" not in page.cell.shown
    manager.close()
