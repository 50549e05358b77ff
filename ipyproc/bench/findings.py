"""The findings of ``%forkbench``: frozen data, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

__all__ = ["Findings", "ForkCost", "Throughput", "WorkerShare", "limit"]

_FULL = 0.9
_NOTICEABLE = 0.1


@dataclass(frozen=True)
class WorkerShare:
    """The figures of one worker.

    Attributes:
        task_id: its number.
        operations: how often it ran the statement, its predecessors included.
        seconds: the seconds from its begin to the end of its last operation.
        p50: the median time of an operation in seconds.
        p99: the 99th percentile of the time of an operation in seconds.
        cpu: its processor time in percent of a core.
        delay: the time for which it was ready to run but had no core, in percent.
        memory: its private memory in bytes at the end, after ``gc.collect()``.
    """

    task_id: int
    operations: int
    seconds: float
    p50: float
    p99: float
    cpu: float
    delay: float
    memory: int

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds


@dataclass(frozen=True)
class Throughput:
    """The figures of a number of workers together.

    Attributes:
        workers: the number of workers.
        rate: the operations per second of all together.
        p50: the median time of an operation in seconds. Operations shorter than 50 us are timed several at
            once, and each counts with their mean.
        p99: the 99th percentile of the time of an operation in seconds.
        speedup: the rate relative to that of the smallest number of workers.
        efficiency: the speed-up relative to the ideal one, which is the ratio of the numbers of workers.
        shares: the figures of each worker.
        replaced: for each worker killed, the seconds until its replacement ran the statement.
    """

    workers: int
    rate: float
    p50: float
    p99: float
    speedup: float
    efficiency: float
    shares: tuple[WorkerShare, ...]
    replaced: tuple[float, ...] = ()

    @property
    def rate_each(self) -> float:
        """Operations per second and worker."""
        return self.rate / self.workers

    @property
    def cpu(self) -> float:
        """The mean processor time of a worker in percent of a core."""
        return mean(share.cpu for share in self.shares)

    @property
    def delay(self) -> float:
        """The mean time for which a worker waited for a core, in percent."""
        return mean(share.delay for share in self.shares)

    @property
    def memory(self) -> float:
        """The mean private memory of a worker in bytes."""
        return mean(share.memory for share in self.shares)

    @property
    def memory_total(self) -> int:
        """The private memory of all workers in bytes."""
        return sum(share.memory for share in self.shares)


@dataclass(frozen=True)
class ForkCost:
    """The cost of forking a number of workers.

    Attributes:
        workers: the number of workers.
        running: the seconds from the call that forks them until all run, for each round.
        replaced: the seconds from a worker's death until its replacement runs, for each death.
        private: the private memory of each worker in bytes, after ``gc.collect()``.
    """

    workers: int
    running: tuple[float, ...]
    replaced: tuple[float, ...]
    private: tuple[int, ...]

    @property
    def running_p50(self) -> float:
        """The median of `running`."""
        return median(self.running)

    @property
    def replaced_p50(self) -> float:
        """The median of `replaced`."""
        return median(self.replaced)

    @property
    def memory(self) -> float:
        """The mean private memory of a worker in bytes."""
        return mean(self.private)

    @property
    def memory_total(self) -> int:
        """The private memory of all workers in bytes."""
        return sum(self.private)


@dataclass(frozen=True)
class Findings:
    """All figures measured so far.

    Attributes:
        statement: the statement that was repeated; None if the cost of forking was measured.
        cores: the number of cores that the workers may run on.
        helper: the seconds from the call until the helper's first worker ran; None before that.
        rows: with a statement, the figures of each number of workers.
        costs: without a statement, the cost of each number of workers.
    """

    statement: str | None
    cores: int
    helper: float | None = None
    rows: tuple[Throughput, ...] = ()
    costs: tuple[ForkCost, ...] = ()

    @property
    def limit(self) -> str:
        """A sentence on what limits the speed-up; empty before two numbers of workers were measured."""
        return limit(self.rows, self.cores)


def limit(rows: Sequence[Throughput], cores: int) -> str:
    """Return a sentence on what limits the speed-up from the smallest to the largest number of workers.

    Args:
        rows: the figures, by number of workers.
        cores: the number of cores.
    """
    if len(rows) < 2:
        return ""
    first, last = rows[0], rows[-1]
    times = f"{last.workers} workers do {last.speedup:.2f} times what {first.workers} {_does(first.workers)}"
    busy, waiting = last.cpu / 100, last.delay / 100
    if last.efficiency >= _FULL:
        return f"Nothing limits it yet: {times}."
    if last.workers > cores and busy + waiting >= _FULL:
        used = busy * last.workers
        rest = " (other programs had the rest)" if used < _FULL * cores else ""
        return (
            f"The cores limit it: {times}, since there {_are(cores)}, of which they used {used:.2f}{rest}; "
            "more workers than cores gain nothing."
        )
    if waiting >= _NOTICEABLE:
        return (
            f"Other programs limit it: {times}, since each waited {waiting * 100:.0f} % of the time "
            "for a core that something else held."
        )
    if busy < _FULL:
        return (
            f"Waiting limits it: {times}, and each used {busy * 100:.0f} % of a core; the rest of the "
            "time it waited, such as for a lock, a disk or the network."
        )
    serial = _serial_share(last)
    return (
        f"The statement's own serial part limits it: {times}, as if {serial * 100:.0f} % of it could be done "
        f"by one worker at a time (Amdahl's law), such as by memory that all share; at best "
        f"{1 / serial:.1f} times, however many workers."
    )


def _serial_share(row: Throughput) -> float:
    """Return the serial part that explains a speed-up, by Amdahl's law."""
    ratio = row.speedup / row.efficiency
    return min(1.0, max(0.001, (ratio / row.speedup - 1) / (ratio - 1)))


def _does(workers: int) -> str:
    return "does" if workers == 1 else "do"


def _are(cores: int) -> str:
    return "is 1 core" if cores == 1 else f"are {cores} cores"
