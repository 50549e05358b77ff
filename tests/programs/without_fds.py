"""Starts subprocesses with ever fewer file descriptors left to open; prints JSON."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import resource
import sys

from ipyproc.process import Subprocess
from tests.support import open_all_that_may_be, open_fds_below

LIMIT = 64
MOST = 14
"""More than a start with three streams needs."""


async def start(free: int) -> dict[str, object]:
    fillers = open_all_that_may_be()
    for fd in fillers[:free]:
        os.close(fd)
    before = open_fds_below(LIMIT)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), Subprocess.STREAM)
    try:
        process = Subprocess(["cat"], **streams)
    except OSError as error:
        outcome = errno.errorcode[error.errno or 0]
    else:
        outcome = "started"
        process.stdin.close()
        await process.stdout.read_until_close()
        await process.stderr.read_until_close()
        assert await process.wait_for_exit() == 0
    gc.collect()
    same = open_fds_below(LIMIT) == before
    for fd in fillers[free:]:
        os.close(fd)
    return {"free": free, "outcome": outcome, "fds are as before": same}


async def wait_without_one() -> dict[str, object]:
    process = Subprocess(["/bin/sh", "-c", "read x; exit 3"], stdin=Subprocess.STREAM)
    fillers = open_all_that_may_be()
    try:
        process.wait_for_exit(raise_error=False)
        outcome = "watched"
    except OSError as error:
        outcome = errno.errorcode[error.errno or 0]
    for fd in fillers:
        os.close(fd)
    wait = process.wait_for_exit(raise_error=False)
    process.stdin.close()
    return {"outcome": outcome, "later": await wait}


async def main() -> dict[str, object]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    # Once with all that it needs: modules that are imported late need fds too.
    assert (await start(MOST))["outcome"] == "started"
    return {"starts": [await start(free) for free in range(MOST + 1)], "wait": await wait_without_one()}


if __name__ == "__main__":
    json.dump(asyncio.run(asyncio.wait_for(main(), 150)), sys.stdout)
