"""Render a worker group by rich: a status line, and a row per worker. No IPython, no jobs."""

from __future__ import annotations

from signal import SIGINT, SIGTERM

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ipyproc.model.group import GroupSnapshot, WorkerSnapshot, WorkerState
from ipyproc.model.state import describe_status
from ipyproc.views.columns import Column, fitted
from ipyproc.views.palette import AMBER, BLUE, GREEN, GREY, RED
from ipyproc.views.render import human_bytes, human_rate, human_seconds, status_line

__all__ = ["group_status"]

_MOST_ROWS = 64

_MARKS = {
    WorkerState.STARTING: ("◌", GREY),
    WorkerState.RUNNING: ("●", BLUE),
    WorkerState.RESTARTING: ("↻", AMBER),
}

_COLUMNS = (
    Column("task", number=True),
    Column("pid", 3, number=True),
    Column("state"),
    Column("last exit"),
    Column("restarts", 1, number=True),
    Column("uptime", 2, number=True),
    Column("CPU", 5, number=True),
    Column("memory", 4, number=True),
    Column("ops/s", number=True),
)
_OF_THE_LIVING = ("uptime", "CPU", "memory")


def group_status(snapshot: GroupSnapshot, width: int) -> RenderableType:
    """Return the status line of a group, and a table of its workers.

    Args:
        snapshot: the group.
        width: the width of the screen in characters; a narrow one has fewer columns.
    """
    if snapshot.ends_with_kernel:
        # The table would show the workers as running.
        return status_line(snapshot)
    return Group(status_line(snapshot), _table(snapshot, width))


def _table(snapshot: GroupSnapshot, width: int) -> Table:
    workers = snapshot.workers
    absent = set(_OF_THE_LIVING) if snapshot.state.done else set()
    if all(worker.operations is None for worker in workers):
        absent.add("ops/s")
    columns = [column for column in _COLUMNS if column.name not in absent]
    table = fitted(columns, [_row(worker) for worker in workers[:_MOST_ROWS]], width)
    if len(workers) > _MOST_ROWS:
        table.add_row(Text("…"))
    return table


def _row(worker: WorkerSnapshot) -> dict[str, Text]:
    last = worker.last_exit
    if worker.state is WorkerState.EXITED:
        # The signals of a stop do not count as a failure.
        stopped = last in (-SIGINT, -SIGTERM)
        glyph, colour = ("■", AMBER) if stopped else ("✗", RED) if last else ("✓", GREEN)
    else:
        glyph, colour = _MARKS[worker.state]
    exit_colour = "" if not last else colour if worker.state is WorkerState.EXITED else RED
    return {
        "task": Text(str(worker.task_id), "bold"),
        "pid": Text("" if worker.pid is None else str(worker.pid)),
        "state": Text(f"{glyph} {worker.state.value}", colour),
        "last exit": Text("" if last is None else describe_status(last), exit_colour),
        "restarts": Text(str(worker.restarts), AMBER if worker.restarts else GREY),
        "uptime": Text("" if worker.uptime is None else human_seconds(worker.uptime)),
        "CPU": Text("" if worker.cpu is None else f"{worker.cpu:.0f} %"),
        "memory": Text(human_bytes(worker.memory) if worker.memory else ""),
        "ops/s": Text("" if worker.operations is None else human_rate(worker.operations)),
    }
