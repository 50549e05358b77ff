"""What jobs use: processor time and memory, summed over each session."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

__all__ = ["CpuMeter", "Usage", "sample"]


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


def sample(sids: Collection[int]) -> dict[int, Usage]:
    """Looks once over all processes, and sums what those of some sessions use.

    It costs a microsecond for each process there is and about 40 for each that counts; it may be
    called from any thread.

    Args:
        sids: the sessions, such as the pids of jobs.

    Returns:
        A `Usage` for each of ``sids``; that of an ended session has no processes.
    """
    import psutil  # Not needed before somebody looks, and 10 ms to import.

    wanted = frozenset(sids)
    members: dict[int, list[tuple[float, int]]] = {sid: [] for sid in wanted}
    for pid in psutil.pids() if wanted else ():
        try:
            if (sid := os.getsid(pid)) not in wanted:
                continue
            process = psutil.Process(pid)
            # Not in oneshot(), which costs more here than it saves.
            times, rss = process.cpu_times(), process.memory_info().rss
            # A zombie has no memory; but neither, by some systems' rough count, has a very small process.
            if not rss and process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (OSError, psutil.Error):
            continue  # It has exited meanwhile, or is another user's.
        members[sid].append((times.user + times.system, rss))
    return {
        sid: Usage(len(used), sum(seconds for seconds, _ in used), sum(rss for _, rss in used))
        for sid, used in members.items()
    }


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
