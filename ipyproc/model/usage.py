"""The resource usage of processes: samples, and the CPU load between two of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["CpuMeter", "Usage", "UsageHistory", "UsagePoint"]

_MOST_POINTS = 600
_RESTED_POINTS = 60


@dataclass(frozen=True)
class Usage:
    """The resource usage of the running processes of one session.

    Attributes:
        processes: the number of processes, without zombies.
        cpu_seconds: their user and system time since each started.
        rss: their resident memory in bytes; shared pages count in each process.
    """

    processes: int = 0
    cpu_seconds: float = 0.0
    rss: int = 0


class CpuMeter:
    """Compute CPU load, in percent of one processor, from consecutive samples.

    Example::

        meter = CpuMeter(time.monotonic)
        meter.update(sample(pids))
        ...
        percent = meter.update(sample(pids))

    Args:
        clock: returns seconds; it is read once per update.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[int, tuple[float, float]] = {}

    def update(self, usages: Mapping[int, Usage]) -> dict[int, float]:
        """Add a sample made just now.

        Returns:
            For each session that was in the previous sample too, the load since then: 100 is one processor
            all of the time. If a process of the session has ended meanwhile, its time is missing, and
            the load is too low once; it is never below 0.
        """
        now = self._clock()
        percent = {}
        for sid, usage in usages.items():
            if sid in self._last:
                then, seconds = self._last[sid]
                if now <= then:
                    continue
                percent[sid] = max(0.0, usage.cpu_seconds - seconds) / (now - then) * 100
        self._last = {sid: (now, usage.cpu_seconds) for sid, usage in usages.items()}
        return percent


@dataclass(frozen=True)
class UsagePoint:
    """What a job used at one time of its life.

    Attributes:
        seconds: the time since its start.
        cpu: the processor time that its processes took since the point before, as a share of one core: 1.0 is
            one core all of the time. What a process took that has ended meanwhile is missing.
        memory: the resident memory of its processes together, in bytes (RSS); pages that they share count in
            each of them.
    """

    seconds: float
    cpu: float
    memory: int


class UsageHistory:
    """The points of one job, 600 at most: past that, each two become one, and later ones come half as often.

    Of two points that become one, the CPU is the mean and the memory the larger. One thread at a time may
    call `add` and `rest`; any may call `points`.
    """

    __slots__ = ("_numbers", "_step")

    def __init__(self) -> None:
        # Three numbers a point: an object for each would take ten times the memory.
        self._numbers = array("d")
        self._step = 0.0

    def add(self, point: UsagePoint) -> None:
        """Add a point, which is later than the others."""
        numbers = self._numbers
        if len(numbers) > 3 and point.seconds - numbers[-6] < self._step:
            before = UsagePoint(numbers[-3], numbers[-2], int(numbers[-1]))
            point = _joined(before, point, numbers[-6])
            numbers = numbers[:-3]
        elif len(numbers) >= 3 * _MOST_POINTS:
            self._thin(_MOST_POINTS // 2)
            numbers = self._numbers
        # Replaced, since another thread may be reading it.
        self._numbers = numbers + array("d", (point.seconds, point.cpu, point.memory))

    def rest(self) -> None:
        """Keep 60 points, since the job has ended."""
        self._thin(_RESTED_POINTS)

    def points(self) -> list[UsagePoint]:
        """Return the points, the oldest first."""
        numbers = iter(self._numbers)
        return [
            UsagePoint(at, cpu, int(memory))
            for at, cpu, memory in zip(numbers, numbers, numbers, strict=True)
        ]

    def _thin(self, most: int) -> None:
        points = self.points()
        while len(points) > most:
            starts = [0.0, *(point.seconds for point in points[1::2])]
            rest = points[len(points) // 2 * 2 :]
            pairs = zip(points[::2], points[1::2], starts, strict=False)
            points = [_joined(first, second, start) for first, second, start in pairs] + rest
        self._step = points[-1].seconds / most if points else 0.0
        self._numbers = array("d", (value for at in points for value in (at.seconds, at.cpu, at.memory)))


def _joined(first: UsagePoint, second: UsagePoint, start: float) -> UsagePoint:
    """Return one point for two that follow each other, the first of which began at ``start``."""
    whole = second.seconds - start
    share = (first.seconds - start) / whole if whole > 0 else 0.0
    cpu = first.cpu * share + second.cpu * (1 - share)
    return UsagePoint(second.seconds, cpu, max(first.memory, second.memory))
