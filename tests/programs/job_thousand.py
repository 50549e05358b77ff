"""Runs argv[1] jobs at once, each with its own exit status and output; prints what that took, as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import threading

from ipyproc.job.result import Result
from ipyproc.job.table import JobTable


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def all_at_once(table: JobTable, number: int) -> tuple[int, int]:
    """Returns how many ended as they should, and how many lived at one moment."""
    jobs = [
        table.spawn(["/bin/sh", "-c", f"read x; echo $x; exit {n % 250}"], name=f"job {n}")
        for n in range(number)
    ]
    at_once = sum(not job.done for job in jobs)
    for n, job in enumerate(jobs):
        job.send(f"{n}\n")
    results: list[Result] = await asyncio.gather(*(job.wait(raise_error=False) for job in jobs))
    right = sum(
        result.returncode == n % 250 and job.output == f"{n}\n"
        for n, (job, result) in enumerate(zip(jobs, results, strict=True))
    )
    return right, at_once


async def rested() -> None:
    """Waits until the thread that looks at processes has ended, as it does a moment after the last look."""
    for _ in range(6000):
        await asyncio.sleep(0.01)
        if not any(thread.name == "ipyproc census" for thread in threading.enumerate()):
            return


async def main(number: int) -> dict[str, object]:
    table = JobTable()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    # What the interpreter and the allocator keep for good is not the jobs'.
    await all_at_once(table, number)
    table.clear()
    await rested()
    fds, threads, memory = len(os.listdir("/proc/self/fd")), threading.active_count(), resident()
    right, at_once = await all_at_once(table, number)
    listed = len(table)
    table.clear()
    await rested()
    told = {
        "right": right,
        "at once": at_once,
        "listed": listed,
        "fds": len(os.listdir("/proc/self/fd")) - fds,
        "threads": threading.active_count() - threads,
        "memory": resident() - memory,
    }
    table.end_all()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        told["children"] = True
    except ChildProcessError:
        told["children"] = False
    return told


if __name__ == "__main__":
    json.dump(asyncio.run(main(int(sys.argv[1]))), sys.stdout)
