"""What processes use, as values: a sample, and what two samples that follow each other come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["CpuMeter", "Usage"]


@dataclass(frozen=True)
class Usage:
    """What the living processes of one session use.

    Attributes:
        processes: how many there are; zombies do not count.
        cpu_seconds: user and system time since each began.
        rss: resident memory in bytes; what processes share is counted in each.
    """

    processes: int = 0
    cpu_seconds: float = 0.0
    rss: int = 0


class CpuMeter:
    """Turns samples that follow each other into percent of one processor.

    Example::

        meter = CpuMeter(time.monotonic)
        meter.update(sample(pids))
        ...
        percent = meter.update(sample(pids))

    Args:
        clock: gives seconds; it is read once an update.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[int, tuple[float, float]] = {}

    def update(self, usages: Mapping[int, Usage]) -> dict[int, float]:
        """Takes a sample made just now.

        Returns:
            For each session that was in the sample before as well, the percent since then: 100 is
            one processor, all of the time. When a process of the session has ended meanwhile, its
            time is missing, and the percent is too low for once; it is never below 0.
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
