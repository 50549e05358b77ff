"""Forks of a kernel that has jobs: ``forked_kernel.py CASE``; exits with 0 when all is as it should be."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable

from ipyproc.errors import NoLoopError
from ipyproc.job.table import JobTable
from tests.support import steady_fds, until

# Python's own, that a process with threads forks.
warnings.simplefilter("ignore", DeprecationWarning)

LARGE = 300_000


async def pool(table: JobTable) -> None:
    """The end of a job's input arrives while a pool lives that was forked after the job had started."""
    job = table.spawn("cat")
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as workers:
        assert await asyncio.to_thread(workers.map, abs, [-1, -2]) == [1, 2]
        job.send("said\n")
        job.close_stdin()
        result = await asyncio.wait_for(job.wait(), 60)
        assert result.output == "said\n"
        assert workers.map(abs, [-3]) == [3]
        # And of a job that starts while the pool lives.
        late = table.spawn("cat")
        late.close_stdin()
        await asyncio.wait_for(late.wait(), 60)


def spawns(table: JobTable) -> None:
    """A fork cannot start a job, and is told so in one sentence."""
    try:
        table.spawn("true")
    except NoLoopError as error:
        assert str(error) == (
            "This process is a fork of the one that has the jobs, and cannot start any; "
            "start them there, or start this process by multiprocessing's 'spawn'."
        ), error
    else:
        raise AssertionError("a fork has started a job")


async def refused(table: JobTable) -> None:
    job = table.spawn("cat")
    assert in_a_fork(lambda: spawns(table), os._exit) == 0
    job.close_stdin()
    await job


async def exits(table: JobTable) -> None:
    """A fork that exits, in whichever way, disturbs nothing of the jobs."""
    job = table.spawn(f"head -c {LARGE} /dev/zero; cat", stdin=None, name="large")
    loud = table.spawn("while :; do echo on; sleep 0.02; done", name="loud")
    await until(lambda: job.size == LARGE and loud.size)
    fds, warden = steady_fds(), table.local.resources.warden.pid
    for leave in (os._exit, sys.exit):
        for deed in (lambda: None, lambda: list(table), lambda: job.output, lambda: table.end_all()):
            assert in_a_fork(deed, leave) == 0
    assert steady_fds() == fds
    assert table.local.resources.warden.pid == warden and table.local.resources.warden.alive()
    # The stand-in's poll still has the pipes.
    assert table.local.resources.pipes.all() and await asyncio.to_thread(table.local.resources.pipes.wait, 60)
    assert job.read() == bytes(LARGE)
    job.send("more")
    job.close_stdin()
    assert (await asyncio.wait_for(job.wait(), 60)).stdout.endswith("\0more")
    size = loud.size
    await until(lambda: loud.size > size)
    # A shell whose sleep ends as the SIGINT comes takes it for handled.
    assert (await loud.stop(grace=60)).ended_by in {"SIGINT", "SIGTERM"}
    # What another thread hands in wakes the loop, which nothing else does now.
    await asyncio.wait_for(asyncio.to_thread(time.sleep, 0.1), 60)


def in_a_fork(deed: Callable[[], object], leave: Callable[[int], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            deed()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        leave(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def main(case: str) -> None:
    table = JobTable()
    await {"pool": pool, "refused": refused, "exits": exits}[case](table)
    table.end_all()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
