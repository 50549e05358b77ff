"""What a cell shows of a worker group: a live table, and the workers' output."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Protocol, cast

from ipyproc.notebook.cells import TerminalCell
from ipyproc.notebook.view import CellView

if TYPE_CHECKING:
    from ipyproc.jobs.job import Job
    from ipyproc.notebook.cells import Bundle
    from ipyproc.workers.model import GroupSnapshot, WorkerSnapshot

__all__ = ["GroupView", "view_class"]

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

        terminal = isinstance(self.cell, TerminalCell)
        width = shutil.get_terminal_size().columns if terminal else _PAGE_WIDTH
        snapshot = cast(_ShownGroup, self.job).snapshot()
        self._shown_workers = snapshot.workers
        if terminal and all(worker.pid is None for worker in snapshot.workers):
            # What is printed there stays: rows would say nothing yet.
            return render.bundle(render.status_line(snapshot), width)
        return render.bundle(render_group.group_status(snapshot, width), width)


def view_class(job: Job) -> type[CellView]:
    """How a job is shown: a group is known by its workers."""
    return GroupView if hasattr(job, "workers") else CellView


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
