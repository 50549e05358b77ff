"""The resource usage of processes: samples, and the CPU load between two of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["CpuMeter", "Usage"]


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
