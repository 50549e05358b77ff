"""The live table of jobs: ``%jobs``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from ipyproc.model.state import at_kernels_end
from ipyproc.model.usage import CpuMeter, Usage
from ipyproc.process.loops import asyncio_loop, on_loop
from ipyproc.views.live import MeasuredJob
from ipyproc.views.outlet import new_display_id

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job
    from ipyproc.model.state import Snapshot
    from ipyproc.views.cell import Bundle, Cell
    from ipyproc.views.live import LiveTableForm

__all__ = ["LiveTable", "TableOfJobs"]

_PAUSE = 1.0
_MOST_ROWS = 60


class TableOfJobs(Protocol):
    """What a live table shows: a `JobTable`, or a part of one."""

    @property
    def forgotten(self) -> int:
        """The number of earlier jobs that the table has dropped."""

    def __iter__(self) -> Iterator[Job]:
        """Iterate over the jobs to show now."""

    def sample(self) -> dict[int, Usage]:
        """Return the usage of each job that has processes running, by its pid; any thread may call it."""


class LiveTable:
    """One display of all jobs, updated once a second while any of them runs.

    Where a page shows the live form, that is told what is new instead, since each update of the display would
    draw it anew; at the end, the display is updated to the plain form without it.

    Args:
        jobs: the table of jobs.
        cell: the cell of the display.
        io_loop: the loop of the updates; processes are measured in a thread beside it.
        width: the width of the screen in characters.
        live: the live form, which a page may show in place of the plain one; None for none.
    """

    def __init__(
        self, jobs: TableOfJobs, cell: Cell, io_loop: IOLoop, width: int, live: LiveTableForm | None = None
    ) -> None:
        self._jobs = jobs
        self._cell = cell
        self._io_loop = io_loop
        self._width = width
        self._display_id = new_display_id()
        self._meter = CpuMeter(time.monotonic)
        self._measured: dict[int, tuple[float | None, Usage]] = {}
        self._live = live
        self._has_live = False
        self._shown = ""
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._ending = False

    def open(self, live: bool) -> None:
        """Show the table, and keep it up to date if ``live``; any thread may call it."""
        self._measure(self._jobs.sample())
        bundle = self._bundle()
        self._cell.display({**bundle, **self._new_form()} if live else bundle, self._display_id)
        self._shown = bundle["text/ansi"]
        if live:
            on_loop(self._io_loop, self._begin)

    def close(self) -> None:
        """End the updates; the table stays as it is, in its plain form."""
        self._stop()
        if self._drop_live():
            self._cell.update(self._bundle(), self._display_id)

    def farewell(self) -> None:
        """Show the running jobs for the last time, as ended with the kernel."""
        was_live = self._task is not None and not self._closed
        self._stop()
        self._ending, self._measured = True, {}
        self._drop_live()
        if was_live:
            self._cell.settle(self._bundle(), self._display_id)

    def _stop(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        if not self._closed:
            self._task = asyncio_loop(self._io_loop).create_task(self._keep_up())

    async def _keep_up(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            runs = self._runs()
            self._measure(await loop.run_in_executor(None, self._jobs.sample) if runs else {})
            if not runs:
                self._drop_live()
                self._update()
                return
            self._show()
            await asyncio.sleep(_PAUSE)

    def _show(self) -> None:
        """Show what is new, in the form that the page shows."""
        if form := self._new_form():
            self._cell.update({**self._bundle(), **form}, self._display_id)
        elif self._has_live and self._live is not None and self._live.may_be_shown(time.monotonic()):
            self._tell(self._live)
        else:
            # If no page has answered, the plain form goes on.
            self._drop_live()
            self._update()

    def _update(self) -> None:
        bundle = self._bundle()
        if bundle["text/ansi"] != self._shown:
            self._shown = bundle["text/ansi"]
            self._cell.update(bundle, self._display_id)

    def _drop_live(self) -> bool:
        """End the live form; return True if the display has it, and is to be updated to the plain form."""
        if self._live is None or not self._has_live:
            return False
        live, self._live, self._has_live, self._shown = self._live, None, False, ""
        if live.is_heard:
            self._tell(live, over=True)
        else:
            live.close()
        return True

    def _runs(self) -> bool:
        return any(not job.done or job.left for job in self._jobs)

    def _new_form(self) -> Bundle:
        """Return what shows the live form, once, as soon as there is one; empty otherwise."""
        if self._live is None or self._has_live or not self._runs():
            return {}
        if form := self._live.form():
            self._has_live = True
            self._tell(self._live)
        return form

    def _measure(self, usages: dict[int, Usage]) -> None:
        percent = self._meter.update(usages)
        self._measured = {pid: (percent.get(pid), usage) for pid, usage in usages.items()}

    def _tell(self, live: LiveTableForm, *, over: bool = False) -> None:
        from ipyproc.views import render

        jobs, ended, running = _the_last(list(self._jobs), live.most_rows)
        caption = render.what_is_not_shown(ended, self._jobs.forgotten, running)
        live.tell([self._measured_job(job) for job in jobs], caption, over=over)

    def _measured_job(self, job: Job) -> MeasuredJob:
        snapshot = self._snapshot(job)
        cpu, usage = self._measured.get(snapshot.pid, (None, None))
        return MeasuredJob(job, snapshot, cpu, usage.rss if usage else None)

    def _bundle(self) -> Bundle:
        from ipyproc.views import render

        # The loop draws every row each second, so only the last of the ended jobs are shown.
        jobs, left_out, _ = _the_last(list(self._jobs), _MOST_ROWS, all_that_run=True)
        snapshots = [self._snapshot(job) for job in jobs]
        table = render.jobs_table(
            snapshots, self._measured, self._width, left_out=left_out, forgotten=self._jobs.forgotten
        )
        return render.bundle(table, self._width)

    def _snapshot(self, job: Job) -> Snapshot:
        snapshot = job.snapshot()
        return at_kernels_end(snapshot) if self._ending else snapshot


def _the_last(jobs: list[Job], most: int, *, all_that_run: bool = False) -> tuple[list[Job], int, int]:
    """Return the last jobs, and how many that have ended, and how many that run, are not among them.

    Those that have ended are left out first.
    """
    ended = [job for job in jobs if job.done]
    left_out = set(ended[: max(0, len(jobs) - most)])
    rest = [job for job in jobs if job not in left_out]
    too_many = 0 if all_that_run else max(0, len(rest) - most)
    return rest[too_many:], len(left_out), too_many
