"""Running CPython's own suites: what of them is not for us, and what came of each test."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["SKIPS", "Skip", "run"]


@dataclass(frozen=True)
class Skip:
    """What of CPython's tests is not for us.

    Attributes:
        file: "test_subprocess" or "test_asyncio".
        name: of a class, or of a test.
        reason: why.
        fails: whether it is run even so, and has to fail: once it does not, it is to be skipped no more.
        ways: in which ways of running the file; all by default.
        since: the Python from which on it fails.
    """

    file: str
    name: str
    reason: str
    fails: bool = False
    ways: tuple[str, ...] = ()
    since: tuple[int, int] = (3, 10)


_WINDOWS = "Windows only"
_WATCHERS = "asyncio's watchers of exits; the tests of SubprocessMixin are run once for each of ours"
_TRANSPORTS = "loop.subprocess_exec(), for transports and protocols, which Subprocess has not"
_DELETED = "deletes a Popen that runs, which the loop that watches it still holds"

SKIPS = (
    Skip("test_subprocess", "CommandsWithSpaces", _WINDOWS),
    Skip("test_subprocess", "Win32ProcessTestCase", _WINDOWS),
    Skip("test_subprocess", "ProcessTestCaseNoPoll", "another selector, in Popen.communicate() itself"),
    Skip("test_subprocess", "test_zombie_fast_process_del", _DELETED, fails=True),
    Skip("test_subprocess", "test_leak_fast_process_del_killed", _DELETED, fails=True),
    Skip("test_subprocess", "test_stopped", "feigns a status; the loop sees the true one", fails=True),
    Skip(
        "test_subprocess",
        "test_send_signal_race2",
        "has Popen forget the status and make up a 0; the loop keeps the true one",
        fails=True,
        since=(3, 11),
    ),
    Skip(
        "test_subprocess",
        "test_preexec_errpipe_does_not_double_close_pipes",
        "looks within Popen for the pipes, which are ours",
        fails=True,
        ways=("stream",),
    ),
    Skip("test_asyncio", "SubprocessTransportTests", "asyncio's transport alone, without a process"),
    Skip("test_asyncio", "SubprocessThreadedWatcherTests", _WATCHERS),
    Skip("test_asyncio", "SubprocessSafeWatcherTests", _WATCHERS),
    Skip("test_asyncio", "SubprocessFastWatcherTests", _WATCHERS),
    Skip("test_asyncio", "SubprocessPidfdWatcherTests", _WATCHERS),
    Skip("test_asyncio", "SubprocessMultiLoopWatcherTests", _WATCHERS),
    Skip("test_asyncio", "MultiLoopChildWatcherTests", _WATCHERS),
    Skip("test_asyncio", "GenericWatcherTests", _WATCHERS),
    Skip("test_asyncio", "SubprocessWatcherTests", _WATCHERS),
    Skip("test_asyncio", "test_cancel_post_init", _TRANSPORTS),
    Skip("test_asyncio", "test_close_kill_running", _TRANSPORTS),
    Skip("test_asyncio", "test_close_dont_kill_finished", _TRANSPORTS),
    Skip("test_asyncio", "test_subprocess_protocol_events", _TRANSPORTS),
    Skip("test_asyncio", "test_pause_reading", "looks into the transport below a Process", fails=True),
)
"""The one table of what is skipped."""


def run(suite: unittest.TestSuite, file: str) -> dict[str, Any]:
    """Runs a suite, but for what `SKIPS` leaves out of ``file``.

    Returns:
        Of each kind of outcome ("passed", "failed", "skipped") the names, as ``Class.test``; of a failure
        the traceback, of what the file skips by itself the reason.
    """
    left_out = {skip.name for skip in SKIPS if skip.file == file and not skip.fails}
    chosen = unittest.TestSuite(test for test in _flat(suite) if not left_out & _names(test))
    result = unittest.TextTestRunner(sys.stderr, verbosity=2, resultclass=_Result).run(chosen)
    return {
        "passed": sorted(set(result.passed)),
        "failed": {_name(test): text for test, text in result.failures + result.errors},
        "skipped": {_name(test): reason for test, reason in result.skipped},
    }


class _Result(unittest.TextTestResult):
    """One that knows the names of those that passed, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passed: list[str] = []

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed.append(_name(test))


def _flat(suite: Any) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test


def _names(test: unittest.TestCase) -> set[str]:
    return {type(test).__name__, test._testMethodName}


def _name(test: Any) -> str:
    # A failure within subTest() is of a test of its own.
    return ".".join(getattr(test, "test_case", test).id().split(".")[-2:])
