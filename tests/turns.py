"""Tests run beside each other, in several processes, but for those that measure: each of these runs alone.

Hooks of pytest and of pytest-xdist, which `tests.conftest` imports. The turns are kept by two locks on a file
that the processes of one run share. Whoever wants a turn passes a gate; a test that runs alone keeps the gate
shut and waits until the room behind it is empty. The locks are a process's own: no fork inherits one, and the
system gives back those of a worker that is killed.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "pytest_configure_node",
    "pytest_runtest_protocol",
    "pytest_unconfigure",
    "pytest_xdist_auto_num_workers",
]

_GATE, _ROOM = 0, 1

_shared = pytest.StashKey[str]()
_opened = pytest.StashKey[int]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many as are worth starting: some files are read and run sooner by one process."""
    is_whole = all(Path(argument).is_dir() for argument in config.args)
    # Most tests wait for programs that they started.
    return 2 * (os.cpu_count() or 1) if is_whole else 0


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the first process, for each that it starts."""
    stash = node.config.stash
    if _shared not in stash:
        fd, stash[_shared] = tempfile.mkstemp(prefix="test-turns-")
        os.close(fd)
    node.workerinput["turns"] = stash[_shared]


def pytest_unconfigure(config: pytest.Config) -> None:
    if _shared in config.stash:
        os.unlink(config.stash[_shared])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    workerinput = getattr(item.config, "workerinput", None)
    if workerinput is None:
        return (yield)
    stash = item.config.stash
    if _opened not in stash:
        stash[_opened] = os.open(workerinput["turns"], os.O_RDWR)
    fd, is_alone = stash[_opened], item.get_closest_marker("alone") is not None
    _lock(fd, fcntl.LOCK_EX, _GATE)
    _lock(fd, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH, _ROOM)
    if not is_alone:
        _lock(fd, fcntl.LOCK_UN, _GATE)
    try:
        return (yield)
    finally:
        _lock(fd, fcntl.LOCK_UN, _ROOM)
        if is_alone:
            _lock(fd, fcntl.LOCK_UN, _GATE)


def _lock(fd: int, how: int, which: int) -> None:
    fcntl.lockf(fd, how, 1, which)
