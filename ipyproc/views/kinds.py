"""How each kind of job is shown: what its snapshot is decides it, here and nowhere else."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipyproc.model.group import GroupSnapshot, WorkerSnapshot
from ipyproc.views.cell import Medium

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ipyproc.bench.model import BenchResult
    from ipyproc.model.state import Snapshot
    from ipyproc.views.cell import Bundle

__all__ = ["Freshness", "figures_differ", "freshness_of", "has_marks", "picture", "result_picture"]

_LINE_WIDTH = 120
_TABLE_WIDTH = 88
_LOOK_SECONDS = 1.0
_CLOCK_SECONDS = 5.0


@dataclass(frozen=True)
class Freshness:
    """How long the picture of a job's status stays good while nothing happens to the job.

    Attributes:
        moves: whether it changes all the time, as a bar does.
        look: seconds between looks at figures that may have changed; None where it has none.
        patience: seconds that its clocks may be older than those of a line.
    """

    moves: bool = False
    look: float | None = None
    patience: float = 0.0


_LINE = Freshness()
# A table costs ten times a line; for uptimes alone it is not drawn often.
_WORKERS = Freshness(look=_LOOK_SECONDS, patience=_CLOCK_SECONDS)
_BAR = Freshness(moves=True)


def freshness_of(snapshot: Snapshot) -> Freshness:
    """Return how long the picture of a snapshot stays good."""
    if not isinstance(snapshot, GroupSnapshot):
        return _LINE
    # Not at the top: to import it takes some milliseconds, for which whoever shows plain jobs would wait.
    from ipyproc.bench.model import BenchSnapshot

    return _BAR if isinstance(snapshot, BenchSnapshot) else _WORKERS


def picture(snapshot: Snapshot, medium: Medium) -> Bundle:
    """Return what a cell shows of a job: a line, and a table below it for a group or a benchmark.

    Args:
        snapshot: the job.
        medium: where the cell is seen. On a terminal, where what is printed stays, there is no table as
            long as it would say nothing.
    """
    from ipyproc.views import render

    if not isinstance(snapshot, GroupSnapshot):
        return render.bundle(render.status_line(snapshot), _LINE_WIDTH)
    from ipyproc.bench.model import BenchSnapshot
    from ipyproc.views.render_bench import bench_status
    from ipyproc.views.render_group import group_status

    width = _width_of(medium)
    shown: RenderableType
    if isinstance(snapshot, BenchSnapshot):
        says_nothing = not snapshot.state.done
        shown = bench_status(snapshot, width)
    else:
        says_nothing = all(worker.pid is None for worker in snapshot.workers)
        shown = group_status(snapshot, width)
    if medium is Medium.TERMINAL and says_nothing:
        shown = render.status_line(snapshot)
    return render.bundle(shown, width)


def has_marks(snapshot: Snapshot) -> bool:
    """Return True when each line of its output begins with the mark of a worker."""
    return isinstance(snapshot, GroupSnapshot)


def figures_differ(before: Snapshot, now: Snapshot) -> bool:
    """Return True when a reader would want to see how the figures have changed."""
    if not isinstance(before, GroupSnapshot) or not isinstance(now, GroupSnapshot):
        return False
    return any(map(_differ, before.workers, now.workers))


def result_picture(result: BenchResult, medium: Medium) -> Bundle:
    """Return what a cell shows of a benchmark's result."""
    from ipyproc.views import render
    from ipyproc.views.render_bench import bench_result

    width = _width_of(medium)
    bundle = render.bundle(bench_result(result, width), width)
    ansi = bundle.pop("text/ansi")
    return {"text/plain": ansi} if medium is Medium.TERMINAL else bundle


def _width_of(medium: Medium) -> int:
    return shutil.get_terminal_size().columns if medium is Medium.TERMINAL else _TABLE_WIDTH


def _differ(before: WorkerSnapshot, now: WorkerSnapshot) -> bool:
    return (
        _jumped(before.cpu, now.cpu, 2.0)
        or _jumped(before.memory, now.memory, 1e5)
        or _jumped(before.operations, now.operations, 0.05)
    )


def _jumped(before: float | None, now: float | None, least: float) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) > max(least, 0.02 * before)
