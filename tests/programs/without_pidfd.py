"""Uses Subprocess under a seccomp filter that refuses pidfd_open, as some container runtimes do.

Prints JSON.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ipyproc.process import Subprocess
from tests.seccomp import refuse_pidfd_open


def exits(status: int) -> Subprocess:
    return Subprocess(["/bin/sh", "-c", f"exit {status}"])


async def waits() -> list[int]:
    processes = [exits(status) for status in (0, 1, 2)]
    codes = [await process.wait_for_exit(raise_error=False) for process in processes]
    return codes + [await process.wait_for_exit(raise_error=False) for process in processes]


async def wait_killed() -> int:
    process = Subprocess(["sleep", "60"])
    wait = process.wait_for_exit(raise_error=False)
    process.proc.kill()
    return await wait


async def threads() -> list[list[int]]:
    Subprocess.initialize()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(2) as pool:
        return await asyncio.gather(*(loop.run_in_executor(pool, asyncio.run, waits()) for _ in range(2)))


async def wait_and_catch() -> str:
    process = Subprocess(["sleep", "60"])
    try:
        process.set_exit_callback(lambda code: None)
    except RuntimeError as error:
        return str(error)
    finally:
        process.proc.kill()
        process.proc.wait()
    return "no error"


async def uninitialize_and_initialize_again() -> int:
    Subprocess.initialize()
    process = Subprocess(["/bin/sh", "-c", "read x; exit 6"], stdin=Subprocess.STREAM)
    wait = process.wait_for_exit(raise_error=False)
    Subprocess.uninitialize()
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    Subprocess.initialize()
    return await wait


def run(main: Any) -> Any:
    return asyncio.run(asyncio.wait_for(main, 100))


def main() -> dict[str, object]:
    refuse_pidfd_open()
    results: dict[str, object] = {}
    try:
        os.pidfd_open(os.getpid())
    except OSError as error:
        results["pidfd_open"] = errno.errorcode[error.errno]
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(1) as pool:
        results["off the main thread, unprepared"] = pool.submit(run, wait_and_catch()).result()
    results["one loop"] = run(waits())
    results["another loop"] = run(waits())
    results["killed"] = run(wait_killed())
    results["threads"] = run(threads())
    results["initialized again"] = run(uninitialize_and_initialize_again())
    Subprocess.uninitialize()
    results["handler afterwards"] = str(signal.getsignal(signal.SIGCHLD))
    gc.collect()
    results["fds left"] = len(os.listdir("/proc/self/fd")) - before
    return results


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
