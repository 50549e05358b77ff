"""What a cell shows of a worker group: a live table, and the workers' output; of a benchmark likewise."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Protocol, cast

from ipyproc.notebook.cells import TerminalCell
from ipyproc.notebook.view import CellView

if TYPE_CHECKING:
    from ipyproc.bench.model import BenchResult, BenchSnapshot
    from ipyproc.job.job import Job
    from ipyproc.model.group import GroupSnapshot, WorkerSnapshot
    from ipyproc.notebook.cells import Bundle, Cell

__all__ = ["BenchView", "GroupView", "result_bundle", "view_class"]

_PAGE_WIDTH = 88
_LOOK_SECONDS = 1.0
_CLOCK_SECONDS = 5.0


class _ShownGroup(Protocol):
    @property
    def workers(self) -> tuple[WorkerSnapshot, ...]:
        """A picture of each worker."""

    def snapshot(self) -> GroupSnapshot:
        """A picture of this moment."""


class GroupView(CellView):
    """One cell's view of one group: like that of a job, with a row a worker.

    It looks at what the workers use once a second, and shows it when there is something new to see.
    """

    _look_due = 0.0
    _shown_workers: tuple[WorkerSnapshot, ...] = ()

    def tick_due(self, now: float) -> bool:
        """Whether the table should be shown anew: a figure has changed, or the clocks are old."""
        if now < self._look_due:
            return False
        self._look_due = now + _LOOK_SECONDS
        group = cast(_ShownGroup, self.job)
        if any(map(_differ, self._shown_workers, group.workers)):
            return True
        # A table costs ten times a line; for uptimes alone it is not drawn often.
        return super().tick_due(now - _CLOCK_SECONDS)

    def _picture(self) -> Bundle:
        from ipyproc.notebook import render, render_group

        width = _width_of(self.cell)
        snapshot = cast(_ShownGroup, self.job).snapshot()
        self._shown_workers = snapshot.workers
        if isinstance(self.cell, TerminalCell) and all(worker.pid is None for worker in snapshot.workers):
            # What is printed there stays: rows would say nothing yet.
            return render.bundle(render.status_line(snapshot), width)
        return render.bundle(render_group.group_status(snapshot, width), width)


class BenchView(CellView):
    """One cell's view of one benchmark: how far it is, and a row a number of workers."""

    def tick_due(self, now: float) -> bool:
        """Whether it should be shown anew: as long as it runs, the bar goes on."""
        return now >= self._status_due

    def _picture(self) -> Bundle:
        from ipyproc.notebook import render, render_bench

        snapshot = cast("BenchSnapshot", self.job.snapshot())
        width = _width_of(self.cell)
        if isinstance(self.cell, TerminalCell) and not snapshot.state.done:
            # What is printed there stays: a bar that does not move says nothing.
            return render.bundle(render.status_line(snapshot), width)
        return render.bundle(render_bench.bench_status(snapshot, width), width)


def view_class(job: Job) -> type[CellView]:
    """How a job is shown: a benchmark is known by what it finds, a group by its workers."""
    return BenchView if hasattr(job, "findings") else GroupView if hasattr(job, "workers") else CellView


def result_bundle(result: BenchResult, cell: Cell) -> Bundle:
    """What a cell shows of a benchmark's result."""
    from ipyproc.notebook import render, render_bench

    width = _width_of(cell)
    bundle = render.bundle(render_bench.bench_result(result, width), width)
    ansi = bundle.pop("text/ansi")
    return {"text/plain": ansi} if isinstance(cell, TerminalCell) else bundle


def _width_of(cell: Cell) -> int:
    return shutil.get_terminal_size().columns if isinstance(cell, TerminalCell) else _PAGE_WIDTH


def _differ(before: WorkerSnapshot, now: WorkerSnapshot) -> bool:
    """Whether a reader would want to see the difference."""
    return (
        _jumped(before.cpu, now.cpu, 2.0)
        or _jumped(before.memory, now.memory, 1e5)
        or _jumped(before.operations, now.operations, 0.05)
    )


def _jumped(before: float | None, now: float | None, least: float) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) > max(least, 0.02 * before)
