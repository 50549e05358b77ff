"""Kernels for the tests: one a module, which each test gives back as it was, or one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from jupyter_client.connect import LocalPortCache
from jupyter_client.utils import run_sync

from tests.notebook.kernels import Kernel, running_kernel
from tests.ports import free_port

_CLEAN = """
for _job in list(ipyproc.jobs):
    _job.kill()
for _job in list(ipyproc.jobs):
    await _job.stop(0.0)
ipyproc.jobs.clear()
"""


class _Shared:
    """A kernel that is replaced when a test has broken it."""

    def __init__(self, stack: ExitStack, factory: pytest.TempPathFactory, name: str) -> None:
        self._stack = stack
        self._factory = factory
        self._name = name
        self.renew()

    def renew(self) -> None:
        try:
            self._stack.close()
        finally:
            self.kernel = self._stack.enter_context(running_kernel(self._factory.mktemp(self._name)))

    def clean(self) -> None:
        cell = self.kernel.run(_CLEAN)
        assert cell.status == "ok", cell.error
        assert self.kernel.ask("len(ipyproc.jobs)") == 0
        self.kernel.until(lambda: not self.kernel.children())


@pytest.fixture(scope="session", autouse=True)
def _clients_loop(_temporary_directory_of_this_run: None) -> None:
    # jupyter_client keeps a loop of its own in each thread, from the first kernel on.
    async def nothing() -> None:
        pass

    run_sync(nothing)()


@pytest.fixture(scope="session", autouse=True)
def _kernels_ports() -> Iterator[None]:
    # Jupyter finds a free port, and lets go of it; its kernel binds it a second later.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalPortCache, "find_available_port", lambda *_: free_port())
        yield


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[_Shared]:
    with ExitStack() as stack:
        yield _Shared(stack, tmp_path_factory, request.module.__name__.rpartition(".")[2])


@pytest.fixture
def kernel(_shared: _Shared) -> Iterator[Kernel]:
    """A kernel with the extension, shared by a module; no job is left after a test."""
    yield _shared.kernel
    try:
        _shared.clean()
    except AssertionError:
        _shared.renew()
        raise


@pytest.fixture
def fresh_kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel with the extension, for one test that ends or changes it."""
    with running_kernel(tmp_path) as kernel:
        yield kernel
