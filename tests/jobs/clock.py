"""Time, where a test is about what a job does at a time: it passes when the test says so, not before.

A machine that stands still for some seconds cannot be told from one on which these seconds have passed. A
test that gives a job a second, and does something meanwhile, is one that fails there: it gives an hour, does
what it has to do, and has the hour pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from ipyproc.hosts.local import driver, execution
from ipyproc.hosts.local.job import LocalJob
from ipyproc.job.job import Job
from ipyproc.job.result import Result
from ipyproc.model import after_exit, stops
from ipyproc.model.life import Gone
from ipyproc.model.state import JobState
from ipyproc.process.platform import sessions
from tests.support import until

__all__ = ["HOUR", "Clock", "clock", "killed_are_waited_for", "left_by", "stopped_at_its_second_signal"]

HOUR = 3600.0


class Clock:
    """The clock of this process's jobs: the system's, which can be moved on."""

    time = staticmethod(time.time)

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def pass_for(self, job: Job, seconds: float = HOUR) -> None:
        """Has time pass, and what is due by then be done; call on the loop of the job."""
        assert isinstance(job.hosted, LocalJob)
        self._ahead += seconds
        job.hosted._driver._timers_due()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (driver, execution):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def killed_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What got SIGKILL is waited for as long as it takes to go, which is seconds where it is frozen."""
    for module, name in (
        (after_exit, "KILL_SECONDS"),
        (stops, "KILL_SECONDS"),
        (sessions, "_KILL_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 60.0)


def left_by(job: Job) -> int | None:
    """How many processes the job's own has left, as far as they were counted; None before its exit."""
    assert isinstance(job.hosted, LocalJob)
    process = job.hosted._life.process
    return process.left if isinstance(process, Gone) else None


async def stopped_at_its_second_signal(
    job: Job, clock: Clock, before: Callable[[], object] = lambda: True
) -> Result:
    """Stops a job that the first signal does not end; the second comes once ``before()`` is true."""
    stop = asyncio.ensure_future(job.stop(grace=HOUR))
    await until(lambda: job.state is JobState.STOPPING)
    await until(before)
    clock.pass_for(job)
    return await stop
