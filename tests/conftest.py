"""Fixtures of every room: a test leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.ports import own_ports
from tests.support import OTHER_SHELLS, Holdings, collect_until_nothing_is_left, need_program
from tests.turns import (
    pytest_configure_node,
    pytest_runtest_protocol,
    pytest_unconfigure,
    pytest_xdist_auto_num_workers,
)

__all__ = [
    "pytest_configure_node",
    "pytest_runtest_protocol",
    "pytest_unconfigure",
    "pytest_xdist_auto_num_workers",
]

# What a shell starts in the background ignores these, and so would every child of a test.
for _signum, _default in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_signum) is signal.SIG_IGN:
        signal.signal(_signum, _default)

# Else each of the thousand Pythons that tests start would compile this checkout anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Where a test says nothing of the shell, bash is meant; on a machine none may be set.
os.environ["SHELL"] = "/bin/bash"

# Imported by jsonschema, and so with nbformat; compiles grammars for two seconds, and no test needs them.
sys.modules["rfc3987_syntax"] = None

_call_report = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[_call_report] = report
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the cases of a shell that is not there; .ci/run installs all, and then none may be missing."""
    shell = getattr(item, "callspec", None) and item.callspec.params.get("shell")  # type: ignore[attr-defined]
    name = str(shell or "").partition(" ")[0]
    if name in OTHER_SHELLS:
        need_program(name)


@pytest.fixture(scope="session", autouse=True)
def _temporary_directory_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # In the common one, another test run's files would look like leaks of ours.
    directory = tmp_path_factory.mktemp("tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory))
        patch.setattr(tempfile, "tempdir", str(directory))
        yield


@pytest.fixture(scope="session", autouse=True)
def _state_of_this_run() -> Iterator[None]:
    """Kept jobs are in a folder of their own, with a short path: that of a socket is limited."""
    with (
        tempfile.TemporaryDirectory(prefix="k-", dir="/tmp") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_STATE_HOME", directory)
        yield


@pytest.fixture(scope="session", autouse=True)
def _ports_of_this_run() -> Iterator[None]:
    with own_ports():
        yield


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves an fd, a child, a thread, a temporary file or a kept job, or lost an fd.

    What fixtures of a wider scope hold is theirs.
    """
    before = Holdings.now()
    yield
    report = request.node.stash.get(_call_report, None)
    if report is None or not report.passed:
        # The traceback keeps the frames alive, and with them whatever the test had open: a second
        # error would say nothing new. Let go of it now, or it would be the next test's.
        sys.last_type = sys.last_value = sys.last_traceback = sys.last_exc = None
        gc.collect()
        return
    if left := collect_until_nothing_is_left(before):
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
