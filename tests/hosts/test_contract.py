"""The contract holds for every host that there is."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from ipyproc.hosts.base import Host
from ipyproc.hosts.local.host import LocalHost
from ipyproc.hosts.wire.launch import launch
from ipyproc.model.spec import JobSpec
from ipyproc.process.loops import asyncio_loop
from tests.hosts.contract import Core, Spec, Whole, ended
from tests.hosts.programs import COMMANDS, COROUTINES
from tests.hosts.toy import ToyHost
from tests.support import loop_in_a_thread


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


class TestLocal(Whole):
    """Jobs are this process's children, on a loop in another thread."""

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

    @pytest.fixture
    def spec(self) -> Spec:
        return of_commands


class TestWire(Whole):
    """Jobs are another process's children, behind a Unix socket."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        host = launch()
        try:
            yield host
        finally:
            host.close()

    @pytest.fixture
    def spec(self) -> Spec:
        return of_commands


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
