"""Imports point one way, and the lower rooms are light."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

import ipyproc.process
from tests.support import ROOT, run_python

NOT_FOR_PROCESS = {"IPython", "ipykernel", "rich", "psutil", "cloudpickle", "traitlets", "zmq"}
NOT_BELOW_THE_NOTEBOOK = {"IPython", "ipykernel", "rich", "traitlets", "zmq"}


def packages_after_importing(module: str) -> set[str]:
    program = f"import json, sys; import {module}; json.dump(sorted(sys.modules), sys.stdout)"
    modules = json.loads(run_python("-c", program).stdout)
    return {name.partition(".")[0] for name in modules}


def test_process_imports_the_standard_library_and_tornado_only() -> None:
    packages = packages_after_importing("ipyproc.process")
    assert packages & NOT_FOR_PROCESS == set()
    # What site-packages' own start-up files bring in is there in an empty program too.
    added = packages - packages_after_importing("json")
    assert added - set(sys.stdlib_module_names) - {"ipyproc", "tornado"} == set()


@pytest.mark.parametrize(
    "room", ["process", "model.spec", "spool.output", "hosts.local.host", "job.table", "bench.bench"]
)
def test_the_rooms_below_the_notebook_know_none(room: str) -> None:
    assert packages_after_importing(f"ipyproc.{room}") & NOT_BELOW_THE_NOTEBOOK == set()


def test_importing_process_makes_no_loop_and_sets_no_signal_handler() -> None:
    run_python(
        "-c",
        "import asyncio, os, signal, tornado.iostream, tornado.ioloop\n"
        "fds = os.listdir('/proc/self/fd')\n"
        "handlers = [signal.getsignal(number) for number in signal.valid_signals()]\n"
        "import ipyproc.process\n"
        "assert os.listdir('/proc/self/fd') == fds\n"
        "assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers\n"
        "assert not tornado.ioloop.IOLoop._ioloop_for_asyncio\n",
    )


def test_the_public_names_are_exactly_the_five() -> None:
    names = {"CalledProcessError", "Subprocess", "cpu_count", "fork_processes", "task_id"}
    assert set(ipyproc.process.__all__) == names
    assert len(ipyproc.process.__all__) == len(names)
    assert all(hasattr(ipyproc.process, name) for name in names)


def test_errors_and_process_are_there_after_import_ipyproc_and_imported_when_asked_for() -> None:
    run_python(
        "-c",
        "import sys, ipyproc\n"
        "assert not {'ipyproc.errors', 'ipyproc.process'} & sys.modules.keys()\n"
        "assert ipyproc.errors.JobStateError.__module__ == 'ipyproc.errors'\n"
        "assert ipyproc.process.Subprocess.__module__ == 'ipyproc.process.child'\n",
    )


@pytest.mark.skipif(
    importlib.util.find_spec("importlinter") is None, reason="import-linter is in the `test` extra"
)
def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
