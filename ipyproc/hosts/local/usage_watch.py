"""Measure all jobs of a host over their lives, in one look at the system, seldom enough to cost nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol, TypeGuard
from weakref import ref

from ipyproc.hosts.local.census import Census
from ipyproc.hosts.local.driver import Driver, Timer
from ipyproc.hosts.local.usage import sample
from ipyproc.model.usage import UsagePoint

if TYPE_CHECKING:
    from ipyproc.hosts.base import HostedJob
    from ipyproc.process.platform.sessions import Member

__all__ = ["UsageWatch"]

log = logging.getLogger("ipyproc")

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_REST = 500
"""The pause between two looks, as a multiple of the processor time that one takes: a fifth of a percent."""

_QUIET_CPU = 0.01
_QUIET_MEMORY = 1 << 20


class Watched(Protocol):
    """A job that is measured."""

    @property
    def pid(self) -> int:
        """The session."""

    @property
    def age(self) -> float | None:
        """The seconds since the job was started; None if it has no process now."""

    def add_usage(self, point: UsagePoint) -> None:
        """Take what it uses at this moment; on the thread of the census."""


class UsageWatch:
    """Measure the jobs of a host once a second at most, and every 30 s at least.

    The pause is 500 times the processor time of the last look, and doubles as long as no job uses more than a
    hundredth of a core or changes its memory by a MiB. Nothing is measured while no job runs. The looks run
    on the thread of the census; any thread may call `begin`.

    Args:
        census: looks at the processes of sessions.
        living: the jobs of the host; those that are `Watched` are measured.
    """

    def __init__(self, census: Census, living: Collection[HostedJob]) -> None:
        self._census = census
        self._living = living
        self._driver: Driver | None = None
        self._timer: Timer | None = None
        self._pause = _FIRST_SECONDS
        self._is_new = False
        # By session: when it was measured, its processor time then, and its memory.
        self._last: dict[int, tuple[float, float, int]] = {}
        self._took: Callable[[], float] = time.thread_time

    def begin(self, driver: Driver) -> None:
        """Note that a job was started, on the loop of ``driver``."""
        self._is_new = True
        if self._driver is None or self._driver.closed:
            self._driver = driver
            self._arm(driver)
        elif self._timer is not None and self._timer.due - time.monotonic() > _FIRST_SECONDS:
            timer, self._timer = self._timer, None
            if timer.take():
                self._arm(self._driver)

    def _arm(self, driver: Driver) -> None:
        if self._is_new:
            self._is_new, self._pause = False, _FIRST_SECONDS
        watch = ref(self)

        def look() -> None:
            if (this := watch()) is not None:
                this._look()

        # Of a loop that is closed the timer is never due, and would keep this, and the jobs, for ever.
        self._timer = driver.later(self._pause, look)

    def _look(self) -> None:
        """Have all jobs measured; where a loop is driven."""
        jobs = [job for job in list(self._living) if _is_measured(job)]
        driver, self._driver = self._driver, None
        if not jobs or driver is None or driver.closed:
            self._last = {}
            return
        self._driver = driver

        def answer(_members: list[Member]) -> None:
            try:
                self._measure(jobs)
            except Exception:
                log.exception("Measuring the jobs failed.")
            self._arm(driver)

        self._census.ask(jobs[0].pid, answer)

    def _measure(self, jobs: list[Watched]) -> None:
        began, now = self._took(), time.monotonic()
        ages = {job.pid: (job, age) for job in jobs if (age := job.age) is not None}
        usages = sample(ages)
        last, self._last = self._last, {}
        quiet = True
        for sid, usage in usages.items():
            if not usage.processes:
                continue
            job, age = ages[sid]
            # Of the first look at a process all of its time counts, as if it had taken that lately.
            before, seconds, memory = last.get(sid, (now - max(age, 1e-3), 0.0, 0))
            cpu = max(0.0, usage.cpu_seconds - seconds) / max(now - before, 1e-3)
            job.add_usage(UsagePoint(age, cpu, usage.rss))
            self._last[sid] = (now, usage.cpu_seconds, usage.rss)
            quiet = quiet and cpu < _QUIET_CPU and abs(usage.rss - memory) < _QUIET_MEMORY
        pause = max(self._pause * 2 if quiet else _FIRST_SECONDS, (self._took() - began) * _REST)
        self._pause = min(pause, _LONGEST_SECONDS)


def _is_measured(job: object) -> TypeGuard[Watched]:
    return getattr(job, "age", None) is not None
