"""Report quiet jobs that fail without being awaited, which is all that a cell shows of them."""

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
    """Report quiet jobs that have failed, in the cells that started them.

    A failure is reported once: by an await of the job, or here once no cell has run for a second, so that
    queued cells that would await it run first. In a batch run, where output of a cell that has ended is
    discarded, failures are reported at the kernel's end, on its standard error.

    Args:
        show_end: called with a job and its cell to show the status of the job.
        jobs: the table, whose `say` reports at the kernel's end.
        io_loop: the kernel's loop.

    Attributes:
        is_batch: whether output between two cells is discarded; the view manager keeps it up to date.
    """

    def __init__(self, show_end: Callable[[Job, Cell], None], jobs: JobTable, io_loop: IOLoop) -> None:
        self.is_batch = False
        self._show_end = show_end
        self._jobs = jobs
        self._io_loop = io_loop
        self._lock = threading.RLock()
        self._cells: WeakKeyDictionary[Job, Cell] = WeakKeyDictionary()
        self._failed: list[Job] = []
        self._running = 0
        self._timer: object | None = None

    def expect(self, job: Job, cell: Cell) -> None:
        """Register a quiet job and the cell that started it."""
        with self._lock:
            self._cells[job] = cell

    def on_event(self, job: Job, event: Event) -> None:
        """Record a failure, or drop it if the job is awaited or released; any thread may call it."""
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
        self._report_later()

    def cell_begins(self) -> None:
        """Hold reports back while a cell runs, since it may await the job."""
        with self._lock:
            self._running += 1

    def cell_ends(self) -> None:
        """Schedule the report, unless another cell begins soon."""
        with self._lock:
            self._running = max(0, self._running - 1)
        if self._failed:
            self._report_later()

    def farewell(self) -> None:
        """Report the remaining failures at the kernel's end."""
        for job in self._pop_failed():
            status = describe_status(job.returncode or 0)
            self._jobs.say(f"ipyproc: job {job.name!r} failed ({status}), and nothing awaited it.")

    def close(self) -> None:
        """Drop all failures and the timer; call on the loop."""
        self._failed = []
        if self._timer is not None:
            self._io_loop.remove_timeout(self._timer)
            self._timer = None

    def _report_later(self) -> None:
        on_loop(self._io_loop, self._arm)

    def _arm(self) -> None:
        if self._timer is not None:
            self._io_loop.remove_timeout(self._timer)
        self._timer = self._io_loop.call_later(_PAUSE, self._report)

    def _report(self) -> None:
        self._timer = None
        if self._running or self.is_batch:
            return
        for job in self._pop_failed():
            self._show_end(job, self._cells[job])

    def _pop_failed(self) -> list[Job]:
        with self._lock:
            failed, self._failed = self._failed, []
        return failed


def is_failure(job: Job) -> bool:
    """Return True if a job that has ended failed, except by a stop that a user asked for."""
    snapshot = job.snapshot()
    return bool(job.returncode) and (snapshot.ended_by is None or bool(snapshot.notes))
