"""Uses Subprocess under a seccomp filter that refuses pidfd_open, as some container runtimes do.

Prints JSON. The filter is for x86_64 and aarch64, where the system call has the same number.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import gc
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ipyproc.process import Subprocess

PIDFD_OPEN = 434
AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_AARCH64 = 0xC00000B7

LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
OFFSET_OF_NUMBER, OFFSET_OF_ARCH = 0, 4
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_SET_NO_NEW_PRIVS = 38


class Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    ]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction))]


def refuse_pidfd_open() -> None:
    # Jumps count the instructions that are passed over.
    filter_ = [
        (LOAD_WORD, 0, 0, OFFSET_OF_ARCH),
        (JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
        (JUMP_IF_EQUAL, 0, 2, AUDIT_ARCH_AARCH64),
        (LOAD_WORD, 0, 0, OFFSET_OF_NUMBER),
        (JUMP_IF_EQUAL, 1, 0, PIDFD_OPEN),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL_WITH | errno.EPERM),
    ]
    instructions = (Instruction * len(filter_))(*filter_)
    program = Program(len(filter_), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 4
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, None, None, None),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), None, None),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"prctl{arguments}")


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
    return asyncio.run(asyncio.wait_for(main, 20))


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
