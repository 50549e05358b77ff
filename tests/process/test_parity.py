"""One suite over three implementations: ours with pidfds, ours with SIGCHLD, and Tornado's own.

Where Tornado's fails the contract, the test names the fault, and is expected to fail.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import signal
import subprocess
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import tornado.process
from tornado import gen
from tornado.ioloop import IOLoop
from tornado.iostream import PipeIOStream

import ipyproc.process
from tests.support import open_fds, run_program, system_tells_taken_statuses, until

T = TypeVar("T")

SECONDS = 60
SECONDS_OF_A_HANG = 1
"""After which a known fault of Tornado counts as the hang that it is."""


class Implementation:
    """A Subprocess class, and what has to be done around its use."""

    seconds: float = SECONDS
    module = "ipyproc.process"

    def __init__(self) -> None:
        self.Subprocess: Any = ipyproc.process.Subprocess

    def run(self, main: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """Runs ``main`` on a new loop, within a bound."""

        async def whole() -> T:
            self.initialize()
            try:
                return await asyncio.wait_for(main(), seconds or self.seconds)
            finally:
                self.uninitialize()

        return asyncio.run(whole())

    def initialize(self) -> None:
        pass

    def uninitialize(self) -> None:
        pass

    def clean_up(self) -> None:
        pass


class OursWithPidfds(Implementation):
    def uninitialize(self) -> None:
        assert signal.getsignal(signal.SIGCHLD) is self._handler, "a pidfd needs no signal handler"

    def initialize(self) -> None:
        self._handler = signal.getsignal(signal.SIGCHLD)


class OursWithSigchld(Implementation):
    def initialize(self) -> None:
        self.Subprocess.initialize()

    def uninitialize(self) -> None:
        self.Subprocess.uninitialize()


class Tornados(Implementation):
    module = "tornado.process"

    def __init__(self) -> None:
        started: list[subprocess.Popen[Any]] = []
        self._started = started

        class Subprocess(tornado.process.Subprocess):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                started.append(self.proc)

        self.Subprocess = Subprocess

    def initialize(self) -> None:
        tornado.process.Subprocess.initialize()

    def uninitialize(self) -> None:
        # On the base class: `initialize` sets its flag on the class that it is called on.
        for cls in (self.Subprocess, tornado.process.Subprocess):
            cls.uninitialize()
            cls._initialized = False

    def clean_up(self) -> None:
        tornado.process.Subprocess._waiting.clear()
        for popen in self._started:
            popen.kill()
            popen.wait()


IMPLEMENTATIONS = {"pidfd": OursWithPidfds, "sigchld": OursWithSigchld, "tornado": Tornados}


def tornado_fails(reason: str, raises: type[BaseException] | tuple[type[BaseException], ...]) -> Any:
    """Expects Tornado's own class to fail this test, for ``reason``."""

    def mark(test: Any) -> Any:
        test.tornado_fails = pytest.mark.xfail(strict=True, reason=f"Tornado: {reason}", raises=raises)
        return test

    return mark


def without_sigchld(test: Any) -> Any:
    """Leaves out the SIGCHLD watcher, to which the point does not apply."""
    test.without = {"sigchld"}
    return test


HANGS = asyncio.TimeoutError


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "api" in metafunc.fixturenames:
        fault = getattr(metafunc.function, "tornado_fails", None)
        marks = {"tornado": [fault] if fault else []}
        names = [name for name in IMPLEMENTATIONS if name not in getattr(metafunc.function, "without", ())]
        params = [pytest.param(name, marks=marks.get(name, [])) for name in names]
        metafunc.parametrize("api", params, indirect=True)


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[Implementation]:
    implementation = IMPLEMENTATIONS[request.param]()
    fault = getattr(request.function, "tornado_fails", None)
    if request.param == "tornado" and fault is not None:
        raises = fault.kwargs["raises"]
        # What fails in another way is given the time for it.
        if HANGS in (raises if isinstance(raises, tuple) else (raises,)):
            implementation.seconds = SECONDS_OF_A_HANG
    yield implementation
    implementation.clean_up()


def exits(status: int) -> list[str]:
    return ["/bin/sh", "-c", f"exit {status}"]


def gated(api: Implementation, status: int) -> Any:
    """A child that exits with ``status`` when its stdin is closed, not before."""
    return api.Subprocess(["/bin/sh", "-c", f"read x; exit {status}"], stdin=api.Subprocess.STREAM)


