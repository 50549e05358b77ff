"""The code in the workers of ``%forkbench``: the loop around a statement, and the cost of forking.

The helper imports it before the fork, so that its pages are shared: a worker's private memory is due to the
statement.
"""

from __future__ import annotations

import gc
import json  # noqa: F401 - for `Channel.measure`, so that the import is not a worker's private memory
import marshal
import mmap
import os
import sys
import time
from itertools import repeat

from ipyproc.bench.latency import BUCKETS, bucket_of
from ipyproc.process.bare import signal
from ipyproc.process.supervisor import Supervisor

# Type checkers know this name; `typing` is slow to import, and a cell waits for the helper.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any

__all__ = ["ForkCosts", "Repetition"]

_ROUND_NS = 50_000  # The clock and the records take under one percent of it.
_BOOKS_NS = 50_000_000
_BOOKS_A_REPORT = 5
_GROWTH = 10
_WAIT_SECONDS = 0.0005
_PATIENCE_SECONDS = 5.0
_FORK_ROUNDS = 5

_STEP, _PASSED, _BEGUN, _ENDED, _CPU, _DELAY, _HEAD = range(7)
_NONE = memoryview(bytes(8 * BUCKETS)).cast("q")


class Repetition:
    """Repeat a statement in each worker, for one number of workers after the other.

    The loop around the statement gets rounds, and reports how long each took::

        for turns in repetition:
            begun = now()
            for _ in turns:
                statement
            repetition.took(now() - begun)

    Short statements run several times per round, so that the clock costs them little. The records stand in
    shared memory: the replacement of a worker that was killed continues its records.

    Args:
        code: a function ``forkbench(repetition, now)`` with that loop, in marshal's format.
        filename: the name of the statement in tracebacks.
        source: the statement, with its lines at the numbers that the code has.
        counts: the numbers of workers.
        seconds: the seconds for each number of workers.
    """

    def __init__(self, code: bytes, filename: str, source: str, counts: list[int], seconds: float) -> None:
        self._code = code
        self._filename = filename
        self._source = source
        self._counts = counts
        self._nanoseconds = int(seconds * 1e9)
        self._first_failure = _token()
        self._slots = _shared(max(counts), _HEAD + BUCKETS)
        self._slot = self._slots[0]
        self._latencies = self._slot
        self._turns = 1
        self._done = 0

    def run(self, names: dict[str, Any]) -> None:
        """Run all measurements, in a worker.

        Args:
            names: the namespace for the statement, with ``task_id``, ``barrier`` and ``measure``.
        """
        self._task: int = names["task_id"]()
        self._barrier: Callable[[], None] = names["barrier"]
        self._measure: Callable[..., None] = names["measure"]
        self._slot = self._slots[self._task]
        self._latencies = self._slot[_HEAD:]
        try:
            exec(marshal.loads(self._code), names)
            names.pop("forkbench")(self, time.perf_counter_ns)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if os.read(self._first_failure, 1):
                self._show(error)
            else:
                # All workers fail alike, and one traceback is enough. The first to exit ends the others.
                time.sleep(_PATIENCE_SECONDS)
            sys.exit(1)

    def __iter__(self) -> Iterator[Iterator[None]]:
        slot = self._slot
        for step in range(slot[_STEP], len(self._counts)):
            replaces = slot[_PASSED] > step
            if replaces:
                self._measure(0, began=time.monotonic())
            else:
                self._begin_together(step)
            if self._task < self._counts[step]:
                yield from self._rounds(replaces)
                self._report(step)
            slot[_STEP] = step + 1

    def took(self, nanoseconds: int) -> None:
        """Record how long the last round took, and adapt the size of the next."""
        turns = self._turns
        self._done += turns
        self._latencies[bucket_of(nanoseconds, turns)] += turns
        if nanoseconds < _ROUND_NS // 2:
            self._turns = turns * min(_GROWTH, _ROUND_NS // (nanoseconds + 1))
        elif nanoseconds > 2 * _ROUND_NS and turns > 1:
            # Halve only, since another process may have had the core once.
            self._turns = turns // 2

    def _begin_together(self, step: int) -> None:
        self._slot[_BEGUN:_HEAD] = _NONE[: _HEAD - _BEGUN]
        self._latencies[:] = _NONE
        self._barrier()
        self._slot[_PASSED] = step + 1
        # The barrier lets a number of workers pass: one that returned at once would take another's turn.
        while any(slot[_PASSED] <= step for slot in self._slots):
            time.sleep(_WAIT_SECONDS)

    def _rounds(self, replaces: bool) -> Iterator[Iterator[None]]:
        slot, now = self._slot, time.perf_counter_ns
        # A replacement continues the records of the worker before, and all of its own time counts.
        cpu = slot[_CPU] - (0 if replaces else time.process_time_ns())
        delay = slot[_DELAY] - (0 if replaces else _run_delay())
        if not replaces:
            slot[_BEGUN] = now()
        end = slot[_BEGUN] + self._nanoseconds
        due, entries = now() + _BOOKS_NS, 0
        # One round at the least: a worker that was held up has nothing to report otherwise.
        owes = not replaces
        while (at := now()) < end or owes:
            owes = False
            if at >= due:
                slot[_CPU], slot[_DELAY] = cpu + time.process_time_ns(), delay + _run_delay()
                due, entries = at + _BOOKS_NS, entries + 1
                if entries % _BOOKS_A_REPORT == 0:
                    self._measure(self._done)
            yield repeat(None, self._turns)
        slot[_CPU], slot[_DELAY] = cpu + time.process_time_ns(), delay + _run_delay()
        slot[_ENDED] = max(now(), end)

    def _report(self, step: int) -> None:
        slot = self._slot
        gc.collect()
        self._measure(
            self._done,
            memory=private_bytes(),
            step=step,
            seconds=(slot[_ENDED] - slot[_BEGUN]) / 1e9,
            cpu=slot[_CPU] / 1e9,
            delay=slot[_DELAY] / 1e9,
            latencies=[pair for pair in enumerate(self._latencies.tolist()) if pair[1]],
        )

    def _show(self, error: BaseException) -> None:
        import linecache
        import traceback

        lines = [f"{line}\n" for line in self._source.split("\n")]
        linecache.cache[self._filename] = (len(self._source), None, lines, self._filename)
        trace = first = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename != self._filename:
            trace = trace.tb_next
        shown: TracebackType | None = trace or first
        traceback.print_exception(type(error), error, shown)


class ForkCosts:
    """Measure the cost of forking, by a supervisor in the only worker of the group.

    Args:
        counts: the numbers of workers.
        deaths: the number of deaths to measure.
    """

    def __init__(self, counts: list[int], deaths: int) -> None:
        self._counts = counts
        self._deaths = deaths

    def run(self, names: dict[str, Any]) -> None:
        """Run all measurements, in the worker, and report each number of workers by ``measure``."""
        measure = names["measure"]
        measure(0, began=time.monotonic())
        for done, count in enumerate(self._counts, 1):
            rounds = [_fork_round(count) for _ in range(_FORK_ROUNDS)]
            measure(
                done,
                workers=count,
                running=[seconds for seconds, _ in rounds],
                memory=rounds[-1][1],
                replaced=_replacements(count, self._deaths),
            )


def _fork_round(count: int) -> tuple[float, list[int]]:
    """Fork workers; return the seconds until all run, and the private memory of each."""
    began, private = _shared(2, count)
    begun = time.monotonic_ns()
    number = Supervisor(count, 0).run()
    if number is not None:
        try:
            began[number] = time.monotonic_ns()
            _wait_for(began)
            gc.collect()
            private[number] = private_bytes()
            # A page is private if no other process has it, so none may exit before all have measured.
            _wait_for(private)
            os._exit(0)
        finally:
            os._exit(1)
    return (max(began) - begun) / 1e9, private.tolist()


def _replacements(count: int, deaths: int) -> list[float]:
    """Return the seconds from a worker's death until its replacement runs, for each death."""
    began, took, last = _shared(3, max(count, deaths))
    number = Supervisor(count, deaths).run()
    if number is None:
        return [nanoseconds / 1e9 for nanoseconds in took[:deaths]]
    now = time.monotonic_ns()
    try:
        if number == 0 and last[0]:
            took[last[1]] = now - last[0]
            last[1] += 1
        began[number] = now
        _wait_for(began[:count])
        if number == 0 and last[1] < deaths:
            last[0] = time.monotonic_ns()
            os.kill(os.getpid(), signal.SIGKILL)
        while not took[deaths - 1]:
            time.sleep(_WAIT_SECONDS)
        os._exit(0)
    finally:
        os._exit(1)


def private_bytes() -> int:
    """Return the private memory of this process in bytes."""
    try:
        fd = os.open("/proc/self/smaps_rollup", os.O_RDONLY)
    except OSError:
        import psutil

        unique: int = psutil.Process().memory_full_info().uss
        return unique
    try:
        lines = os.read(fd, 4096).splitlines()
    finally:
        os.close(fd)
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(b"Private_"))


def _run_delay() -> int:
    """Return the nanoseconds for which this process was ready to run but had no core; 0 if not known."""
    try:
        fd = os.open("/proc/self/schedstat", os.O_RDONLY)
    except OSError:
        return 0
    try:
        return int(os.read(fd, 128).split()[1])
    finally:
        os.close(fd)


def _shared(rows: int, columns: int) -> list[memoryview[int]]:
    """Return rows of integers in memory shared with all later forks of this process."""
    memory = mmap.mmap(-1, 8 * rows * columns)
    # Written here, so that this process has each page too, and none counts as a worker's private memory.
    memory[:] = bytes(len(memory))
    cells = memoryview(memory).cast("q")
    return [cells[row * columns : (row + 1) * columns] for row in range(rows)]


def _wait_for(cells: memoryview[int]) -> None:
    while not all(cells):
        time.sleep(_WAIT_SECONDS)


def _token() -> int:
    """Return an fd from which the first reader gets a byte, and the others none."""
    token, end = os.pipe()
    os.write(end, b"1")
    os.close(end)
    return token
