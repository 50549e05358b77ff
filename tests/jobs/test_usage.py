from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from ipyproc.hosts.local import usage_watch
from ipyproc.hosts.local.usage import sample
from ipyproc.job.fork import fork
from ipyproc.job.table import JobTable
from ipyproc.model.usage import CpuMeter, Usage
from tests.jobs.looped import looped
from tests.support import until, wait_until


@contextmanager
def session(*command: str) -> Iterator[int]:
    with subprocess.Popen(command, start_new_session=True) as leader:
        try:
            yield leader.pid
        finally:
            os.killpg(leader.pid, signal.SIGKILL)


def test_a_session_is_the_sum_of_its_processes() -> None:
    with session("sh", "-c", "sleep 60 & sleep 60 & wait") as sid, session("sleep", "60") as other:

        def summed_by_hand() -> Usage:
            family = [psutil.Process(sid), *psutil.Process(sid).children()]
            seconds = sum(sum(one.cpu_times()[:2]) for one in family)
            return Usage(len(family), seconds, sum(one.memory_info().rss for one in family))

        # Their memory grows while they start.
        wait_until(lambda: (usage := sample([sid])[sid]).processes == 3 and usage == summed_by_hand())
        assert set(usages := sample([sid, other])) == {sid, other}
        assert (usages[sid].processes, usages[other].processes) == (3, 1)
        assert usages[other].rss > 0


def test_the_processor_time_of_the_living_is_summed() -> None:
    with session(sys.executable, "-S", "-c", "while True: pass") as sid:
        wait_until(lambda: sample([sid])[sid].cpu_seconds > 0.1)


def test_a_session_that_has_ended_uses_nothing_and_a_zombie_is_none() -> None:
    ended = subprocess.Popen(["true"], start_new_session=True)
    wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
    assert sample([ended.pid]) == {ended.pid: Usage()}
    ended.wait()
    assert sample([ended.pid]) == {ended.pid: Usage()}
    assert sample([]) == {}


def test_processes_that_come_and_go_meanwhile_are_skipped_also_off_the_main_thread() -> None:
    script = "while :; do sleep 0 & sleep 0 & wait; done"
    failures: list[BaseException] = []

    def look() -> None:
        try:
            for _ in range(30):
                assert sample([sid])[sid].processes >= 1
        except BaseException as error:
            failures.append(error)

    with session("sh", "-c", script) as sid:
        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_meter_gives_percent_of_one_processor_between_two_samples() -> None:
    clock = Clock()
    meter = CpuMeter(clock)
    assert meter.update({1: Usage(1, 5.0, 0), 2: Usage(1, 1.0, 0)}) == {}
    clock.now += 2
    assert meter.update({1: Usage(1, 6.0, 0), 2: Usage(2, 5.0, 0)}) == {1: 50.0, 2: 200.0}
    clock.now += 4
    assert meter.update({1: Usage(1, 6.0, 0), 3: Usage(1, 1.0, 0)}) == {1: 0.0}
    clock.now += 1
    assert meter.update({1: Usage(1, 6.5, 0), 2: Usage(2, 5.0, 0), 3: Usage(1, 2.0, 0)}) == {
        1: 50.0,
        3: 100.0,
    }


def test_a_meter_is_never_below_zero_when_a_process_ended_nor_divides_by_no_time() -> None:
    clock = Clock()
    meter = CpuMeter(clock)
    meter.update({1: Usage(2, 5.0, 0)})
    assert meter.update({1: Usage(2, 5.0, 0)}) == {}
    clock.now += 1
    assert meter.update({1: Usage(1, 2.0, 0)}) == {1: 0.0}
    clock.now += 1
    assert meter.update({1: Usage(1, 2.25, 0)}) == {1: 25.0}


@pytest.mark.parametrize("kind", ["job", "group"])
@looped
async def test_a_job_has_points_of_its_usage_while_it_runs_and_after_its_end(
    table: JobTable, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_watch, "_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(usage_watch, "_REST", 1)
    busy = "import time\nuntil = time.monotonic() + 60\nwhile time.monotonic() < until: sum(range(1000))"
    job = table.spawn([sys.executable, "-c", busy]) if kind == "job" else fork(busy, 1, table=table)
    assert job.usage == []
    # The system counts in hundredths of a second.
    await until(lambda: len(job.usage) >= 2 and max(point.cpu for point in job.usage) > 0.01)
    # It may be that at the first it was not even loaded yet.
    await until(lambda: job.usage[-1].memory > 1 << 20)
    first, second = job.usage[:2]
    assert 0 < first.seconds < second.seconds
    job.kill()
    await job.wait(raise_error=False)
    assert job.usage[:2] == [first, second]
    if kind == "group":
        return
    left, right = job.plot().axes
    assert list(left.lines[0].get_ydata()) == [point.cpu for point in job.usage]
    assert right.get_ylabel() == "memory, MB"


@looped
async def test_idle_jobs_are_measured_ever_more_seldom_and_nothing_is_once_they_have_ended(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_watch, "_FIRST_SECONDS", 0.02)
    monkeypatch.setattr(usage_watch, "_LONGEST_SECONDS", 0.08)
    job = table.spawn(["sleep", "60"])
    watch = table.local.resources.usage
    await until(lambda: watch._pause == 0.08)
    # A look at many processes takes long, and rests for longer.
    monkeypatch.setattr(usage_watch, "_LONGEST_SECONDS", 30)
    other = usage_watch.UsageWatch(table.local.resources.census, ())
    clock = iter((0.0, 0.07))
    other._took = lambda: next(clock)
    other._measure([job.hosted])
    assert other._pause == 30
    await until(lambda: 0 <= job.usage[-1].cpu < 0.5)
    job.kill()
    await job.wait(raise_error=False)
    await until(lambda: watch._driver is None and not watch._last)
