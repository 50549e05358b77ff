"""Another view is a few lines: one that prints, of any job, what it writes and how it is."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable

import pytest

from ipyproc.job.fork import fork
from ipyproc.job.job import Job
from ipyproc.job.table import JobTable
from ipyproc.model.event import Event, EventKind
from ipyproc.model.group import GroupSnapshot
from ipyproc.safe import without_colours
from ipyproc.seen import seen
from tests.jobs.looped import looped
from tests.support import until


class LineView:
    """Prints plain lines; a watcher of a table, or asked to `show` a job at any time."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._position: dict[Job, int] = {}
        self._begun: dict[tuple[Job, str], bytes] = {}
        self._status: dict[Job, str] = {}

    def on_started(self, job: Job) -> None:
        self.show(job)

    def on_event(self, job: Job, event: Event) -> None:
        if event.kind is not EventKind.AWAITED:
            self.show(job)

    def show(self, job: Job) -> None:
        """Print what is new of a job; in any thread."""
        with self._lock:
            done, stop = job.done, job.size
            for name, data in job.runs(self._position.get(job, 0), stop):
                *lines, rest = (self._begun.get((job, name), b"") + data).split(b"\n")
                self._begun[job, name] = rest
                self._print(job, name, lines)
            self._position[job] = stop
            if done:
                self._print(job, "stdout", [self._begun.pop((job, "stdout"), b"")])
                self._print(job, "stderr", [self._begun.pop((job, "stderr"), b"")])
            self._print_status(job)

    def _print(self, job: Job, name: str, lines: list[bytes]) -> None:
        for line in filter(None, lines):
            text = without_colours(seen(line.decode(job.encoding, "replace")))
            self._write(f"{job.name} {'!' if name == 'stderr' else '|'} {text}")

    def _print_status(self, job: Job) -> None:
        snapshot = job.snapshot()
        status = f"{snapshot.name} is {snapshot.state.value}"
        if snapshot.state.done:
            status += f" ({snapshot.returncode})"
        if isinstance(snapshot, GroupSnapshot):
            states = ", ".join(f"{worker.task_id} {worker.state.value}" for worker in snapshot.workers)
            status += f": {states}"
        if self._status.get(job) != status:
            self._status[job] = status
            self._write(status)


def test_it_has_fewer_than_sixty_lines() -> None:
    assert len(inspect.getsource(LineView).splitlines()) < 60


@pytest.fixture
def lines() -> list[str]:
    return []


@looped
async def test_it_shows_a_job_live_as_soon_as_the_table_knows_it(table: JobTable, lines: list[str]) -> None:
    view = LineView(lines.append)
    table.add_watcher(view)
    try:
        job = table.spawn('echo one; echo two >&2; read line; printf "$line"; exit 3', name="it")
        await until(lambda: "it | one" in lines and "it ! two" in lines)
        assert "it is running" in lines
        job.send("three\n")
        await job.wait(raise_error=False)
    finally:
        table.remove_watcher(view)
    assert lines[-2:] == ["it | three", "it is exited (3)"]
    assert len(lines) == len(set(lines))


@looped
async def test_it_shows_a_job_that_has_ended_long_ago_by_its_offsets(
    table: JobTable, lines: list[str]
) -> None:
    job = table.spawn("seq 1 2000; printf '\\033[31mred\\033[0m'", name="it")
    await job
    view = LineView(lines.append)
    view.show(job)
    view.show(job)
    assert lines == [*(f"it | {n}" for n in range(1, 2001)), "it | red", "it is exited (0)"]


@looped
async def test_it_shows_a_group_of_workers(table: JobTable, lines: list[str]) -> None:
    view = LineView(lines.append)
    table.add_watcher(view)
    try:
        await fork("print('worker', task_id())", 2, name="pool", table=table)
    finally:
        table.remove_watcher(view)
    assert {"pool | [0] worker 0", "pool | [1] worker 1"} < set(lines)
    assert lines[-1] == "pool is exited (0): 0 exited, 1 exited"
