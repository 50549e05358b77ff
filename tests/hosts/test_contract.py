"""The contract holds for every host that there is."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ipyproc.hosts.base import Host
from ipyproc.hosts.local.host import LocalHost
from ipyproc.hosts.wire.launch import launch
from ipyproc.model.life import LADDER
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import JobState
from ipyproc.process.loops import asyncio_loop
from tests.hosts.contract import Core, Spec, Whole, ended, said
from tests.hosts.kept import keeping
from tests.hosts.programs import COMMANDS, COROUTINES
from tests.hosts.toy import ToyHost
from tests.support import lives, loop_in_a_thread


def of_commands(word: str, **fields: Any) -> JobSpec:
    return JobSpec(command=COMMANDS.get(word, word), **{"name": "job", **fields})


@pytest.fixture(scope="session")
def _warm() -> None:
    """What a process keeps once it has run a job."""
    with loop_in_a_thread() as io_loop:
        host = LocalHost()
        host.settle(io_loop)
        ended(host.start(of_commands("succeed")))
        host.close()
        del host
        gc.collect()


class _Local:
    @pytest.fixture
    def host(self, _warm: None, request: pytest.FixtureRequest) -> Iterator[Host]:
        with loop_in_a_thread() as io_loop:
            host = LocalHost()
            host.settle(io_loop)
            try:
                yield host
            finally:
                host.close()
                # What it polls with goes with it, and pytest would hold it until all fixtures are through.
                request.node.funcargs.pop("host", None)


class _Wire:
    @pytest.fixture
    def host(self) -> Iterator[Host]:
        host = launch()
        try:
            yield host
        finally:
            host.close()


class TestLocal(_Local, Whole):
    """Jobs are this process's children, on a loop in another thread."""

    @pytest.fixture
    def spec(self) -> Spec:
        return of_commands


class _OnTerminals(Core):
    """Jobs are on terminals of their own."""

    line_end = b"\r\n"
    talk = {"stdout": b"one\r\ntwo\r\nthree\r\n", "stderr": b""}

    test_a_running_job_is_stopped_and_started_anew = Whole.test_a_running_job_is_stopped_and_started_anew
    test_a_failing_job_is_restarted = Whole.test_a_failing_job_is_restarted_until_it_gives_up
    test_a_timeout_ends_a_job = Whole.test_a_timeout_ends_a_job

    @pytest.fixture
    def spec(self) -> Spec:
        return partial(of_commands, tty=True)

    def test_what_is_typed_arrives_in_order_up_to_its_end(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("stty -echo; echo up; cat | sha256sum; read again; echo $again")), b"up\n")
        digest = hashlib.sha256()
        for number in range(50):
            data = (b"%d " % number * 1000)[:4000] + b"\n"
            digest.update(data)
            job.write(data)
        job.write(b"end", close=True)
        digest.update(b"end")
        said(job, digest.hexdigest().encode())
        assert job.takes_input
        job.write(b"more\n")
        assert b"more\r\n" in ended(job).output.read()

    def test_a_terminal_is_resized_and_tells_whether_it_hides_its_input(self, host: Host, spec: Spec) -> None:
        job = said(host.start(spec("stty size; read -sp 'secret: ' x; stty size; sleep 600")), b"secret: ")
        assert job.block_until(lambda: job.hides_input, 60)
        job.resize(50, 132)
        assert (job.spec.rows, job.spec.columns) == (50, 132)
        job.write(b"x\n")
        said(job, b"50 132\n")
        assert job.block_until(lambda: not job.hides_input, 60)
        job.restart(1.0, LADDER)
        assert job.block_until(lambda: job.output.text().count("50 132\n") == 2, 60)
        job.kill()
        ended(job)


class TestLocalTerminal(_Local, _OnTerminals):
    """Jobs are this process's children, on terminals."""


class TestWire(_Wire, Whole):
    """Jobs are another process's children, behind a Unix socket."""

    @pytest.fixture
    def spec(self) -> Spec:
        return of_commands


class TestWireTerminal(_Wire, _OnTerminals):
    """Jobs are another process's children, on terminals."""


class _Kept:
    @pytest.fixture
    def host(self) -> Iterator[Host]:
        with keeping() as host:
            yield host

    def test_close_ends_all_and_leaves_nothing(self, host: Host, spec: Spec) -> None:
        """It ends none: what it lets go of goes on, and another has it."""
        job = said(host.start(spec("wait")), b"up\n")
        host.close()
        assert lives(job.pid)
        with keeping() as other:
            again = other.attach(job.ticket)
            assert said(again, b"up\n").pid == job.pid and again.state is JobState.RUNNING


class TestKept(_Kept, Whole):
    """Jobs outlive this process."""

    @pytest.fixture
    def spec(self) -> Spec:
        return of_commands


class TestKeptTerminal(_Kept, _OnTerminals):
    """Jobs outlive this process, and are on terminals."""


class TestToy(Core):
    """Jobs are coroutines."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        with loop_in_a_thread() as io_loop:
            host = ToyHost(COROUTINES, asyncio_loop(io_loop))
            try:
                yield host
            finally:
                host.close()

    @pytest.fixture
    def spec(self) -> Spec:
        return lambda word, name="job": JobSpec(word, name)
