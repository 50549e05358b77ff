"""Starting a subprocess: what Popen takes, what is undone when it fails, and what a fork may not disturb."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy
import pytest
from tornado.iostream import PipeIOStream

import ipyproc.process.child
from ipyproc.process import Subprocess
from ipyproc.process.interrupts import interrupts_after
from tests.process.test_subprocess import gated, run
from tests.seccomp import KNOWN_MACHINE
from tests.support import (
    child_pids,
    loop_in_a_thread,
    open_fds,
    run_program,
    system_tells_taken_statuses,
    until,
)

THREE_STREAMS = dict.fromkeys(("stdin", "stdout", "stderr"), Subprocess.STREAM)


# What Popen takes


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_pipesize_is_that_of_the_pipes_of_streams(stream: str) -> None:
    async def main() -> None:
        process = Subprocess(
            ["cat"], pipesize=1 << 17, **{"stdin": Subprocess.STREAM, stream: Subprocess.STREAM}
        )
        pipe = getattr(process, stream)
        assert fcntl.fcntl(pipe.fileno(), fcntl.F_GETPIPE_SZ) == 1 << 17
        process.stdin.close()
        await process.wait_for_exit()
        pipe.close()

    run(main)


def test_a_popen_put_in_place_of_subprocess_popen_is_the_one_that_starts() -> None:
    class Recorded(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            started.append(args[0])
            super().__init__(*args, **kwargs)

    async def main() -> None:
        with mock.patch("subprocess.Popen", Recorded):
            process = Subprocess(["echo", "x"], -1, stdout=Subprocess.STREAM)
        assert type(process.proc) is Recorded
        assert await process.stdout.read_until_close() == b"x\n"
        assert await process.wait_for_exit() == 0

    started: list[list[str]] = []
    run(main)
    assert started == [["echo", "x"]]


def test_a_mock_may_stand_for_popen() -> None:
    async def main() -> None:
        with mock.patch("subprocess.Popen") as popen:
            popen.return_value.pid = 4211
            process = Subprocess(["rm", "-r", "/"], -1, cwd="/tmp")
        popen.assert_called_once_with(["rm", "-r", "/"], bufsize=-1, cwd="/tmp")
        assert process.pid == 4211

    run(main)


class Elementwise(list[str]):
    """Compares as arrays do."""

    def __eq__(self, other: object) -> Any:
        return numpy.array([1, 2]) == 1

    __hash__ = None


@pytest.mark.parametrize("kind", [numpy.array, Elementwise])
@pytest.mark.parametrize("stdout", [None, Subprocess.STREAM], ids=["no stream", "stream"])
def test_arguments_that_compare_by_element_are_taken(kind: Callable[[list[str]], Any], stdout: Any) -> None:
    async def main() -> None:
        process = Subprocess(args=kind(["true", "x"]), stdout=stdout)
        assert await process.wait_for_exit() == 0
        if process.stdout is not None:
            process.stdout.close()

    run(main)


# A start that fails is undone


@contextmanager
def undone() -> Iterator[None]:
    """Within it a start fails: no process is left, no fd, and no fd of somebody else is closed."""
    fds, children = open_fds(), child_pids()
    yield
    assert child_pids() == children
    strangers = [fd for _ in range(4) for fd in os.pipe()]
    inodes = [os.fstat(fd).st_ino for fd in strangers]
    gc.collect()
    assert [os.fstat(fd).st_ino for fd in strangers] == inodes
    for fd in strangers:
        os.close(fd)
    assert open_fds() == fds


def fails_in_os_pipe(patch: pytest.MonkeyPatch, nth: int, fail: Callable[[], Any]) -> None:
    at_the(nth, patch, os, "pipe", fail)


def fails_before_a_stream_owns_its_fd(patch: pytest.MonkeyPatch, nth: int, fail: Callable[[], Any]) -> None:
    at_the(nth, patch, io, "FileIO", fail)


def fails_after_a_stream_owns_its_fd(patch: pytest.MonkeyPatch, nth: int, fail: Callable[[], Any]) -> None:
    at_the(nth, patch, os, "set_blocking", fail)


def fails_when_a_stream_is_made(patch: pytest.MonkeyPatch, nth: int, fail: Callable[[], Any]) -> None:
    at_the(nth, patch, PipeIOStream, "__init__", fail, after=True)


def fails_in_pipesize(patch: pytest.MonkeyPatch, nth: int, fail: Callable[[], Any]) -> None:
    at_the(nth, patch, fcntl, "fcntl", fail)


def fails_before_the_fork(patch: pytest.MonkeyPatch, nth: int, fail: Callable[[], Any]) -> None:
    at_the(1, patch, subprocess, "Popen", fail)


def fails_after_the_fork(patch: pytest.MonkeyPatch, nth: int, fail: Callable[[], Any]) -> None:
    # Of what is done then, the first.
    patch.setattr(ipyproc.process.child.exits, "early_pidfd", lambda pid: fail())


def at_the(
    nth: int,
    patch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    fail: Callable[[], Any],
    after: bool = False,
) -> None:
    whole = getattr(module, name)
    calls = 0

    def partly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and not after:
            fail()
        result = whole(*args, **kwargs)
        if calls == nth and after:
            fail()
        return result

    patch.setattr(module, name, partly)


def no_memory() -> None:
    raise MemoryError


def no_fd() -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@contextmanager
def sigchld_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("error", [MemoryError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize(
    "step",
    [
        fails_in_os_pipe,
        fails_before_a_stream_owns_its_fd,
        fails_after_a_stream_owns_its_fd,
        fails_when_a_stream_is_made,
        fails_in_pipesize,
        fails_before_the_fork,
        fails_after_the_fork,
    ],
)
def test_a_start_that_fails_at_any_step_is_undone_wholly(
    step: Callable[..., None], nth: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = {MemoryError: no_memory, OSError: no_fd, KeyboardInterrupt: interrupt}[error]

    async def main() -> None:
        with undone(), sigchld_ignored(), monkeypatch.context() as patch:
            step(patch, nth, fail)
            with pytest.raises(error):
                Subprocess(["sleep", "60"], pipesize=1 << 16, start_new_session=True, **THREE_STREAMS)

    # Not asyncio.run(), whose own handler of SIGINT cancels the task.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_an_interrupt_in_the_midst_of_a_start_ends_the_process_and_what_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)
            assert self.stdout.read(1) == b"+"
            interrupt()

    async def main() -> None:
        with undone(), pytest.raises(KeyboardInterrupt):
            Subprocess("sleep 60 & echo +; wait", shell=True, stdout=subprocess.PIPE, start_new_session=True)

    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert started[0].returncode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(started[0].pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)
    raise AssertionError("what it started is left")


def test_no_program_is_no_process_and_an_error() -> None:
    async def main() -> None:
        with undone(), pytest.raises(TypeError):
            Subprocess([None, "-c", "pass"], **THREE_STREAMS)

    run(main)


# An interrupt meanwhile


def test_an_interrupt_is_handled_once_when_what_is_half_done_has_been_done() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), interrupts_after():
        interrupt()
        interrupt()
        done.append("all")
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_loops_own_handler_of_an_interrupt_runs_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, handled.append, True)
        with interrupts_after():
            interrupt()
        await until(lambda: handled)
        await asyncio.sleep(0.05)
        loop.remove_signal_handler(signal.SIGINT)

    handled: list[bool] = []
    run(main)
    assert handled == [True]


def test_an_interrupt_in_the_midst_of_a_start_reaches_a_loops_own_handler_once_and_the_process_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, handled.append, True)
        with monkeypatch.context() as patch:
            at_the(1, patch, subprocess, "Popen", interrupt, after=True)
            process = gated(3)
        process.stdin.close()
        assert await process.wait_for_exit(raise_error=False) == 3
        await asyncio.sleep(0.05)
        loop.remove_signal_handler(signal.SIGINT)

    handled: list[bool] = []
    run(main)
    assert handled == [True]


def test_off_the_main_thread_no_handler_is_touched() -> None:
    before = signal.getsignal(signal.SIGINT)
    with loop_in_a_thread() as loop:

        async def main() -> int:
            return await Subprocess(["true"]).wait_for_exit()

        assert asyncio.run_coroutine_threadsafe(main(), loop.asyncio_loop).result(60) == 0
    assert signal.getsignal(signal.SIGINT) is before


# SIGCHLD is ignored


@pytest.mark.skipif(not system_tells_taken_statuses(), reason="pidfds tell no exit status before Linux 6.15")
def test_exit_statuses_are_known_though_sigchld_is_ignored() -> None:
    told = json.loads(run_program("ignored_sigchld.py", "asked").stdout)
    assert told["statuses"] == [0, 1, 7, 255]
    assert (told["killed"], told["late"], told["after Popen.wait()"], told["in a thread"]) == (-9, 4, 5, 6)
    assert told["many"] == list(range(50))
    assert told["jobs"] == [0, 3]
    assert (told["fds"], told["logged"]) == ([], [])


@pytest.mark.skipif(not KNOWN_MACHINE, reason="the seccomp filter is for x86_64 and aarch64")
def test_where_pidfds_tell_no_exit_status_255_and_a_sentence_say_that_sigchld_is_ignored() -> None:
    told = json.loads(run_program("ignored_sigchld.py", "not asked").stdout)
    # What exited before the start had come to its end is known even so.
    assert set(told["statuses"]) <= {0, 1, 7, 255}
    assert told["late"] in (4, 255)
    lost = [line for line in told["logged"] if line.startswith("SIGCHLD is ignored in this process")]
    assert lost
    assert lost == told["logged"]
    assert "reporting 255" in lost[0]
    assert "signal.signal(signal.SIGCHLD, signal.SIG_DFL)" in lost[0]
    assert told["fds"] == []


# Forks


def test_forks_of_a_process_with_living_subprocesses_disturb_none_of_them() -> None:
    told = json.loads(run_program("fork_beside_subprocesses.py").stdout)
    assert told["forks"] == [0] * 4
    assert told["pool"] == [0, 1, 4, 9]
    assert told["echoed"] == ["before", "while the pool lives", "after"]
    for what in ("at the end of its input", "job at the end of its input"):
        assert told[what] == 0, "a copy of the writing end was left in the pool"
    assert told["statuses"] == [3, -9, 0]
    assert told["fds"] == []
