"""Tornado's own tests of tornado.process, the installed file as it is, pass over ipyproc.process."""

from __future__ import annotations

import functools
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import tornado

from ipyproc.process import fork_processes
from tests.support import run_program

FEWEST_TESTS = 9
"""As many as the oldest supported Tornado has."""


@functools.cache
def found(watcher: str) -> dict[str, Any]:
    return json.loads(run_program("tornado_oracle.py", watcher).stdout)


@pytest.mark.parametrize("watcher", ["pidfd", "sigchld"])
def test_every_test_of_tornados_file_passes_and_none_is_skipped(watcher: str) -> None:
    result = found(watcher)
    assert result["failed"] == [], "\n".join(result["failed"])
    assert result["skipped"] == []
    assert result["passed"] == result["tests"]
    assert len(result["tests"]) >= FEWEST_TESTS


@pytest.mark.parametrize("watcher", ["pidfd", "sigchld"])
def test_the_file_was_the_installed_one(watcher: str) -> None:
    assert Path(found(watcher)["file"]) == Path(tornado.__file__).parent / "test" / "process_test.py"


@pytest.mark.parametrize("watcher", ["pidfd", "sigchld"])
def test_ours_was_what_ran(watcher: str) -> None:
    result = found(watcher)
    assert result["watchers"] == [watcher]
    assert result["started"] >= 8
    assert result["forks"] == [fork_processes.__module__]
    assert result["handler afterwards"] == str(signal.SIG_DFL)
