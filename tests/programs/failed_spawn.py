"""Starts what cannot be started, with the Subprocess of the module named in argv[1]; prints JSON.

For each reason: the error, the fds left over, and what became of fds that somebody else opened
under the same numbers right after.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path


def reasons(directory: Path) -> dict[str, tuple[list[str], dict[str, object]]]:
    not_executable = directory / "not-executable"
    not_executable.write_text("#!/bin/sh\n")
    not_executable.chmod(0o644)
    return {
        "a missing program": ([str(directory / "missing")], {}),
        "a program that is not executable": ([str(not_executable)], {}),
        "a directory": ([str(directory)], {}),
        "a missing working directory": (["true"], {"cwd": directory / "missing"}),
        "an argument that Popen does not know": (["true"], {"flavour": "mint"}),
    }


def number_of_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def is_open(fd: int, inode: int) -> bool:
    try:
        return os.fstat(fd).st_ino == inode
    except OSError:
        return False


async def main(module: str) -> dict[str, object]:
    Subprocess = importlib.import_module(module).Subprocess
    unraisable: list[str] = []
    sys.unraisablehook = lambda what: unraisable.append(repr(what.exc_value))
    warnings.simplefilter("ignore", ResourceWarning)
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as directory:
        for reason, (command, options) in reasons(Path(directory)).items():
            before = number_of_fds()
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), Subprocess.STREAM)
            try:
                Subprocess(command, **streams, **options)
                error = None
            except Exception as exception:
                error = type(exception).__name__
                left = number_of_fds() - before
                # While the error, and so the frames of the failed constructor, are still alive.
                strangers = [fd for _ in range(3) for fd in os.pipe()]
            inodes = [os.fstat(fd).st_ino if is_open_at_all(fd) else 0 for fd in strangers]
            gc.collect()
            await asyncio.sleep(0)
            lost = [fd for fd, inode in zip(strangers, inodes, strict=True) if not is_open(fd, inode)]
            for fd in set(strangers) - set(lost):
                os.close(fd)
            results[reason] = {
                "error": error,
                "left open": left,
                "closed under others": len(lost),
                "unraisable": unraisable[:],
            }
            unraisable.clear()
    return results


def is_open_at_all(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
