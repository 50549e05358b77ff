"""Kernels for the tests: one a module, which each test gives back as it was, or one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notebook.kernels import Kernel, running_kernel

_CLEAN = """
for _job in list(ipyproc.jobs):
    _job.kill()
for _job in list(ipyproc.jobs):
    await _job.wait(raise_error=False)
ipyproc.jobs.clear()
"""


@pytest.fixture(scope="session", autouse=True)
def _clients_loop(_temporary_directory_of_this_run: None) -> None:
    # jupyter_client keeps a loop of its own in each thread, from the first kernel on.
    from jupyter_client.utils import run_sync

    async def nothing() -> None:
        pass

    run_sync(nothing)()


@pytest.fixture(scope="module")
def shared_kernel(
    _clients_loop: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Kernel]:
    with running_kernel(tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])) as kernel:
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Iterator[Kernel]:
    """A kernel with the extension, shared by a module; no job is left after a test."""
    yield shared_kernel
    cell = shared_kernel.run(_CLEAN)
    assert cell.status == "ok", cell.error
    assert shared_kernel.ask("len(ipyproc.jobs)") == 0
    shared_kernel.until(lambda: not shared_kernel.children())


@pytest.fixture
def fresh_kernel(_clients_loop: None, tmp_path: object) -> Iterator[Kernel]:
    """A kernel with the extension, for one test that ends or changes it."""
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    with running_kernel(tmp_path) as kernel:
        yield kernel
