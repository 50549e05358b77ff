"""What forked workers cost: time to replace a dead one, memory of a living one."""

from __future__ import annotations

import gc
import importlib
import mmap
import os
import time
from collections.abc import Callable
from statistics import median

from tests.bench.rounds import fresh, in_turn
from tests.bench.table import OURS, Bar, Row

MODULES = {OURS: "ipyproc.process", "tornado": "tornado.process"}
DEATHS = 100
OBJECTS = 200 << 20
RESTART_ROUNDS = 10
MEMORY_ROUNDS = 3


def forked(module: str, **options: int) -> int | None:
    """The task id in a worker; None in the parent when all have ended."""
    try:
        return importlib.import_module(module).fork_processes(1, **options)
    except SystemExit:  # Tornado's parent leaves the interpreter where the specification returns None.
        return None


def restart(contender: str) -> float:
    """Median seconds from a worker's last word to its replacement's first, ``DEATHS`` times over."""
    # Deaths so far, the time of the last one, then what each replacement took.
    board = memoryview(mmap.mmap(-1, 8 * (DEATHS + 2))).cast("q")
    if forked(MODULES[contender], max_restarts=DEATHS) is None:
        return median(board[2:]) / 1e9
    now, deaths = time.perf_counter_ns(), board[0]
    if deaths:
        board[1 + deaths] = now - board[1]
    if deaths == DEATHS:
        os._exit(0)
    board[0] = deaths + 1
    board[1] = time.perf_counter_ns()
    os._exit(1)


def resident() -> int:
    """Bytes of this process in memory."""
    return _kilobytes("Rss:") << 10


def private() -> int:
    """Bytes that are in memory for this process alone."""
    return (_kilobytes("Private_Clean:") + _kilobytes("Private_Dirty:")) << 10


def _kilobytes(field: str) -> int:
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith(field))


def many_objects() -> list[list[object]]:
    """About 200 MB of small lists, the kind that the garbage collector walks over."""
    before, objects = resident(), []
    while resident() - before < OBJECTS:
        objects.extend([number, str(number)] for number in range(100_000))
    return objects


def memory(contender: str) -> float:
    """Private bytes of a worker once it has collected its garbage."""
    objects = many_objects()
    board = memoryview(mmap.mmap(-1, 8)).cast("q")
    if forked(MODULES[contender]) is None:
        del objects
        return board[0]
    gc.collect()
    board[0] = private()
    os._exit(0)


def rows_of(measure: Callable[[str], float], rounds: int, *row: object) -> list[Row]:
    measured = in_turn({who: lambda who=who: fresh(measure, who) for who in MODULES}, rounds)
    return [measured.row(*row)]


def restart_rows() -> list[Row]:
    """One row, ours beside Tornado's."""
    what = "From a forked worker's death to its replacement running (median)"
    return rows_of(restart, RESTART_ROUNDS, "fork-restart", what, "s", Bar(1.0, "tornado"))


def memory_rows() -> list[Row]:
    """One row, ours beside Tornado's."""
    what = f"Private memory of a worker after gc.collect(), {OBJECTS >> 20} MiB of objects before the fork"
    return rows_of(memory, MEMORY_ROUNDS, "fork-memory", what, "B", Bar(0.25, "tornado"))