def has_exited(pid: int) -> None:
    """Waits for the exit, and leaves the status to be taken by others."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def read_and_wait(process: Any) -> bytes:
    output = await process.stdout.read_until_close()
    await process.wait_for_exit()
    return output


# The constructor


def test_popen_arguments_reach_popen(api: Implementation, tmp_path: Path) -> None:
    async def main() -> bytes:
        STREAM = api.Subprocess.STREAM
        return await read_and_wait(
            api.Subprocess(
                "pwd; echo $COLOUR", shell=True, cwd=tmp_path, env={"COLOUR": "red"}, stdout=STREAM
            )
        )

    assert api.run(main) == f"{tmp_path}\nred\n".encode()


def test_popen_arguments_may_be_positional(api: Implementation) -> None:
    async def main() -> int:
        bufsize, executable, stdin = -1, "/bin/sh", subprocess.DEVNULL
        process = api.Subprocess(["a-name-of-its-own", "-c", "read x || exit 3"], bufsize, executable, stdin)
        return await process.wait_for_exit(raise_error=False)

    assert api.run(main) == 3


@tornado_fails("looks for STREAM among the keyword arguments only", raises=AttributeError)
def test_stream_may_be_positional(api: Implementation) -> None:
    async def main() -> bytes:
        STREAM = api.Subprocess.STREAM
        return await read_and_wait(api.Subprocess(["echo", "hello"], -1, None, subprocess.DEVNULL, STREAM))

    assert api.run(main) == b"hello\n"


def test_a_new_session_and_passed_fds_are_popens_business(api: Implementation) -> None:
    async def main() -> bytes:
        read_end, write_end = os.pipe()
        os.write(write_end, b"through the fd")
        os.close(write_end)
        process = api.Subprocess(
            ["/bin/sh", "-c", f"cat /dev/fd/{read_end}; exec sleep 60"],
            stdout=api.Subprocess.STREAM,
            start_new_session=True,
            pass_fds=[read_end],
        )
        os.close(read_end)
        text = await process.stdout.read_bytes(14)
        assert os.getsid(process.pid) == process.pid
        os.killpg(process.pid, signal.SIGTERM)
        assert await process.wait_for_exit(raise_error=False) == -signal.SIGTERM
        process.stdout.close()
        return text

    assert api.run(main) == b"through the fd"


def test_stdin_as_a_stream_is_written_to(api: Implementation) -> None:
    async def main() -> int:
        process = api.Subprocess(["/bin/sh", "-c", "read n; exit $n"], stdin=api.Subprocess.STREAM)
        assert isinstance(process.stdin, PipeIOStream)
        assert process.stdout is None
        assert process.stderr is None
        await process.stdin.write(b"42\n")
        process.stdin.close()
        return await process.wait_for_exit(raise_error=False)

    assert api.run(main) == 42


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_an_output_as_a_stream_is_read_to_its_end(api: Implementation, name: str) -> None:
    async def main() -> bytes:
        redirection = {"stdout": "", "stderr": ">&2"}[name]
        process = api.Subprocess(
            ["/bin/sh", "-c", f"echo hello {redirection}"], **{name: api.Subprocess.STREAM}
        )
        stream = getattr(process, name)
        assert isinstance(stream, PipeIOStream)
        await process.wait_for_exit()
        return await stream.read_until_close()

    assert api.run(main) == b"hello\n"


def test_three_streams_at_once_carry_more_than_a_pipe_holds(api: Implementation) -> None:
    size = 300_000

    async def main() -> tuple[bytes, bytes]:
        STREAM = api.Subprocess.STREAM
        process = api.Subprocess(["tee", "/dev/stderr"], stdin=STREAM, stdout=STREAM, stderr=STREAM)
        reading = asyncio.gather(process.stdout.read_until_close(), process.stderr.read_until_close())
        await process.stdin.write(b"x" * size)
        process.stdin.close()
        await process.wait_for_exit()
        return await reading

    assert api.run(main) == [b"x" * size, b"x" * size]


def test_stderr_joins_stdout(api: Implementation) -> None:
    async def main() -> bytes:
        command = ["/bin/sh", "-c", "echo out; echo err >&2; echo out"]
        process = api.Subprocess(command, stdout=api.Subprocess.STREAM, stderr=subprocess.STDOUT)
        assert process.stderr is None
        return await read_and_wait(process)

    assert api.run(main) == b"out\nerr\nout\n"


def test_pipe_gives_popens_own_file(api: Implementation) -> None:
    async def main() -> str:
        PIPE = subprocess.PIPE
        process = api.Subprocess(["cat"], stdin=PIPE, stdout=PIPE, text=True)
        assert (process.stdin, process.stdout) == (process.proc.stdin, process.proc.stdout)
        process.stdin.write("hello")
        process.stdin.close()
        await process.wait_for_exit()
        with process.stdout:
            return process.stdout.read()

    assert api.run(main) == "hello"


# Attributes


def test_the_attributes_are_those_of_the_process(api: Implementation) -> None:
    async def main() -> None:
        process = api.Subprocess(["cat"], stdin=api.Subprocess.STREAM)
        assert isinstance(process.proc, subprocess.Popen)
        assert process.pid == process.proc.pid
        assert process.io_loop is IOLoop.current()
        assert process.proc.args == ["cat"]
        process.stdin.close()
        await process.wait_for_exit()

    api.run(main)


def test_returncode_is_none_until_the_exit_has_been_seen(api: Implementation) -> None:
    async def main() -> None:
        process = gated(api, 5)
        wait = process.wait_for_exit(raise_error=False)
        assert process.returncode is None
        process.stdin.close()
        has_exited(process.pid)
        assert process.returncode is None, "the loop has not come round"
        await wait
        assert process.returncode == process.proc.returncode == 5

    api.run(main)


# A spawn that fails


@functools.cache
def failed_spawns(module: str) -> dict[str, dict[str, Any]]:
    return json.loads(run_program("failed_spawn.py", module).stdout)


FAILURES = {
    "a missing program": "FileNotFoundError",
    "a program that is not executable": "PermissionError",
    "a directory": "PermissionError",
    "a missing working directory": "FileNotFoundError",
    "an argument that Popen does not know": "TypeError",
}


@pytest.mark.parametrize("reason", FAILURES)
def test_a_failed_spawn_raises_popens_error_and_leaves_no_fd(api: Implementation, reason: str) -> None:
    found = failed_spawns(api.module)[reason]
    assert found["error"] == FAILURES[reason]
    assert found["left open"] == 0


@tornado_fails("the half-built stream closes its fd again, whosever it is by then", raises=AssertionError)
@pytest.mark.parametrize("reason", FAILURES)
def test_a_failed_spawn_closes_every_fd_once(api: Implementation, reason: str) -> None:
    found = failed_spawns(api.module)[reason]
    assert found["closed under others"] == 0
    assert found["unraisable"] == []


def test_a_sibling_does_not_keep_a_pipe_open(api: Implementation) -> None:
    async def main() -> None:
        STREAM = api.Subprocess.STREAM
        first = api.Subprocess(["cat"], stdin=STREAM, stdout=STREAM, close_fds=False)
        second = api.Subprocess(["cat"], stdin=STREAM, stdout=STREAM, close_fds=False)
        first.stdin.close()
        assert await first.stdout.read_until_close() == b""
        await first.wait_for_exit()
        second.stdin.close()
        await read_and_wait(second)

    api.run(main)


# Exit callbacks


def test_an_exit_callback_runs_once_with_the_return_code(api: Implementation) -> None:
    async def main() -> None:
        process = api.Subprocess(exits(7))
        codes: list[int] = []
        process.set_exit_callback(codes.append)
        await until(lambda: codes)
        another = api.Subprocess(exits(0))
        await another.wait_for_exit()
        assert codes == [7]
        assert process.returncode == 7

    api.run(main)


def test_an_exit_callback_runs_on_the_subprocess_loop(api: Implementation) -> None:
    async def main() -> None:
        process = api.Subprocess(exits(0))
        loops: list[IOLoop] = []
        process.set_exit_callback(lambda _: loops.append(IOLoop.current()))
        await until(lambda: loops)
        assert loops == [process.io_loop]

    api.run(main)


@tornado_fails("a second exit callback silently replaces the first", raises=AssertionError)
def test_each_exit_callback_runs_in_the_order_of_setting(api: Implementation) -> None:
    async def main() -> None:
        process = gated(api, 3)
        calls: list[tuple[str, int]] = []
        process.set_exit_callback(lambda code: calls.append(("first", code)))
        process.set_exit_callback(lambda code: calls.append(("second", code)))
        process.set_exit_callback(lambda code: calls.append(("last", code)))
        process.stdin.close()
        await until(lambda: calls and calls[-1][0] == "last")
        assert calls == [("first", 3), ("second", 3), ("last", 3)]

    api.run(main)


def test_an_exit_callback_set_after_an_unseen_exit_runs(api: Implementation) -> None:
    async def main() -> None:
        process = api.Subprocess(exits(4))
        has_exited(process.pid)
        codes: list[int] = []
        process.set_exit_callback(codes.append)
        assert codes == [], "callbacks come from the loop, not out of set_exit_callback"
        await until(lambda: codes)
        assert codes == [4]

    api.run(main)


@tornado_fails("an exit callback set after the exit was seen never runs", raises=HANGS)
def test_an_exit_callback_set_after_a_seen_exit_runs(api: Implementation) -> None:
    async def main() -> None:
        process = api.Subprocess(exits(4))
        await process.wait_for_exit(raise_error=False)
        codes: list[int] = []
        process.set_exit_callback(codes.append)
        assert codes == [], "callbacks come from the loop, not out of set_exit_callback"
        await until(lambda: codes)
        assert codes == [4]

    api.run(main)


# wait_for_exit


def test_wait_for_exit_is_awaited(api: Implementation) -> None:
    async def main() -> int:
        return await api.Subprocess(exits(0)).wait_for_exit()

    assert api.run(main) == 0


def test_wait_for_exit_is_yielded_in_a_gen_coroutine(api: Implementation) -> None:
    @gen.coroutine
    def old_style() -> Any:
        code = yield api.Subprocess(exits(9)).wait_for_exit(raise_error=False)
        raise gen.Return(code)

    async def main() -> int:
        return await old_style()

    assert api.run(main) == 9


@tornado_fails("a second wait replaces the first, which hangs", raises=AssertionError)
def test_several_waits_all_resolve(api: Implementation) -> None:
    async def main() -> list[int]:
        process = gated(api, 6)
        waits = [process.wait_for_exit(raise_error=False) for _ in range(5)]
        process.stdin.close()
        await waits[-1]
        assert all(wait.done() for wait in waits)
        return await asyncio.gather(*waits)

    assert api.run(main) == [6] * 5


@tornado_fails("a wait after the exit hangs", raises=HANGS)
def test_a_wait_after_the_exit_resolves(api: Implementation) -> None:
    async def main() -> list[int]:
        process = api.Subprocess(exits(6))
        return [await process.wait_for_exit(raise_error=False) for _ in range(3)]

    assert api.run(main) == [6, 6, 6]


@tornado_fails("of several waits only the last one resolves", raises=AssertionError)
def test_a_cancelled_wait_leaves_the_others_and_the_process_alone(api: Implementation) -> None:
    async def main() -> list[int]:
        process = gated(api, 2)
        first, cancelled, last = (process.wait_for_exit(raise_error=False) for _ in range(3))
        cancelled.cancel()
        await asyncio.sleep(0)
        assert process.proc.returncode is None
        process.stdin.close()
        await last
        assert first.done()
        assert cancelled.cancelled()
        return await asyncio.gather(first, last)

    assert api.run(main) == [2, 2]


def test_a_wait_that_timed_out_may_be_made_again(api: Implementation) -> None:
    async def main() -> int:
        process = gated(api, 2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait_for_exit(), 0.01)
        process.stdin.close()
        return await process.wait_for_exit(raise_error=False)

    assert api.run(main) == 2


@pytest.mark.parametrize("status", [0, 1, 127, 255])
def test_without_raise_error_the_status_is_returned(api: Implementation, status: int) -> None:
    async def main() -> int:
        return await api.Subprocess(exits(status)).wait_for_exit(raise_error=False)

    assert api.run(main) == status


@tornado_fails('the error says that the command is "unknown"', raises=AssertionError)
def test_the_error_has_the_command_and_the_return_code(api: Implementation) -> None:
    async def main() -> None:
        with pytest.raises(subprocess.CalledProcessError) as caught:
            await api.Subprocess(exits(3)).wait_for_exit()
        assert caught.value.returncode == 3
        assert caught.value.cmd == exits(3)

    api.run(main)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN + 1])
def test_a_signal_gives_its_negative_number(api: Implementation, number: int) -> None:
    async def main() -> None:
        process = api.Subprocess(["sleep", "60"])
        wait = process.wait_for_exit()
        os.kill(process.pid, number)
        with pytest.raises(subprocess.CalledProcessError) as caught:
            await wait
        assert caught.value.returncode == process.returncode == process.proc.returncode == -number

    api.run(main)


def test_a_stop_and_a_continue_are_no_exit(api: Implementation) -> None:
    async def main() -> int:
        process = gated(api, 8)
        wait = process.wait_for_exit(raise_error=False)
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        await asyncio.sleep(0.02)
        assert not wait.done()
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.close()
        return await wait

    assert api.run(main) == 8


# Somebody else reaped it


async def wait_around(process: Any, take_the_status: Callable[[], object]) -> list[int]:
    """A wait made before the status is taken, and one made after."""
    before = process.wait_for_exit(raise_error=False)
    process.stdin.close()
    has_exited(process.pid)
    take_the_status()
    codes = [await before, await process.wait_for_exit(raise_error=False)]
    assert process.returncode == process.proc.returncode
    return codes


async def wait_after(process: Any, take_the_status: Callable[[], object]) -> int:
    process.stdin.close()
    has_exited(process.pid)
    take_the_status()
    return await process.wait_for_exit(raise_error=False)


@tornado_fails("a wait hangs when Popen.poll() has taken the status", raises=HANGS)
def test_popen_poll_may_take_the_status(api: Implementation) -> None:
    async def main() -> None:
        process = gated(api, 7)
        assert await wait_around(process, process.proc.poll) == [7, 7]
        process = gated(api, 7)
        assert await wait_after(process, process.proc.poll) == 7

    api.run(main)


@tornado_fails("a wait hangs when Popen.wait() has taken the status", raises=HANGS)
def test_popen_wait_may_take_the_status(api: Implementation) -> None:
    async def main() -> None:
        process = gated(api, 7)
        assert await wait_around(process, process.proc.wait) == [7, 7]
        process = gated(api, 7)
        assert await wait_after(process, process.proc.wait) == 7

    api.run(main)


@tornado_fails(
    "it and Popen.wait() in another thread take the status from each other", raises=(HANGS, AssertionError)
)
def test_popen_wait_in_another_thread_may_take_the_status(api: Implementation) -> None:
    number = 40

    async def main() -> None:
        with ThreadPoolExecutor(number) as pool:
            processes = [gated(api, 7) for _ in range(number)]
            loop = asyncio.get_running_loop()
            theirs = [loop.run_in_executor(pool, process.proc.wait) for process in processes]
            ours = [process.wait_for_exit(raise_error=False) for process in processes]
            try:
                for process in processes:
                    await asyncio.sleep(0)
                    process.stdin.close()
            finally:
                # Else the pool's threads would wait for ever.
                for process in processes:
                    process.stdin.close()
            assert await asyncio.gather(*theirs) == [7] * number
            assert await asyncio.gather(*ours) == [7] * number

    api.run(main)


@tornado_fails("a wait hangs when os.waitpid() has taken the status", raises=HANGS)
def test_a_status_taken_past_popen_is_known_to_a_pidfd_or_is_255_and_a_logged_warning(
    api: Implementation, caplog: pytest.LogCaptureFixture
) -> None:
    known = isinstance(api, OursWithPidfds) and system_tells_taken_statuses()

    async def main() -> None:
        process = gated(api, 7)
        statuses = await wait_around(process, lambda: os.waitpid(process.pid, 0))
        assert statuses == ([7, 7] if known else [255, 255])
        another = gated(api, 7)
        assert await wait_after(another, os.wait) == 255
        warned = [another.pid] if known else [process.pid, another.pid]
        assert [record.levelname for record in caplog.records] == ["WARNING"] * len(warned)
        for record, pid in zip(caplog.records, warned, strict=True):
            assert str(pid) in record.getMessage()

    api.run(main)


def test_a_status_discarded_because_sigchld_is_ignored_does_not_hang_a_wait(api: Implementation) -> None:
    async def main() -> int:
        process = gated(api, 7)
        wait = process.wait_for_exit(raise_error=False)
        process.stdin.close()
        code = await wait
        assert process.proc.returncode == code
        return code

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        code = api.run(main)
    finally:
        signal.signal(signal.SIGCHLD, before)
    # A SIGCHLD handler ends the ignoring, and so the kernel keeps the status.
    lost = isinstance(api, OursWithPidfds) and not system_tells_taken_statuses()
    assert code == (255 if lost else 7)


def test_popen_never_warns_that_it_is_still_running(api: Implementation) -> None:
    async def main() -> None:
        process = api.Subprocess(exits(0))
        await process.wait_for_exit()
        assert process.proc.poll() == process.proc.wait() == process.returncode == 0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        api.run(main)
        api.clean_up()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_a_strangers_child_keeps_its_status(api: Implementation) -> None:
    async def main() -> None:
        with subprocess.Popen(exits(5)) as stranger:
            has_exited(stranger.pid)
            for _ in range(3):
                await api.Subprocess(exits(0)).wait_for_exit()
            assert stranger.wait() == 5

    api.run(main)


# Loops


@tornado_fails("the handler stays marked as installed when its loop has gone", raises=HANGS)
def test_two_loops_one_after_another(api: Implementation) -> None:
    async def main() -> int:
        process = gated(api, 5)
        wait = process.wait_for_exit(raise_error=False)
        process.stdin.close()
        return await asyncio.wait_for(wait, api.seconds)

    async def first() -> int:
        api.initialize()
        return await main()

    try:
        assert asyncio.run(first()) == 5
        assert asyncio.run(main()) == 5
    finally:
        # On a loop: Tornado asks for the current one.
        asyncio.run(_uninitialize(api))


async def _uninitialize(api: Implementation) -> None:
    if not isinstance(api, OursWithPidfds):
        api.uninitialize()


def test_two_threads_each_with_its_own_loop(api: Implementation) -> None:
    async def in_a_thread() -> list[int]:
        codes = []
        for status in (1, 2, 3):
            wait = api.Subprocess(exits(status)).wait_for_exit(raise_error=False)
            codes.append(await asyncio.wait_for(wait, SECONDS))
        return codes

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(2) as pool:
            threads = [loop.run_in_executor(pool, asyncio.run, in_a_thread()) for _ in range(2)]
            assert await asyncio.gather(*threads) == [[1, 2, 3], [1, 2, 3]]

    api.run(main)


@tornado_fails(
    "its signal handler can be installed on the main thread only", raises=(RuntimeError, ValueError)
)
@without_sigchld
def test_a_loop_off_the_main_thread_needs_no_preparation(api: Implementation) -> None:
    async def main() -> int:
        return await api.Subprocess(exits(5)).wait_for_exit(raise_error=False)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, main()).result(SECONDS) == 5


def test_a_loop_closed_while_the_child_runs_leaks_no_fd(api: Implementation) -> None:
    async def main() -> Any:
        process = api.Subprocess(["sleep", "60"])
        process.set_exit_callback(lambda code: None)
        return process

    before = open_fds()
    process = api.run(main)
    try:
        assert open_fds() == before
    finally:
        process.proc.kill()
        process.proc.wait()


@tornado_fails("its table keeps every subprocess whose loop was closed", raises=AssertionError)
def test_a_loop_closed_while_the_child_runs_leaves_no_entry_in_a_table(api: Implementation) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            loop = asyncio.get_running_loop()
            process = await loop.run_in_executor(pool, asyncio.run, on_a_loop_soon_closed())
        reference = weakref.ref(process)
        process.proc.kill()
        process.proc.wait()
        del process
        # The table may be tidied when something happens, and only then.
        another = gated(api, 0)
        wait = another.wait_for_exit(raise_error=False)
        another.stdin.close()
        await wait
        gc.collect()
        assert reference() is None

    async def on_a_loop_soon_closed() -> Any:
        process = api.Subprocess(["sleep", "60"])
        process.set_exit_callback(lambda code: None)
        return process

    api.run(main)


def test_three_hundred_children_ending_at_once_have_every_code_right(api: Implementation) -> None:
    number = 300

    async def main() -> list[int]:
        gate, opener = os.pipe()
        try:
            processes = [
                api.Subprocess(["/bin/sh", "-c", f"read x; exit {n % 256}"], stdin=gate)
                for n in range(number)
            ]
            waits = [process.wait_for_exit(raise_error=False) for process in processes]
        finally:
            os.close(gate)
            os.close(opener)
        return await asyncio.gather(*waits)

    assert api.run(main, seconds=60) == [n % 256 for n in range(number)]
