"""A worker group's picture to rich: a headline, and a row a worker. No IPython, no jobs."""

from __future__ import annotations

from signal import SIGINT, SIGTERM

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ipyproc.jobs.model import describe_status
from ipyproc.notebook.render import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    RED,
    human_bytes,
    human_rate,
    human_seconds,
    status_line,
)
from ipyproc.workers.model import GroupSnapshot, WorkerSnapshot, WorkerState

__all__ = ["group_status"]

_MOST_ROWS = 64

_MARKS = {
    WorkerState.STARTING: ("◌", GREY),
    WorkerState.RUNNING: ("●", BLUE),
    WorkerState.RESTARTING: ("↻", AMBER),
}

# name, the screen's width from which on it is shown, whether it is a number
_COLUMNS = (
    ("task", 0, True),
    ("pid", 60, True),
    ("state", 0, False),
    ("last exit", 0, False),
    ("restarts", 0, True),
    ("uptime", 50, True),
    ("CPU", 70, True),
    ("memory", 70, True),
    ("ops/s", 0, True),
)
_OF_THE_LIVING = ("uptime", "CPU", "memory")
_ROOMY = 84


def group_status(snapshot: GroupSnapshot, width: int) -> RenderableType:
    """How a group and each of its workers are.

    Args:
        snapshot: the group.
        width: of the screen, in characters; a narrow one has fewer columns.
    """
    return Group(status_line(snapshot), _table(snapshot, width))


def _table(snapshot: GroupSnapshot, width: int) -> Table:
    workers = snapshot.workers
    pad = 2 if width >= _ROOMY else 1
    table = Table(box=None, pad_edge=False, header_style=f"bold {GREY}", padding=(0, pad, 0, 0))
    rows = [_row(worker) for worker in workers[:_MOST_ROWS]]
    absent = set(_OF_THE_LIVING) if snapshot.state.done else set()
    if all(worker.operations is None for worker in workers):
        absent.add("ops/s")
    columns = [(name, number) for name, least, number in _COLUMNS if width >= least and name not in absent]
    for name, number in columns:
        widest = max(cell_len(name), *(row[name].cell_len for row in rows)) if rows else None
        table.add_column(name, justify="right" if number else "left", no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*(row[name] for name, _ in columns))
    if len(workers) > _MOST_ROWS:
        table.add_row(Text("…"), *[Text("")] * (len(columns) - 1))
    return table


def _row(worker: WorkerSnapshot) -> dict[str, Text]:
    last = worker.last_exit
    if worker.state is WorkerState.EXITED:
        # What a stop sends is no failure.
        stopped = last in (-SIGINT, -SIGTERM)
        glyph, colour = ("■", AMBER) if stopped else ("✗", RED) if last else ("✓", GREEN)
    else:
        glyph, colour = _MARKS[worker.state]
    return {
        "task": Text(str(worker.task_id), "bold"),
        "pid": Text("" if worker.pid is None else str(worker.pid)),
        "state": Text(f"{glyph} {worker.state.value}", colour),
        "last exit": Text("" if last is None else describe_status(last), RED if last else ""),
        "restarts": Text(str(worker.restarts), AMBER if worker.restarts else GREY),
        "uptime": Text("" if worker.uptime is None else human_seconds(worker.uptime)),
        "CPU": Text("" if worker.cpu is None else f"{worker.cpu:.0f} %"),
        "memory": Text(human_bytes(worker.memory) if worker.memory else ""),
        "ops/s": Text("" if worker.operations is None else human_rate(worker.operations)),
    }
