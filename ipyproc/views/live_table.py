"""The live table of jobs: ``%jobs``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from ipyproc.model.state import at_kernels_end
from ipyproc.model.usage import CpuMeter, Usage
from ipyproc.process.loops import asyncio_loop, on_loop
from ipyproc.views.outlet import new_display_id

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job
    from ipyproc.views.cell import Bundle, Cell

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

    Args:
        jobs: the table of jobs.
        cell: the cell of the display.
        io_loop: the loop of the updates; processes are measured in a thread beside it.
        width: the width of the screen in characters.
    """

    def __init__(self, jobs: TableOfJobs, cell: Cell, io_loop: IOLoop, width: int) -> None:
        self._jobs = jobs
        self._cell = cell
        self._io_loop = io_loop
        self._width = width
        self._display_id = new_display_id()
        self._meter = CpuMeter(time.monotonic)
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._ending = False

    def open(self, live: bool) -> None:
        """Show the table, and keep it up to date if ``live``; any thread may call it."""
        self._cell.display(self._bundle(self._jobs.sample()), self._display_id)
        if live:
            on_loop(self._io_loop, self._begin)

    def close(self) -> None:
        """End the updates; the table stays as it is."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    def farewell(self) -> None:
        """Show the running jobs for the last time, as ended with the kernel."""
        was_live, self._ending = self._task is not None and not self._closed, True
        self.close()
        if was_live:
            self._cell.settle(self._bundle({}), self._display_id)

    def _begin(self) -> None:
        if not self._closed:
            self._task = asyncio_loop(self._io_loop).create_task(self._keep_up())

    async def _keep_up(self) -> None:
        loop, shown = asyncio.get_running_loop(), ""
        while True:
            runs = any(not job.done or job.left for job in self._jobs)
            usages = await loop.run_in_executor(None, self._jobs.sample) if runs else {}
            bundle = self._bundle(usages)
            if bundle["text/ansi"] != shown:
                shown = bundle["text/ansi"]
                self._cell.update(bundle, self._display_id)
            if not runs:
                return
            await asyncio.sleep(_PAUSE)

    def _bundle(self, usages: dict[int, Usage]) -> Bundle:
        from ipyproc.views import render

        percent = self._meter.update(usages)
        # The loop draws every row each second, so only the last of the ended jobs are shown.
        jobs = list(self._jobs)
        ended = [job for job in jobs if job.done]
        left_out = set(ended[: max(0, len(jobs) - _MOST_ROWS)])
        snapshots = [job.snapshot() for job in jobs if job not in left_out]
        if self._ending:
            snapshots = list(map(at_kernels_end, snapshots))
        measured = {pid: (percent.get(pid), usage) for pid, usage in usages.items()}
        table = render.jobs_table(
            snapshots, measured, self._width, left_out=len(left_out), forgotten=self._jobs.forgotten
        )
        return render.bundle(table, self._width)
