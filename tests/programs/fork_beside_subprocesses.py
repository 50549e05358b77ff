"""Forks, and runs a pool of forks, while subprocesses live; prints JSON of what became of these."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import signal
import sys
import warnings
from typing import Any

from ipyproc.job.table import JobTable
from ipyproc.process import Subprocess


def fork(in_child: Any) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        in_child()
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(9)
    os._exit(0)


def square(number: int) -> int:
    gc.collect()
    return number * number


async def main() -> dict[str, object]:
    before = set(os.listdir("/proc/self/fd"))
    cat = Subprocess(["cat"], stdin=Subprocess.STREAM, stdout=Subprocess.STREAM)
    exits = Subprocess(["/bin/sh", "-c", "read x; exit 3"], stdin=Subprocess.STREAM)
    killed = Subprocess(["sleep", "60"], stderr=Subprocess.STREAM)
    table = JobTable()
    job = table.spawn("cat")
    living = [exits, killed, cat]
    waits = [process.wait_for_exit(raise_error=False) for process in living]
    echoed: list[str] = []

    async def echo(text: str) -> None:
        await cat.stdin.write(f"{text}\n".encode())
        echoed.append((await cat.stdout.read_until(b"\n")).decode().strip())

    await echo("before")

    def drops_everything() -> None:
        living.clear()
        gc.collect()

    def closes_everything() -> None:
        for process in living:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close_fd()
        strangers = [os.pipe() for _ in range(10)]
        gc.collect()
        for ends in strangers:
            for fd in ends:
                os.fstat(fd)

    def looks() -> None:
        for process in living:
            process.proc.poll()

    def has_processes_of_its_own() -> None:
        # A loop of its own: the other one is the parent's.
        asyncio._set_running_loop(None)

        async def own() -> int:
            return await Subprocess(["/bin/sh", "-c", "exit 5"]).wait_for_exit(raise_error=False)

        assert asyncio.run(own()) == 5

    forks = [fork(each) for each in (drops_everything, closes_everything, looks, has_processes_of_its_own)]
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        squares = pool.map(square, range(4))
        await echo("while the pool lives")
        exits.stdin.close()
        await echo("after")
        cat.stdin.close()
        job.close_stdin()
        result = await asyncio.wait_for(job.wait(), 60)
        at_end = await asyncio.wait_for(waits[2], 60)
        killed.proc.send_signal(signal.SIGKILL)
        statuses = await asyncio.gather(*waits)
    for stream in (cat.stdout, killed.stderr):
        stream.close()
    pool.join()
    del pool, context
    table.clear()
    table.end_all()
    # The table keeps a poll of its own while it lives.
    del job, table
    for _ in range(3000):
        gc.collect()
        if set(os.listdir("/proc/self/fd")) <= before:
            break
        await asyncio.sleep(0.01)
    return {
        "forks": forks,
        "pool": squares,
        "echoed": echoed,
        "at the end of its input": at_end,
        "job at the end of its input": result.returncode,
        "statuses": statuses,
        "fds": sorted(set(os.listdir("/proc/self/fd")) - before),
    }


if __name__ == "__main__":
    # Python 3.12 warns of any fork beside a thread; the pool has some.
    warnings.simplefilter("ignore", DeprecationWarning)
    json.dump(asyncio.run(asyncio.wait_for(main(), 150)), sys.stdout)
