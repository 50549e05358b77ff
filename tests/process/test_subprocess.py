"""What is ours alone: loops by name, the SIGCHLD watcher's comings and goings, and want of everything."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tornado.ioloop import IOLoop

from ipyproc.process import CalledProcessError, Subprocess
from tests.seccomp import KNOWN_MACHINE
from tests.support import loop_in_a_thread, open_fds, run_program, until, wait_until

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], seconds: float = 60) -> T:
    async def whole() -> T:
        return await asyncio.wait_for(main(), seconds)

    return asyncio.run(whole())


def exits(status: int) -> Subprocess:
    return Subprocess(["/bin/sh", "-c", f"exit {status}"])


def gated(status: int) -> Subprocess:
    """A child that exits with ``status`` when its stdin is closed, not before."""
    return Subprocess(["/bin/sh", "-c", f"read x; exit {status}"], stdin=Subprocess.STREAM)


@contextmanager
def initialized() -> Iterator[None]:
    """The SIGCHLD watcher, on the current loop."""
    Subprocess.initialize()
    try:
        yield
    finally:
        Subprocess.uninitialize()


# Loops by name


def test_io_loop_works_and_warns_the_caller() -> None:
    with loop_in_a_thread() as loop:
        with pytest.warns(DeprecationWarning, match="io_loop") as warned:
            process = Subprocess(["echo", "hello"], stdout=Subprocess.STREAM, io_loop=loop)
        assert warned[0].filename == __file__
        assert process.io_loop is loop

        async def read_and_wait() -> tuple[bytes, int]:
            return await process.stdout.read_until_close(), await process.wait_for_exit()

        done = asyncio.run_coroutine_threadsafe(read_and_wait(), loop.asyncio_loop)
        assert done.result(60) == (b"hello\n", 0)


def test_the_callbacks_of_a_subprocess_run_on_its_loop_whoever_sets_them() -> None:
    with loop_in_a_thread() as loop:
        process = Subprocess.on(loop, ["/bin/sh", "-c", "read x; exit 3"], stdin=Subprocess.STREAM)
        calls: list[tuple[int, IOLoop]] = []
        process.set_exit_callback(lambda code: calls.append((code, IOLoop.current())))
        loop.add_callback(process.stdin.close)
        wait_until(lambda: calls)
        process.set_exit_callback(lambda code: calls.append((code, IOLoop.current())))
        wait_until(lambda: len(calls) == 2)
        assert calls == [(3, loop), (3, loop)]


def test_no_callback_set_from_another_thread_is_lost() -> None:
    number = 200
    interval = sys.getswitchinterval()
    codes: list[int] = []
    with loop_in_a_thread() as loop:
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(number):
                process = Subprocess.on(loop, ["true"])
                process.set_exit_callback(codes.append)
                process.set_exit_callback(codes.append)
            wait_until(lambda: len(codes) == 2 * number)
        finally:
            sys.setswitchinterval(interval)
    assert codes == [0] * (2 * number)


def test_no_loop_is_made_for_a_subprocess_that_has_one() -> None:
    with loop_in_a_thread() as loop:
        before = open_fds()
        process = Subprocess.on(loop, ["true"], stdin=Subprocess.STREAM, stdout=Subprocess.STREAM)
        codes: list[int] = []
        process.set_exit_callback(codes.append)
        wait_until(lambda: codes)
        for stream in (process.stdin, process.stdout):
            loop.add_callback(stream.close)
        wait_until(lambda: open_fds() == before)


# Callbacks and waits


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_an_exit_callback_that_raises_is_logged_and_stops_no_other(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        process = gated(4)
        codes: list[int] = []

        def raises(code: int) -> None:
            raise error("by intent")

        process.set_exit_callback(codes.append)
        process.set_exit_callback(raises)
        process.set_exit_callback(codes.append)
        wait = process.wait_for_exit(raise_error=False)
        process.stdin.close()
        assert await wait == 4
        assert codes == [4, 4]

    run(main)
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "by intent"


def test_an_exit_callback_may_set_another() -> None:
    async def main() -> None:
        process = gated(4)
        codes: list[int] = []
        process.set_exit_callback(lambda code: process.set_exit_callback(codes.append))
        process.stdin.close()
        await until(lambda: codes)
        assert codes == [4]

    run(main)


def test_each_wait_has_an_error_of_its_own() -> None:
    async def main() -> None:
        process = gated(4)
        waits = [process.wait_for_exit() for _ in range(2)]
        process.stdin.close()
        first, second = await asyncio.gather(*waits, return_exceptions=True)
        third = await asyncio.gather(process.wait_for_exit(), return_exceptions=True)
        assert all(type(error) is CalledProcessError for error in (first, second, *third))
        assert first is not second

    run(main)


@pytest.mark.parametrize("sigchld", [False, True], ids=["pidfd", "sigchld"])
def test_a_status_that_a_slow_thread_is_about_to_take_is_waited_for(sigchld: bool) -> None:
    def last_in_the_queue() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    def take(process: Subprocess, entering: threading.Event) -> int:
        entering.set()
        return process.proc.wait()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, initializer=last_in_the_queue) as pool:
            for _ in range(5):
                process, entering = gated(7), threading.Event()
                theirs = loop.run_in_executor(pool, take, process, entering)
                ours = process.wait_for_exit(raise_error=False)
                [thread] = pool._threads
                await until(lambda: entering.is_set() and is_asleep(thread))
                process.stdin.close()
                # The thread is woken by the exit, but gets no time while there is anything else to do.
                deadline = time.monotonic() + 0.08
                while time.monotonic() < deadline and not ours.done():
                    await asyncio.sleep(0)
                assert await ours == await theirs == process.proc.returncode == 7

    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        run(lambda: _with_the_watcher(main, sigchld), 200)
    finally:
        os.sched_setaffinity(0, cpus)


@pytest.mark.parametrize("sigchld", [False, True], ids=["pidfd", "sigchld"])
def test_a_status_that_a_thread_has_in_hand_is_waited_for_as_long_as_it_takes(sigchld: bool) -> None:
    def slowly(*status: int) -> None:
        has_it.set()
        time.sleep(0.5)
        stores(*status)

    async def main() -> None:
        nonlocal stores
        process = gated(7)
        stores = process.proc._handle_exitstatus
        process.proc._handle_exitstatus = slowly
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            theirs = loop.run_in_executor(pool, process.proc.wait)
            [thread] = pool._threads
            await until(lambda: process.proc._waitpid_lock.locked() and is_asleep(thread))
            process.stdin.close()
            await until(has_it.is_set)
            assert await process.wait_for_exit(raise_error=False) == await theirs == 7

    has_it = threading.Event()
    stores: Callable[..., None] = slowly
    run(lambda: _with_the_watcher(main, sigchld), 60)


def is_asleep(thread: threading.Thread) -> bool:
    stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


async def _with_the_watcher(main: Callable[[], Awaitable[T]], sigchld: bool) -> T:
    if not sigchld:
        return await main()
    with initialized():
        return await main()


def test_the_repr_says_whether_it_lives() -> None:
    async def main() -> None:
        process, killed = gated(3), gated(0)
        assert repr(process).startswith("<Subprocess ")
        assert "read x; exit 3" in repr(process)
        assert f"running, pid {process.pid}" in repr(process)
        process.stdin.close()
        await process.wait_for_exit(raise_error=False)
        assert "exited 3" in repr(process)
        assert "running" not in repr(process)
        killed.proc.kill()
        await killed.wait_for_exit(raise_error=False)
        assert "signal 9" in repr(killed) or "SIGKILL" in repr(killed)
        killed.stdin.close()

    run(main)


def test_too_many_arguments_are_a_type_error() -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            Subprocess(["true"], *[None] * 40)
        with pytest.raises(TypeError, match="bufsize"):
            Subprocess(["true"], -1, bufsize=-1)
        with pytest.raises(TypeError):
            Subprocess()

    run(main)


def test_what_popen_takes_by_name_only_is_refused_by_position() -> None:
    parameters = list(inspect.signature(subprocess.Popen).parameters.values())[1:]
    defaults = [p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    async def main() -> None:
        assert await Subprocess(["true"], *defaults).wait_for_exit() == 0
        with pytest.raises(TypeError, match="positional arguments"):
            Subprocess(["true"], *defaults, None)

    run(main)


# Who watches


def pidfds() -> int:
    return list(open_fds().values()).count("anon_inode:[pidfd]")


def test_a_pidfd_watches_and_no_signal_handler_is_set() -> None:
    async def main() -> None:
        process = gated(0)
        wait = process.wait_for_exit()
        assert pidfds() == 1
        assert signal.getsignal(signal.SIGCHLD) is handler
        process.stdin.close()
        await wait
        assert pidfds() == 0

    handler = signal.getsignal(signal.SIGCHLD)
    run(main)


def test_a_subprocess_that_nobody_waits_for_is_not_watched() -> None:
    async def main() -> None:
        process = gated(0)
        assert pidfds() == 0
        process.stdin.close()
        assert process.proc.wait() == 0
        assert process.returncode is None

    run(main)


def test_initialize_makes_sigchld_the_watcher() -> None:
    async def main() -> None:
        with initialized():
            process = gated(0)
            wait = process.wait_for_exit()
            assert pidfds() == 0
            process.stdin.close()
            await wait

    run(main)


# initialize and uninitialize


def test_initialize_twice_is_harmless() -> None:
    before = signal.getsignal(signal.SIGCHLD)

    async def main() -> int:
        Subprocess.initialize()
        with initialized():
            process = gated(3)
            wait = process.wait_for_exit(raise_error=False)
            Subprocess.initialize()
            process.stdin.close()
            return await wait

    assert run(main) == 3
    assert signal.getsignal(signal.SIGCHLD) is before


def test_initialize_takes_an_io_loop_and_warns_the_caller() -> None:
    async def main() -> int:
        with pytest.warns(DeprecationWarning, match="io_loop") as warned:
            Subprocess.initialize(io_loop=IOLoop.current())
        assert warned[0].filename == __file__
        try:
            return await exits(3).wait_for_exit(raise_error=False)
        finally:
            Subprocess.uninitialize()

    assert run(main) == 3


def test_initialize_off_the_main_thread_says_why_not_and_that_pidfds_need_none() -> None:
    async def main() -> None:
        Subprocess.initialize()

    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(RuntimeError, match=r"main thread.*signal handler.*pidfds"),
    ):
        pool.submit(asyncio.run, main()).result(60)


def test_initialize_on_a_new_loop_after_the_first_was_closed() -> None:
    async def main() -> int:
        Subprocess.initialize()
        return await exits(3).wait_for_exit(raise_error=False)

    try:
        assert [run(main), run(main)] == [3, 3]
    finally:
        Subprocess.uninitialize()


def test_uninitialize_alone_is_harmless() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    Subprocess.uninitialize()
    assert signal.getsignal(signal.SIGCHLD) is before


def a_handler_that_was_there_before(number: int, frame: object) -> None:
    pass


@pytest.mark.parametrize("closed", [False, True], ids=["loop open", "loop closed"])
@pytest.mark.parametrize(
    "handler",
    [a_handler_that_was_there_before, signal.SIG_DFL, signal.SIG_IGN],
    ids=["a function", "default", "ignored"],
)
def test_uninitialize_puts_back_the_handler_that_was_there(handler: Any, closed: bool) -> None:
    async def main() -> None:
        Subprocess.initialize()
        assert signal.getsignal(signal.SIGCHLD) is not handler
        await exits(0).wait_for_exit()
        if not closed:
            Subprocess.uninitialize()
            assert signal.getsignal(signal.SIGCHLD) is handler

    before = signal.signal(signal.SIGCHLD, handler)
    try:
        run(main)
        if closed:
            Subprocess.uninitialize()
        assert signal.getsignal(signal.SIGCHLD) is handler
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_what_is_watched_when_uninitialize_is_called_still_resolves() -> None:
    async def main() -> None:
        with initialized():
            alive, unseen = gated(3), gated(4)
            waits = [process.wait_for_exit(raise_error=False) for process in (alive, unseen)]
            unseen.stdin.close()
            os.waitid(os.P_PID, unseen.pid, os.WEXITED | os.WNOWAIT)
        alive.stdin.close()
        assert await asyncio.gather(*waits) == [3, 4]

    run(main)


def test_what_is_watched_by_pidfd_when_initialize_is_called_still_resolves() -> None:
    async def main() -> None:
        process = gated(3)
        wait = process.wait_for_exit(raise_error=False)
        with initialized():
            process.stdin.close()
            assert await wait == 3

    run(main)


# Loops that are closed


@pytest.mark.parametrize("sigchld", [False, True], ids=["pidfd", "sigchld"])
def test_closed_loops_leave_no_fd_and_no_entry(sigchld: bool) -> None:
    async def leave_a_child_running() -> None:
        process = Subprocess(["sleep", "60"])
        process.set_exit_callback(lambda code: None)
        process.wait_for_exit()
        left.append((weakref.ref(process), process.proc))

    left: list[tuple[weakref.ref[Subprocess], subprocess.Popen[bytes]]] = []
    before = open_fds()
    try:
        for _ in range(10):
            run(lambda: _with_a_watcher_left_behind(leave_a_child_running, sigchld))
        assert open_fds() == before
        # A table of closed loops' subprocesses is looked through when there is something new in it.
        run(lambda: exits(0).wait_for_exit())
        gc.collect()
        assert [reference() for reference, _ in left] == [None] * 10
    finally:
        for _, popen in left:
            popen.kill()
            popen.wait()
        Subprocess.uninitialize()


async def _with_a_watcher_left_behind(main: Callable[[], Awaitable[T]], sigchld: bool) -> T:
    if sigchld:
        Subprocess.initialize()
    return await main()


def test_an_exit_after_the_loop_was_closed_disturbs_no_other_loop() -> None:
    async def orphan() -> Subprocess:
        process = Subprocess(["sleep", "60"])
        process.wait_for_exit(raise_error=False)
        return process

    async def main() -> int:
        with ThreadPoolExecutor(1) as pool:
            process = await asyncio.get_running_loop().run_in_executor(pool, run, orphan)
        process.proc.kill()
        process.proc.wait()
        return await exits(5).wait_for_exit(raise_error=False)

    for sigchld in (False, True):
        assert run(lambda: _with_the_watcher(main, sigchld)) == 5


# Want


@functools.cache
def found_without_pidfd() -> dict[str, Any]:
    return json.loads(run_program("without_pidfd.py").stdout)


on_a_known_machine = pytest.mark.skipif(
    not KNOWN_MACHINE, reason="the seccomp filter is for x86_64 and aarch64"
)


@on_a_known_machine
def test_where_pidfd_open_is_refused_sigchld_is_the_watcher() -> None:
    found = found_without_pidfd()
    assert found["pidfd_open"] == "EPERM"
    assert found["one loop"] == [0, 1, 2, 0, 1, 2]
    assert found["killed"] == -signal.SIGKILL


@on_a_known_machine
def test_where_pidfd_open_is_refused_loops_may_follow_one_another() -> None:
    assert found_without_pidfd()["another loop"] == [0, 1, 2, 0, 1, 2]


@on_a_known_machine
def test_where_pidfd_open_is_refused_threads_may_have_loops_of_their_own() -> None:
    assert found_without_pidfd()["threads"] == [[0, 1, 2, 0, 1, 2]] * 2


@on_a_known_machine
def test_where_pidfd_open_is_refused_an_unprepared_thread_is_told_so() -> None:
    assert "main thread" in found_without_pidfd()["off the main thread, unprepared"]


@on_a_known_machine
def test_where_pidfd_open_is_refused_an_exit_between_two_watchers_is_not_lost() -> None:
    assert found_without_pidfd()["initialized again"] == 6


@on_a_known_machine
def test_where_pidfd_open_is_refused_nothing_is_left_behind() -> None:
    found = found_without_pidfd()
    assert found["fds left"] == 0
    assert found["handler afterwards"] == str(signal.SIG_DFL)


@functools.cache
def found_without_fds() -> dict[str, Any]:
    return json.loads(run_program("without_fds.py").stdout)


def test_a_start_that_fails_for_want_of_fds_leaves_none_open() -> None:
    starts = found_without_fds()["starts"]
    outcomes = [start["outcome"] for start in starts]
    needed = outcomes.index("started")
    assert needed > 6, "three pipes"
    assert outcomes == ["EMFILE"] * needed + ["started"] * (len(starts) - needed)
    assert all(start["fds are as before"] for start in starts), starts


def test_a_wait_for_want_of_an_fd_raises_and_may_be_made_again() -> None:
    assert found_without_fds()["wait"] == {"outcome": "EMFILE", "later": 3}


def test_an_fd_opened_under_the_number_of_a_failed_start_stays_open() -> None:
    async def main() -> None:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), Subprocess.STREAM)
        try:
            Subprocess(["/no/such/program"], **streams)
        except FileNotFoundError:
            ours = [fd for _ in range(3) for fd in os.pipe()]
        before = {fd: os.fstat(fd).st_ino for fd in ours}
        gc.collect()
        await asyncio.sleep(0)
        assert {fd: os.fstat(fd).st_ino for fd in ours} == before
        for fd in ours:
            os.close(fd)

    run(main)
