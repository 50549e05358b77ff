"""A kernel with a warden: ``warden_kernel.py FORK KIND...`` starts a job of each kind, guarded.

A kind with a minus sign before it is released again. FORK is how the kernel has forked a child, which
lives on: ``no``, by ``os.fork``, or past Python by the ``raw`` system call. Prints JSON, one line
whenever there is another warden. Ends by itself after a minute.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tornado.ioloop import IOLoop

from ipyproc.hosts.local.warden import Warden

unreaped: list[subprocess.Popen[str]] = []
JOB = str(Path(__file__).with_name("warden_job.py"))


def start(kind: str, warden: Warden) -> list[int]:
    command = [sys.executable, "-S", JOB, kind.lstrip("-")]
    job = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    warden.guard(job.pid)
    unreaped.append(job)
    assert job.stdout is not None
    pids = [int(pid) for pid in job.stdout.readline().split()]
    if kind.startswith("-"):
        warden.release(job.pid)
    return pids


def fork(how: str) -> int | None:
    if how == "no":
        return None
    pid: int = os.fork() if how == "fork" else ctypes.CDLL(None).fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return pid


async def main(how: str, kinds: list[str]) -> None:
    warden = Warden()
    warden.watch(IOLoop.current())
    jobs = {kind.lstrip("-"): start(kind, warden) for kind in kinds}
    if any(kind.startswith("-") for kind in kinds):
        # The warden is told of a release a moment later.
        await asyncio.sleep(0.3)
    child, seen = fork(how), None
    while True:
        if warden.pid not in (None, seen):
            seen = warden.pid
            print(json.dumps({"warden": seen, "fork": child, "jobs": jobs}), flush=True)
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    signal.alarm(60)
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
