"""Waits for processes while SIGCHLD is ignored; prints JSON.

argv[1] is "asked" or, for a system whose pidfds tell no exit status, "not asked".
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading

import psutil

from ipyproc.job.table import JobTable
from ipyproc.process import Subprocess
from tests.seccomp import refuse_ioctl

PIDFD_GET_INFO = 0xC040FF0B

logged: list[str] = []


class Log(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logged.append(record.getMessage())


async def wait(program: str) -> int:
    return await Subprocess(["/bin/sh", "-c", program]).wait_for_exit(raise_error=False)


async def wait_late(program: str) -> int:
    process = Subprocess(["/bin/sh", "-c", program])
    while psutil.pid_exists(process.pid):
        await asyncio.sleep(0.005)
    return await process.wait_for_exit(raise_error=False)


async def wait_after_popen(program: str) -> int:
    process = Subprocess(["/bin/sh", "-c", program])
    process.proc.wait()
    return await process.wait_for_exit(raise_error=False)


async def jobs() -> list[int]:
    table = JobTable()
    started = [table.spawn(["/bin/sh", "-c", f"exit {status}"]) for status in (0, 3)]
    results = [await job.wait(raise_error=False) for job in started]
    table.clear()
    table.end_all()
    return [result.returncode for result in results]


async def main() -> dict[str, object]:
    thread: list[int] = []
    other = threading.Thread(target=lambda: thread.append(asyncio.run(wait("exit 6"))))
    other.start()
    await asyncio.to_thread(other.join)
    return {
        "statuses": [await wait(f"exit {status}") for status in (0, 1, 7, 255)],
        "killed": await wait("kill -9 $$"),
        "late": await wait_late("exit 4"),
        "after Popen.wait()": await wait_after_popen("exit 5"),
        "in a thread": thread[0],
        "many": await asyncio.gather(*(wait(f"exit {status}") for status in range(50))),
        "jobs": await jobs(),
        "fds": await pidfds(),
        "logged": logged,
    }


async def pidfds() -> list[str]:
    # The table's warden has ended, and its exit is still to be seen.
    for _ in range(3000):
        gc.collect()
        if not (left := [name for name in os.listdir("/proc/self/fd") if "pidfd" in name_of(name)]):
            break
        await asyncio.sleep(0.01)
    return left


def name_of(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    logging.getLogger("tornado.general").addHandler(Log())
    if sys.argv[1] == "not asked":
        refuse_ioctl(PIDFD_GET_INFO)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    json.dump(asyncio.run(asyncio.wait_for(main(), 150)), sys.stdout)
