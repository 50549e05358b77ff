"""Starts jobs with ever fewer file descriptors left to open; prints JSON."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import resource
import sys

from ipyproc.job.command import explain_start_error
from ipyproc.job.table import JobTable
from tests.support import open_all_that_may_be, open_fds_below

LIMIT = 128
MOST = 24
"""More than a start needs, with all that a table takes at its first."""


def children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


async def start(table: JobTable, free: int) -> dict[str, object]:
    fillers = open_all_that_may_be()
    for fd in fillers[:free]:
        os.close(fd)
    before = open_fds_below(LIMIT)
    told: dict[str, object] = {"free": free}
    try:
        job = table.spawn(["cat"], name="cat", stdin="hello")
    except OSError as error:
        told["outcome"] = errno.errorcode[error.errno or 0]
        told["sentence"] = explain_start_error(error, "cat")
        told["listed"] = len(table)
    else:
        told["outcome"] = (await job.wait(raise_error=False)).output
    table.clear()
    gc.collect()
    # A look at the processes that was under way may have one still.
    for _ in range(3000):
        if same := open_fds_below(LIMIT) == before:
            break
        await asyncio.sleep(0.01)
    told["fds are as before"] = same
    for fd in fillers[free:]:
        os.close(fd)
    return told


async def a_first_start(free: int) -> dict[str, object]:
    """With a fresh table, which takes its own fds as well."""
    table = JobTable()
    fillers = open_all_that_may_be()
    for fd in fillers[:free]:
        os.close(fd)
    try:
        job = table.spawn(["cat"], stdin="hello")
        outcome = (await job.wait(raise_error=False)).output
    except OSError as error:
        outcome = errno.errorcode[error.errno or 0]
    for fd in fillers[free:]:
        os.close(fd)
    table.end_all()
    return {"free": free, "outcome": outcome, "children": children()}


async def main() -> dict[str, object]:
    table = JobTable()
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    # Once with all that it needs: modules that are imported late need fds too.
    assert (await start(table, MOST))["outcome"] == "hello"
    starts = [await start(table, free) for free in range(MOST + 1)]
    table.end_all()
    left = children()
    return {"starts": starts, "children": left, "firsts": [await a_first_start(n) for n in range(MOST + 1)]}


if __name__ == "__main__":
    json.dump(asyncio.run(asyncio.wait_for(main(), 150)), sys.stdout)
