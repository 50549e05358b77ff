"""Runs the installed tornado/test/process_test.py, as it is, over ipyproc.process; prints JSON.

argv[1] names the watcher of exits: "pidfd" or "sigchld".
"""

from __future__ import annotations

import functools
import json
import signal
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from typing import Any

import tornado.process

import ipyproc.process as ours

IMPORT_IN_SCRIPT = "from tornado.process import fork_processes, task_id\n"
OURS_IN_SCRIPT = """\
import functools
import pathlib
from ipyproc.process import fork_processes, task_id
pathlib.Path({report!r}).write_text(fork_processes.__module__)
fork_processes = functools.partial(fork_processes, exit_parent=True)
"""

started: list[int] = []
watchers: set[str] = set()
forks: list[str] = []


class Subprocess(ours.Subprocess):
    """Ours, which keeps a record of what it was used for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        started.append(self.pid)

    def set_exit_callback(self, callback: Any) -> None:
        super().set_exit_callback(callback)
        handled = signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL
        watchers.add("sigchld" if handled else "pidfd")


class SubprocessWithPidfds(Subprocess):
    # The file asks for the SIGCHLD handler by itself, in each test that waits.
    @classmethod
    def initialize(cls, io_loop: Any = None) -> None:
        pass

    @classmethod
    def uninitialize(cls) -> None:
        pass


def fork_processes(num_processes: int | None, max_restarts: int | None = None) -> int | None:
    forks.append(ours.fork_processes.__module__)
    return functools.partial(ours.fork_processes, exit_parent=True)(num_processes, max_restarts)


def load(subprocess_class: type[ours.Subprocess]) -> Any:
    # Before the file is loaded: it imports the names from here.
    tornado.process.Subprocess = subprocess_class
    tornado.process.CalledProcessError = ours.CalledProcessError
    tornado.process.fork_processes = fork_processes
    tornado.process.task_id = ours.task_id
    tornado.process.cpu_count = ours.cpu_count
    import tornado.test.process_test as process_test

    return process_test


def initialize_for_every_test(test_case: type[unittest.TestCase]) -> None:
    set_up = test_case.setUp

    def set_up_and_initialize(self: unittest.TestCase) -> None:
        set_up(self)
        Subprocess.initialize()
        self.addCleanup(Subprocess.uninitialize)

    test_case.setUp = set_up_and_initialize


class Result(unittest.TextTestResult):
    """One that knows the names of those that passed, too."""

    passed: list[str]

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed = [*getattr(self, "passed", []), test.id().rpartition(".")[2]]


def main(watcher: str) -> dict[str, object]:
    process_test = load({"pidfd": SubprocessWithPidfds, "sigchld": Subprocess}[watcher])
    if watcher == "sigchld":
        initialize_for_every_test(process_test.SubprocessTest)
    with tempfile.TemporaryDirectory() as directory:
        return run(process_test, Path(directory) / "fork_processes")


def run(process_test: Any, report: Path) -> dict[str, object]:
    script = getattr(process_test, "_MULTI_PROCESS_TEST_SCRIPT", None)
    if script is not None:
        # Newer versions fork in a fresh interpreter, which runs this text.
        assert script.count(IMPORT_IN_SCRIPT) == 1, "the script imports its functions in another way"
        replaced = script.replace(IMPORT_IN_SCRIPT, OURS_IN_SCRIPT.format(report=str(report)))
        process_test._MULTI_PROCESS_TEST_SCRIPT = replaced

    suite = unittest.defaultTestLoader.loadTestsFromModule(process_test)
    names = sorted(test.id().rpartition(".")[2] for cases in suite for test in cases)
    result = unittest.TextTestRunner(sys.stderr, verbosity=2, resultclass=Result).run(suite)
    if report.exists():
        forks.append(report.read_text())
    return {
        "tests": names,
        "passed": sorted(getattr(result, "passed", [])),
        "skipped": [str(test) for test, _ in result.skipped],
        "failed": [text for _, text in result.failures + result.errors],
        "file": process_test.__file__,
        "started": len(started),
        "watchers": sorted(watchers),
        "forks": forks,
        "handler afterwards": str(signal.getsignal(signal.SIGCHLD)),
    }


if __name__ == "__main__":
    # The file leaves streams of its own unclosed.
    warnings.simplefilter("ignore", ResourceWarning)
    json.dump(main(sys.argv[1]), sys.stdout)
