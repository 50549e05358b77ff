"""Runs CPython's own test_asyncio/test_subprocess over ipyproc.process.Subprocess; prints JSON.

argv[1] is the watcher of exits, "pidfd" or "sigchld". In place of asyncio's functions stand ones that give
a `Process` over our streams.
"""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import json
import subprocess
import sys
import unittest
import warnings
from typing import Any

from tornado.iostream import PipeIOStream, StreamClosedError

from ipyproc.process import Subprocess
from tests.cpython import run

started: list[int] = []


class Writer:
    """What a test asks of an asyncio.StreamWriter."""

    def __init__(self, stream: PipeIOStream) -> None:
        self._stream = stream
        self._writes: list[asyncio.Future[None]] = []

    def write(self, data: bytes) -> None:
        self._writes.append(self._stream.write(data))

    def close(self) -> None:
        self._stream.close()

    async def drain(self) -> None:
        writes, self._writes = self._writes, []
        try:
            for write in writes:
                await write
        except StreamClosedError as error:
            raise ConnectionResetError from error.real_error


class Reader:
    """What a test asks of an asyncio.StreamReader."""

    def __init__(self, stream: PipeIOStream) -> None:
        self._stream = stream

    async def read(self, number: int = -1) -> bytes:
        try:
            if number < 0:
                return await self._stream.read_until_close()
            return await self._stream.read_bytes(number, partial=True)
        except StreamClosedError:
            return b""

    async def readline(self) -> bytes:
        return await self._stream.read_until(b"\n")


class Process:
    """What a test asks of an asyncio.subprocess.Process."""

    def __init__(self, ours: Subprocess) -> None:
        self._ours = ours
        self.pid = ours.pid
        self.stdin = Writer(ours.stdin) if ours.stdin is not None else None
        self.stdout = Reader(ours.stdout) if ours.stdout is not None else None
        self.stderr = Reader(ours.stderr) if ours.stderr is not None else None
        # Its exit is to be seen although nobody waits.
        ours.set_exit_callback(lambda status: None)

    @property
    def returncode(self) -> int | None:
        return self._ours.returncode

    def send_signal(self, signum: int) -> None:
        self._ours.proc.send_signal(signum)

    def terminate(self) -> None:
        self._ours.proc.terminate()

    def kill(self) -> None:
        self._ours.proc.kill()

    async def wait(self) -> int:
        return await self._ours.wait_for_exit(raise_error=False)

    async def communicate(self, input: bytes | None = None) -> tuple[bytes | None, bytes | None]:
        async def feed() -> None:
            if self.stdin is not None:
                try:
                    self.stdin.write(input or b"")
                    await self.stdin.drain()
                except (ConnectionResetError, StreamClosedError):
                    pass
                self.stdin.close()

        async def read(reader: Reader | None) -> bytes | None:
            return None if reader is None else await reader.read()

        _, out, err = await asyncio.gather(feed(), read(self.stdout), read(self.stderr))
        await self.wait()
        return out, err


async def create_subprocess_exec(program: Any, *args: Any, **kwargs: Any) -> Process:
    return await start((program, *args), kwargs)


async def create_subprocess_shell(command: str, **kwargs: Any) -> Process:
    return await start(command, {**kwargs, "shell": True})


async def start(command: Any, kwargs: dict[str, Any]) -> Process:
    kwargs.pop("limit", None)
    for argument in ("text", "encoding", "errors", "universal_newlines"):
        if kwargs.get(argument):
            raise ValueError(f"{argument} is not for streams")
    for name in ("stdin", "stdout", "stderr"):
        if kwargs.get(name) == subprocess.PIPE:
            kwargs[name] = Subprocess.STREAM
    ours = Subprocess(command, **kwargs)
    started.append(ours.pid)
    process = Process(ours)
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return process


def cases(watcher: str) -> type[unittest.TestCase]:
    from test.test_asyncio import test_subprocess, utils

    class OverSubprocess(test_subprocess.SubprocessMixin, utils.TestCase):
        def setUp(self) -> None:
            super().setUp()
            self.loop = asyncio.new_event_loop()
            self.set_event_loop(self.loop)
            if watcher == "sigchld":
                self.loop.run_until_complete(self._initialize())
                self.addCleanup(Subprocess.uninitialize)

        async def _initialize(self) -> None:
            Subprocess.initialize()

    return OverSubprocess


def main(watcher: str) -> dict[str, object]:
    sys.warnoptions.clear()
    warnings.resetwarnings()
    # The tests do not close what they read.
    warnings.simplefilter("ignore", ResourceWarning)
    for module in (asyncio, asyncio.subprocess):
        module.create_subprocess_exec = create_subprocess_exec
        module.create_subprocess_shell = create_subprocess_shell
    from test.test_asyncio import test_subprocess

    suite = unittest.defaultTestLoader.loadTestsFromModule(test_subprocess)
    suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(cases(watcher)))
    found = run(suite, "test_asyncio")
    return {**found, "started": len(started), "file": test_subprocess.__file__}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
