"""A start that fails at any step is undone: no process, no fd, nothing guarded, the table as it was."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import ipyproc.hosts.local.start as start_module
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.execution import Execution
from ipyproc.hosts.local.feed import Feed
from ipyproc.hosts.local.loop_end import LoopEnd
from ipyproc.hosts.local.pipes import Pipes
from ipyproc.hosts.local.run import Run
from ipyproc.hosts.local.session import Session
from ipyproc.hosts.local.stream import SpoolStream
from ipyproc.hosts.local.terminal import Gate, Terminal
from ipyproc.hosts.local.warden import Warden
from ipyproc.job.job import Job
from ipyproc.job.table import JobTable
from ipyproc.model.state import JobState
from ipyproc.process import Subprocess
from ipyproc.process.platform import pty
from tests.jobs.looped import looped
from tests.jobs.trees import MARK, marked
from tests.support import steady_fds, until

ERRORS = [
    OSError(errno.EMFILE, "Too many open files"),
    MemoryError(),
    RuntimeError("can't start new thread"),
    KeyboardInterrupt(),
]

# Each callee on the way, and at which of its calls it fails.
STEPS: dict[str, tuple[object, str, int]] = {
    "the pipe for the input": (os, "pipe", 1),
    "the pipe for the output": (os, "pipe", 2),
    "the pipe for the errors": (os, "pipe", 3),
    "the writer of the input": (Feed, "__init__", 1),
    "the input made non-blocking": (os, "set_blocking", 1),
    "the reader of the output": (SpoolStream, "__init__", 1),
    "the reader of the errors": (SpoolStream, "__init__", 2),
    "the output made non-blocking": (os, "set_blocking", 2),
    "the numbers of the pipes": (os, "fstat", 1),
    "the word to the warden": (Warden, "expect", 1),
    "the message to the warden": (Warden, "_send", 1),
    "the shell": (start_module, "launch_of", 1),
    "the environment": (start_module, "environment_of", 1),
    "the fork": (subprocess, "Popen", 1),
    "the session's number to the warden": (Warden, "guard", 1),
    "the message with that number": (Warden, "_send", 2),
    "the pipes for the stand-in": (Pipes, "add", 1),
    "the second pipe for the stand-in": (Pipes, "add", 2),
    "the session": (Session, "__init__", 1),
    "the driver": (Driver, "add", 1),
    "the watch for the exit": (Subprocess, "set_exit_callback", 1),
    "the pidfd": (os, "pidfd_open", 1),
    "the watch for the loop's end": (LoopEnd, "watch", 1),
    "the timer of the timeout": (Driver, "at", 1),
    "the look after it": (Execution, "_begin", 1),
    "the beginning of its reading": (Run, "begin", 1),
    "the output entered in the loop's poll": (SpoolStream, "start", 1),
    "the errors entered in the loop's poll": (SpoolStream, "start", 2),
    "the writing of the input": (Feed, "write", 1),
    "the handle": (Job, "__init__", 1),
}


TERMINAL_STEPS: dict[str, tuple[object, str, int]] = {
    "the terminal": (os, "openpty", 1),
    "its size": (pty, "set_size", 1),
    "our slave of it": (Terminal, "__init__", 1),
    "the copy of the master": (os, "dup", 1),
    "the writer of the input": (Feed, "__init__", 1),
    "the number of the terminal": (pty, "number_of", 1),
    "the reader": (SpoolStream, "__init__", 1),
    "the word to the warden": (Warden, "expect", 1),
    "the list of open fds": (os, "listdir", 1),
    "the fork": (os, "posix_spawn", 1),
    "the session's number to the warden": (Warden, "guard", 1),
    "the pipes for the stand-in": (Pipes, "add", 1),
    "the session": (Session, "__init__", 1),
    "the watch for the exit": (Subprocess, "set_exit_callback", 1),
    "the look after it": (Execution, "_begin", 1),
    "the beginning of its reading": (Run, "begin", 1),
    "the output entered in the loop's poll": (SpoolStream, "start", 1),
    "the handle": (Job, "__init__", 1),
}

# Of one that needs what posix_spawn cannot do.
GATE_STEPS: dict[str, tuple[object, str, int]] = {
    "the gate": (Gate, "__init__", 1),
    "a pipe of the gate": (os, "pipe", 1),
    "the other pipe of the gate": (os, "pipe", 2),
    "the numbers of the pipes": (os, "fstat", 1),
    "what the program is to do": (start_module, "instructions", 1),
    "the file that says so": (start_module, "nameless_file", 1),
    "the fork": (subprocess, "Popen", 1),
    "the session's number to the warden": (Warden, "guard", 1),
    "the gate's opening": (Gate, "open", 1),
    # After Popen's own.
    "the answer of the program": (os, "read", 2),
    "the session": (Session, "__init__", 1),
}


@contextmanager
def failing(place: object, name: str, at: int, error: BaseException, *, after: bool) -> Iterator[list[int]]:
    """Have the call number ``at`` of a function raise, before it does anything or when it has done all."""
    original: Callable[..., Any] = getattr(place, name)
    thread, calls = threading.current_thread(), [0]

    def call(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is not thread:
            return original(*args, **kwargs)
        calls[0] += 1
        if calls[0] != at:
            return original(*args, **kwargs)
        if after:
            original(*args, **kwargs)
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, call)
        yield calls


def guarded_by(warden: Warden) -> tuple[dict[int, None], dict[int, bytes]]:
    return dict(warden._guarded), dict(warden._expected)


async def fails_at(
    table: JobTable, step: tuple[object, str, int], error: BaseException, *, after: bool, **how: Any
) -> None:
    await table.spawn("true", name="warm", **how)
    await until(lambda: not table.local.resources.warden._guarded)
    fds, jobs, guarded = steady_fds(), list(table), guarded_by(table.local.resources.warden)
    threads = {thread for thread in threading.enumerate() if thread.name != "ipyproc census"}
    children = _children()
    place, name, at = step
    mark = uuid.uuid4().hex
    with failing(place, name, at, error, after=after) as calls, pytest.raises(type(error)):
        given = {} if how else {"stdin": "x" * 300_000}
        # What a shell runs is not waited for.
        command = ["sleep", "60"] if how else "sleep 60"
        table.spawn(command, name="failing", env={MARK: mark}, timeout=60, **how, **given)
    assert calls[0] >= at
    # At once: who was told of the error may look.
    assert not marked(mark)
    assert list(table) == jobs
    assert guarded_by(table.local.resources.warden) == guarded
    # What the loop's poll knew it forgets as it comes round.
    await until(lambda: steady_fds() == fds)
    with pytest.raises(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            # Only wardens are children: this table's, and those of other tables of this process.
            assert _children() - children == set()
            raise ChildProcessError
    now = {thread for thread in threading.enumerate() if thread.name != "ipyproc census"}
    assert now == threads
    # The loop goes on, and so does the table.
    assert (await table.spawn("cat", name="failing", stdin="well", **how)).stdout == "well"


def _children() -> set[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(word) for word in file.read().split()}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_start_that_fails_at_a_step_is_undone(table: JobTable, step: str, error: BaseException) -> None:
    looped(fails_at)(table, STEPS[step], error, after=False)


@pytest.mark.parametrize("step", TERMINAL_STEPS)
@pytest.mark.parametrize("error", ERRORS[-3:], ids=lambda error: type(error).__name__)
def test_a_start_on_a_terminal_that_fails_at_a_step_is_undone(
    table: JobTable, step: str, error: BaseException
) -> None:
    looped(fails_at)(table, TERMINAL_STEPS[step], error, after=False, tty=True)


@pytest.mark.parametrize("step", GATE_STEPS)
@pytest.mark.parametrize("error", ERRORS[-3:], ids=lambda error: type(error).__name__)
def test_a_start_at_the_gate_that_fails_at_a_step_is_undone(
    table: JobTable, step: str, error: BaseException
) -> None:
    looped(fails_at)(table, GATE_STEPS[step], error, after=False, tty=True, umask=0o22)


# What has no result that is lost by this.
_DONE = [
    step
    for step, (place, name, _) in STEPS.items()
    if place not in (os, start_module, subprocess)
    and (place not in (Feed, SpoolStream) or name != "__init__")
]


@pytest.mark.parametrize("step", _DONE)
def test_a_start_that_fails_right_after_a_step_is_undone(table: JobTable, step: str) -> None:
    looped(fails_at)(table, STEPS[step], MemoryError(), after=True)


@pytest.mark.parametrize("step", ["the gate's opening", "the session's number to the warden", "the session"])
def test_a_start_on_a_terminal_that_fails_right_after_a_step_is_undone(table: JobTable, step: str) -> None:
    if step in TERMINAL_STEPS:
        looped(fails_at)(table, TERMINAL_STEPS[step], MemoryError(), after=True, tty=True)
    looped(fails_at)(table, GATE_STEPS[step], MemoryError(), after=True, tty=True, umask=0o22)


NO_ROOM = OSError(errno.ENOSPC, "No space left on device")  # As of a poll that may watch no more.


def failing_once(monkeypatch: pytest.MonkeyPatch, place: object, name: str, error: BaseException) -> None:
    """Have the next call of a function raise, in whatever thread."""
    original: Callable[..., Any] = getattr(place, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(place, name, original)
        raise error

    monkeypatch.setattr(place, name, call)


def test_a_job_of_another_thread_that_cannot_be_read_ends_and_says_why(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    @looped
    async def main() -> None:
        await table.spawn("true")
        failing_once(monkeypatch, SpoolStream, "start", NO_ROOM)
        mark = uuid.uuid4().hex
        job = await asyncio.to_thread(table.spawn, "sleep 60", name="lost", env={MARK: mark})
        result = await asyncio.wait_for(job.wait(raise_error=False), 30)
        assert (result.returncode, "No space left on device" in result.notes[0]) == (127, True)
        assert not marked(mark) and not job.left
        assert (await table.spawn("echo on", name="lost")).stdout == "on\n"

    main()


@pytest.mark.parametrize(
    ("place", "name", "error"),
    [
        (SpoolStream, "start", NO_ROOM),
        (start_module, "launch_of", MemoryError()),
        (Session, "__init__", NO_ROOM),
    ],
    ids=["reading", "memory", "session"],
)
def test_a_restart_that_fails_half_way_is_tried_again(
    table: JobTable, monkeypatch: pytest.MonkeyPatch, place: object, name: str, error: BaseException
) -> None:
    @looped
    async def main() -> None:
        mark = uuid.uuid4().hex
        job = table.spawn(
            "read x; exit 1", restart="on-failure", max_restarts=3, backoff=0.05, env={MARK: mark}
        )
        await until(lambda: marked(mark))
        before = job.pid
        failing_once(monkeypatch, place, name, error)
        job.send("on\n")
        await until(
            lambda: job.state is JobState.RUNNING and job.pid != before and job.snapshot().restarts == 2
        )
        assert "it could not be started again" in job.snapshot().notes[0]
        await until(lambda: len(marked(mark)) == 1)
        await job.stop()
        assert not marked(mark)

    main()
