"""How each kind of job is shown. The type of its snapshot decides that, in this module only."""

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
    """How long the picture of a status stays valid while no event comes.

    Attributes:
        moves: whether it changes all the time, as a progress bar does.
        look: the seconds between checks of its figures; None if it has none.
        patience: the seconds by which its elapsed times may be older than those of a plain status line.
    """

    moves: bool = False
    look: float | None = None
    patience: float = 0.0


_LINE = Freshness()
# A table costs ten times a line, so new uptimes alone are drawn seldom.
_WORKERS = Freshness(look=_LOOK_SECONDS, patience=_CLOCK_SECONDS)
_BAR = Freshness(moves=True)


def freshness_of(snapshot: Snapshot) -> Freshness:
    """Return how long the picture of a snapshot stays valid."""
    if not isinstance(snapshot, GroupSnapshot):
        return _LINE
    # Imported late: it takes milliseconds, for which plain jobs need not wait.
    from ipyproc.bench.model import BenchSnapshot

    return _BAR if isinstance(snapshot, BenchSnapshot) else _WORKERS


def picture(snapshot: Snapshot, medium: Medium) -> Bundle:
    """Return what a cell shows of a job: a line, and a table below it for a group or a benchmark.

    Args:
        snapshot: the job.
        medium: the medium of the cell. A terminal, where text stays, gets no table before it has content.
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
    """Return True if the figures of a group have changed enough to be shown."""
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
