"""Quiet jobs that fail, with nobody who awaits them: the one thing that a cell says of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ipyproc.model.event import EventKind
from ipyproc.model.state import describe_status
from ipyproc.process.loops import on_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job
    from ipyproc.job.table import JobTable
    from ipyproc.model.event import Event
    from ipyproc.views.cell import Cell

__all__ = ["QuietFailures"]

_PAUSE = 1.0


class QuietFailures:
    """Tells of quiet jobs that have failed, in the cells that started them.

    A failure is told once: by whatever awaits the job, or here when no cell has run for a second, so that the
    cells of a run that would await it have had their turn. In a batch run nobody listens to a cell that has
    ended, so there it is told at the kernel's end, on its standard error.

    Args:
        show_end: shows the status of a job that has ended, in a cell that has shown nothing of it.
        jobs: the table; has the place where it is told at the end.
        io_loop: of the kernel.

    Attributes:
        is_batch: whether nobody listens between two cells; the screen keeps it up to date.
    """

    def __init__(self, show_end: Callable[[Job, Cell], None], jobs: JobTable, io_loop: IOLoop) -> None:
        self.is_batch = False
        self._show_end = show_end
        self._jobs = jobs
        self._io_loop = io_loop
        self._lock = threading.Lock()
        self._cells: WeakKeyDictionary[Job, Cell] = WeakKeyDictionary()
        self._failed: list[Job] = []
        self._running = 0
        self._timer: object | None = None

    def expect(self, job: Job, cell: Cell) -> None:
        """Take note of a quiet job and of the cell that has started it."""
        with self._lock:
            self._cells[job] = cell

    def on_event(self, job: Job, event: Event) -> None:
        """Take note of a failure, or of somebody who is told of it otherwise; in any thread."""
        if job not in self._cells:
            return
        with self._lock:
            if event.kind is EventKind.DONE and is_failure(job):
                self._failed.append(job)
            elif event.kind in (EventKind.AWAITED, EventKind.RELEASED):
                self._cells.pop(job, None)
                self._failed = [other for other in self._failed if other is not job]
                return
            else:
                return
        self._look_later()

    def cell_begins(self) -> None:
        """Wait for what this cell awaits."""
        with self._lock:
            self._running += 1

    def cell_ends(self) -> None:
        """See in a while whether another cell begins."""
        with self._lock:
            self._running = max(0, self._running - 1)
        if self._failed:
            self._look_later()

    def farewell(self) -> None:
        """Say what nobody was told of, at the kernel's end."""
        for job in self._take():
            status = describe_status(job.returncode or 0)
            self._jobs.say(f"ipyproc: job {job.name!r} failed ({status}), and nothing awaited it.")

    def close(self) -> None:
        """Tell nothing any more."""
        self._failed = []
        if self._timer is not None:
            self._io_loop.remove_timeout(self._timer)
            self._timer = None

    def _look_later(self) -> None:
        on_loop(self._io_loop, self._arm)

    def _arm(self) -> None:
        if self._timer is not None:
            self._io_loop.remove_timeout(self._timer)
        self._timer = self._io_loop.call_later(_PAUSE, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._running or self.is_batch:
            return
        for job in self._take():
            self._show_end(job, self._cells[job])

    def _take(self) -> list[Job]:
        with self._lock:
            failed, self._failed = self._failed, []
        return failed


def is_failure(job: Job) -> bool:
    """Whether a job that has ended has failed, other than by somebody's `kill`."""
    snapshot = job.snapshot()
    return bool(job.returncode) and (snapshot.ended_by is None or bool(snapshot.notes))
