"""Runs CPython's own test_subprocess over ipyproc.process.Subprocess; prints JSON.

argv[1] is "pipe", where Popen makes the pipes, or "stream", where each PIPE is our `STREAM`, made a file
again for the tests, which know no streams. Every process is started through `Subprocess`, whose `proc`
is the very Popen that the test has. Its exit is watched by a loop besides, which has to see what the test
sees.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from typing import Any

from tornado.ioloop import IOLoop

from ipyproc.process import Subprocess
from tests.cpython import run

SECONDS = 60
OWNER = os.getpid()
BRIEF = "import time; time.sleep(0.3)"

RealPopen = subprocess.Popen
streams = sys.argv[1] == "stream"
local = threading.local()
pump_lock = threading.Lock()
counts = {"started": 0, "agreed": 0}


async def current() -> IOLoop:
    return IOLoop.current()


loop = asyncio.new_event_loop()
io_loop = loop.run_until_complete(current())


async def until_seen(seen: list[int]) -> None:
    deadline = loop.time() + SECONDS
    while not seen and loop.time() < deadline:
        await asyncio.sleep(0.001)


class Same(type):
    """Gives `Subprocess`, when it makes a Popen, the one that is being made."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        starting: Popen | None = getattr(local, "starting", None)
        if starting is None:
            return super().__call__(*args, **kwargs)
        local.starting = None
        RealPopen.__init__(starting, *args, **kwargs)
        return starting


class Popen(RealPopen, metaclass=Same):
    """One that starts its process through `Subprocess`."""

    _ours: Subprocess | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and isinstance(args[0], list) and args[0][-1:] == [BRIEF]:
            # test_wait_timeout, which looks while it runs: a loaded machine takes longer to come to that.
            args = ([*args[0][:-1], "import time; time.sleep(4)"], *args[1:])
        names = [name for name in ("stdin", "stdout", "stderr") if kwargs.get(name) == subprocess.PIPE]
        if streams:
            kwargs.update(dict.fromkeys(names, Subprocess.STREAM))
        local.starting = self
        try:
            ours = Subprocess.on(io_loop, *args, **kwargs)
        finally:
            local.starting = None
        assert ours.proc is self
        if streams:
            for name in names:
                setattr(self, name, self._file(name, getattr(ours, name), args, kwargs))
        if self.pid is None:
            return  # A test that starts no process.
        counts["started"] += 1
        self._seen: list[int] = []
        try:
            ours.set_exit_callback(self._seen.append)
        except OSError:
            return  # A test that lets nobody have one fd more.
        self._ours = ours

    def _file(self, name: str, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What Popen makes of its end of a pipe."""
        fd = os.dup(stream.fileno())
        stream.close_fd()
        os.set_blocking(fd, True)
        bufsize = kwargs.get("bufsize", args[1] if len(args) > 1 else -1)
        by_line = bool(self.text_mode) and bufsize == 1
        file = open(fd, "wb" if name == "stdin" else "rb", -1 if by_line or bufsize is None else bufsize)
        if not self.text_mode:
            return file
        coding = {"encoding": kwargs.get("encoding"), "errors": kwargs.get("errors")}
        if name == "stdin":
            return io.TextIOWrapper(file, write_through=True, line_buffering=by_line, **coding)
        return io.TextIOWrapper(file, **coding)

    def wait(self, timeout: float | None = None) -> int:
        return self._agree(super().wait(timeout))

    def poll(self) -> int | None:
        status = super().poll()
        return status if status is None else self._agree(status)

    def _agree(self, status: int) -> int:
        # Not from within the loop, which asks for the status too, nor in a fork.
        if self._ours is None or asyncio._get_running_loop() is not None or os.getpid() != OWNER:
            return status
        with pump_lock:
            loop.run_until_complete(until_seen(self._seen))
        if self._seen != [status] or self._ours.returncode != status:
            raise AssertionError(f"the loop has seen {self._seen}, and Popen {status}")
        counts["agreed"] += 1
        return status


def main() -> dict[str, object]:
    sys.warnoptions.clear()
    # A test of it opens as many files as it may, if these are few.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    warnings.resetwarnings()
    subprocess.Popen = Popen
    from test import test_subprocess

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = run(unittest.defaultTestLoader.loadTestsFromModule(test_subprocess), "test_subprocess")
        os.chdir("/")
    return {**found, **counts, "file": test_subprocess.__file__}


if __name__ == "__main__":
    print(json.dumps(main()))
