"""The helper by itself, at the end of its pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ipyproc.hosts.helper.wire import VERSION, Decoder, Message, encode
from ipyproc.process.platform.sessions import session_members
from tests.support import ROOT, run_python, wait_until

_FOR_EVER = "import time\nwhile True: time.sleep(1)"


class Helper:
    """A helper, and the kernel's ends of its pipes."""

    def __init__(self, process: subprocess.Popen[bytes], events: int) -> None:
        self.process = process
        self._events = events
        self._decoder = Decoder()
        self._come: list[Message] = []

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def start(self, code: str, workers: int = 2, max_restarts: int = 0, version: int = VERSION) -> None:
        body, path = code.encode(), "\0".join(sys.path).encode()
        sizes = {"source": len(body), "path": len(path)}
        numbers = {"version": version, "workers": workers, "max_restarts": max_restarts}
        self.send(
            encode("start", body + path, **numbers, filename="code", first_line=1, fork_line=0, **sizes)
        )

    def until(self, kind: str) -> Message:
        """The next message of a kind; AssertionError at the end of the pipe."""
        while True:
            while self._come:
                message = self._come.pop(0)
                if message.kind == kind:
                    return message
            data = os.read(self._events, 65536)
            assert data, f"the pipe ended before {kind!r} came"
            self._come += self._decoder.feed(data)

    def end(self) -> tuple[int, str]:
        """Its exit status and its standard error; nothing of its session is left."""
        _, errors = self.process.communicate(timeout=60)
        wait_until(lambda: not session_members(self.process.pid))
        return self.process.returncode, errors.decode()


@contextmanager
def helper() -> Iterator[Helper]:
    events, events_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "ipyproc.hosts.helper.leader", str(os.getpid()), str(events_end)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[events_end],
        start_new_session=True,
    )
    os.close(events_end)
    try:
        with process:
            yield Helper(process, events)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        os.close(events)


@pytest.mark.parametrize("arguments", [[], ["12"], ["x", "y"], ["12", "99"], ["12", "1", "2"]])
def test_started_by_hand_it_explains_itself_in_a_sentence(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ipyproc.hosts.helper.leader", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "write %%fork -n 4 in a cell instead" in done.stderr


def test_it_imports_nothing_that_a_cell_would_wait_for() -> None:
    program = "import sys, json; before = set(sys.modules); import ipyproc.hosts.helper.helper; "
    program += "json.dump(sorted(set(sys.modules) - before), sys.stdout)"
    added = json.loads(run_python("-c", program).stdout)
    slow = {"collections", "contextlib", "enum", "functools", "signal", "threading"}
    slow |= {"asyncio", "tornado", "typing", "re", "logging", "subprocess", "dataclasses", "json", "pickle"}
    assert slow.isdisjoint(added)


def test_it_greets_with_its_version_and_tells_of_each_worker() -> None:
    with helper() as it:
        it.start("print('out', task_id())\nimport sys\nprint('err', file=sys.stderr)")
        assert it.until("hello").fields["version"] == VERSION
        assert {it.until("started").number("task"), it.until("started").number("task")} == {0, 1}
        assert {it.until("exited").number("status"), it.until("exited").number("status")} == {0}
        assert it.end() == (0, "")


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "WireError: Unexpected bytes"),
        (encode("go"), "before the greeting 'start'"),
        (b"", "speaks version"),
    ],
)
def test_a_kernel_that_it_does_not_understand_is_a_named_error(first: bytes, sentence: str) -> None:
    with helper() as it:
        it.send(first)
        if not first:
            it.start("", version=VERSION + 1)
        status, errors = it.end()
        assert status == 2 and sentence in errors and len(errors.splitlines()) == 1


def test_unexpected_bytes_end_the_workers_that_run() -> None:
    with helper() as it:
        it.start(_FOR_EVER)
        it.until("started")
        it.send(b"what?")
        it.send(bytes(64))
        status, errors = it.end()
        assert status == 2 and "WireError: Unexpected bytes" in errors


def test_without_a_kernel_it_ends_its_workers_and_itself() -> None:
    with helper() as it:
        it.start("import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(0))\n" + _FOR_EVER)
        it.until("started")
        assert it.process.stdin is not None
        it.process.stdin.close()
        it.process.stdin = None
        it.end()


def test_a_barrier_lets_all_begin_together_and_measurements_come_up() -> None:
    with helper() as it:
        it.start("barrier()\nmeasure(7, p50=0.25)")
        tasks = {it.until("ready").number("task"), it.until("ready").number("task")}
        assert tasks == {0, 1}
        it.send(encode("go"))
        measured = [it.until("measure"), it.until("measure")]
        assert {message.number("task") for message in measured} == {0, 1}
        assert all(message.number("operations") == 7 for message in measured)
        assert json.loads(measured[0].body) == {"p50": 0.25}
        assert it.end()[0] == 0


def test_a_worker_reads_no_commands_and_inherits_none_of_our_pipes() -> None:
    with helper() as it:
        it.start("import os, sys\nprint(len(os.listdir('/proc/self/fd')), repr(sys.stdin.read()))", workers=3)
        outputs = [it.until("output").body for _ in range(3)]
        # 0, 1, 2, the listing's own, the way up and the gate.
        assert outputs == [b"6 ''\n"] * 3
        assert it.end() == (0, "")
