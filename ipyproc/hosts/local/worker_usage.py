"""Measure the usage of each worker; workers share one session, for which `usage.sample` has only the sum."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ipyproc.model.usage import CpuMeter, Usage

if TYPE_CHECKING:
    import psutil

__all__ = ["WorkerUsage"]

_PAUSE = 0.5


class WorkerUsage:
    """Measure processes on demand, at most twice per second."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        self._meter = CpuMeter(time.monotonic)
        self._last: dict[int, tuple[float | None, int]] = {}
        self._at = 0.0

    def sample(self, pids: Iterable[int]) -> dict[int, tuple[float | None, int]]:
        """Return by pid the CPU in percent of a core since the last measurement, and the resident bytes.

        The CPU is None at the first measurement. A process that has exited has no entry.
        """
        now = time.monotonic()
        wanted = set(pids)
        if not wanted:
            return {}
        if now - self._at < _PAUSE and wanted <= self._last.keys():
            return self._last
        import psutil  # Imported late, since it takes 10 ms.

        processes, usages = {}, {}
        for pid in wanted:
            try:
                process = self._processes.get(pid) or psutil.Process(pid)
                times, memory = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue
            processes[pid] = process
            usages[pid] = Usage(1, times.user + times.system, memory)
        percent = self._meter.update(usages)
        self._processes, self._at = processes, now
        self._last = {pid: (percent.get(pid), usage.rss) for pid, usage in usages.items()}
        return self._last
