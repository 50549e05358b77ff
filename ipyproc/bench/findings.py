"""What a benchmark found out: frozen data, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

__all__ = ["Findings", "ForkCost", "Throughput", "WorkerShare", "limit"]

_FULL = 0.9
_NOTICEABLE = 0.1


@dataclass(frozen=True)
class WorkerShare:
    """What one worker did.

    Attributes:
        task_id: its number.
        operations: how often it ran the statement, its predecessors included.
        seconds: from its begin to the end of its last operation.
        p50: half of its operations took so many seconds at most.
        p99: so did 99 of 100.
        cpu: processor time, in percent of a core.
        delay: how long it was ready to run and had no core, in percent.
        memory: bytes that it had for itself at the end, after ``gc.collect()``.
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
        """Operations a second."""
        return self.operations / self.seconds


@dataclass(frozen=True)
class Throughput:
    """What a number of workers did together.

    Attributes:
        workers: how many there were.
        rate: operations a second, of all together.
        p50: half of the operations took so many seconds at most; one that is shorter than 50 us is
            timed together with others, and stands for their mean.
        p99: so did 99 of 100.
        speedup: the rate in relation to that of the smallest number of workers.
        efficiency: the speed-up in relation to what so many more workers could give at best.
        shares: what each did.
        replaced: for each worker that was killed, the seconds until its replacement ran the statement.
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
        """Operations a second, a worker."""
        return self.rate / self.workers

    @property
    def cpu(self) -> float:
        """Processor time a worker, in percent of a core."""
        return mean(share.cpu for share in self.shares)

    @property
    def delay(self) -> float:
        """For how much of the time a worker waited for a core, in percent."""
        return mean(share.delay for share in self.shares)

    @property
    def memory(self) -> float:
        """Bytes that a worker had for itself."""
        return mean(share.memory for share in self.shares)

    @property
    def memory_total(self) -> int:
        """Bytes that the workers had for themselves, together."""
        return sum(share.memory for share in self.shares)


@dataclass(frozen=True)
class ForkCost:
    """What it costs to have a number of workers.

    Attributes:
        workers: how many.
        running: seconds from the call that forks them until all run, once a round.
        replaced: seconds from a worker's death until its replacement runs, once a death.
        private: bytes that each worker has for itself, after ``gc.collect()``.
    """

    workers: int
    running: tuple[float, ...]
    replaced: tuple[float, ...]
    private: tuple[int, ...]

    @property
    def running_p50(self) -> float:
        """The median of the rounds."""
        return median(self.running)

    @property
    def replaced_p50(self) -> float:
        """The median of the deaths."""
        return median(self.replaced)

    @property
    def memory(self) -> float:
        """Bytes that a worker has for itself."""
        return mean(self.private)

    @property
    def memory_total(self) -> int:
        """Bytes that the workers have for themselves, together."""
        return sum(self.private)


@dataclass(frozen=True)
class Findings:
    """Everything that has been measured so far.

    Attributes:
        statement: what was repeated; None where it was forking itself that was measured.
        cores: how many there are for the workers.
        helper: seconds from the call until the helper's first worker ran; None before that.
        rows: with a statement, one a number of workers.
        costs: without one, the same.
    """

    statement: str | None
    cores: int
    helper: float | None = None
    rows: tuple[Throughput, ...] = ()
    costs: tuple[ForkCost, ...] = ()

    @property
    def limit(self) -> str:
        """What limits, in a sentence; empty as long as two numbers of workers are not to compare."""
        return limit(self.rows, self.cores)


def limit(rows: Sequence[Throughput], cores: int) -> str:
    """What keeps the largest number of workers from being as many times as fast as the smallest.

    Args:
        rows: by the number of workers.
        cores: how many there are.
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
    """The serial part that explains a speed-up, by Amdahl's law."""
    ratio = row.speedup / row.efficiency
    return min(1.0, max(0.001, (ratio / row.speedup - 1) / (ratio - 1)))


def _does(workers: int) -> str:
    return "does" if workers == 1 else "do"


def _are(cores: int) -> str:
    return "is 1 core" if cores == 1 else f"are {cores} cores"
