"""What workers use, each for itself: they share one session, over which jobs are summed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

__all__ = ["WorkerUsage"]

_PAUSE = 0.5


class WorkerUsage:
    """Looks at processes when it is asked, but not more often than twice a second."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        self._seconds: dict[int, tuple[float, float]] = {}
        self._last: dict[int, tuple[float | None, int]] = {}
        self._at = 0.0

    def sample(self, pids: Iterable[int]) -> dict[int, tuple[float | None, int]]:
        """CPU in percent of a core since the look before, None at the first, and resident bytes.

        A process that is gone has no entry.
        """
        now = time.monotonic()
        wanted = set(pids)
        if now - self._at < _PAUSE and wanted <= self._last.keys():
            return self._last
        import psutil  # not needed before somebody looks

        processes, seconds, looks = {}, {}, {}
        for pid in wanted:
            try:
                process = self._processes.get(pid) or psutil.Process(pid)
                times, memory = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue
            processes[pid] = process
            used = times.user + times.system
            then, before = self._seconds.get(pid, (now, used))
            percent = max(0.0, used - before) / (now - then) * 100 if now > then else None
            looks[pid] = (percent, memory)
            seconds[pid] = (now, used)
        self._processes, self._seconds, self._last, self._at = processes, seconds, looks, now
        return looks
