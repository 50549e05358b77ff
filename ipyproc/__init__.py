"""Run processes from a notebook.

``%load_ext ipyproc`` gives a notebook ``%%spawn``, ``%%fork``, ``%forkbench``, and ``%jobs``, ``%wait``,
``%stop``, ``%restart``, ``%send``, ``%close``, ``%signal`` and ``%logs`` for what they start; each has its
help, as ``%spawn?``.
The same in Python::

    job = ipyproc.spawn("make -j4", name="build")  # a Job, at once
    result = await job                             # a Result; JobFailed when make has failed
    ipyproc.jobs["build"]                          # the JobTable, of all jobs

`fork` runs code in forked workers. `ipyproc.process` is the whole of ``tornado.process``.
"""

from __future__ import annotations

# Known to type checkers by its name: `typing` is slow to import for those who need nothing else.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipyproc.bench.bench import ForkBench, forkbench
    from ipyproc.bench.code import Statement
    from ipyproc.bench.findings import Findings, ForkCost, Throughput, WorkerShare
    from ipyproc.bench.model import BenchResult, BenchSnapshot
    from ipyproc.errors import (
        ExpectTimeout,
        IpyprocError,
        JobFailed,
        JobNameError,
        JobSpecError,
        JobStateError,
        JoinTimeout,
        MissingPackageError,
        NoLoopError,
        NotReadyError,
        OutputEnded,
        ReadyTimeout,
        UnknownJobError,
        UnsatisfiableReadError,
        WireError,
        WorkerCodeError,
    )
    from ipyproc.hosts.base import Host, HostedGroup, HostedJob
    from ipyproc.hosts.helper.wire import Message
    from ipyproc.job.fork import fork
    from ipyproc.job.group import WorkerGroup
    from ipyproc.job.job import Job
    from ipyproc.job.registry import JobWatcher
    from ipyproc.job.result import Result
    from ipyproc.job.table import JobTable, jobs, spawn
    from ipyproc.job.talking import Reading
    from ipyproc.model.event import Event, EventKind
    from ipyproc.model.group import GroupSnapshot, GroupStatus, WorkerSnapshot, WorkerState
    from ipyproc.model.input import Input
    from ipyproc.model.limits import Limits
    from ipyproc.model.shell import ShellChoice
    from ipyproc.model.spec import Endpoint, JobSpec
    from ipyproc.model.state import Ending, Exit, JobState, Snapshot, Status
    from ipyproc.model.usage import Usage, UsagePoint
    from ipyproc.screen.screen import Live, Screen
    from ipyproc.screen.text import ScreenText
    from ipyproc.spool.output import Output, Piece

__all__ = [
    "BenchResult",
    "BenchSnapshot",
    "Ending",
    "Endpoint",
    "Event",
    "EventKind",
    "Exit",
    "ExpectTimeout",
    "Findings",
    "ForkBench",
    "ForkCost",
    "GroupSnapshot",
    "GroupStatus",
    "Host",
    "HostedGroup",
    "HostedJob",
    "Input",
    "IpyprocError",
    "Job",
    "JobFailed",
    "JobNameError",
    "JobSpec",
    "JobSpecError",
    "JobState",
    "JobStateError",
    "JobTable",
    "JobWatcher",
    "JoinTimeout",
    "Limits",
    "Live",
    "Message",
    "MissingPackageError",
    "NoLoopError",
    "NotReadyError",
    "Output",
    "OutputEnded",
    "Piece",
    "Reading",
    "ReadyTimeout",
    "Result",
    "Screen",
    "ScreenText",
    "ShellChoice",
    "Snapshot",
    "Statement",
    "Status",
    "Throughput",
    "UnknownJobError",
    "UnsatisfiableReadError",
    "Usage",
    "UsagePoint",
    "WireError",
    "WorkerCodeError",
    "WorkerGroup",
    "WorkerShare",
    "WorkerSnapshot",
    "WorkerState",
    "fork",
    "forkbench",
    "jobs",
    "load_ipython_extension",
    "spawn",
    "unload_ipython_extension",
]

__version__ = "0.1.0"

_NAMES = {
    "ipyproc.bench.bench": (
        "ForkBench",
        "forkbench",
    ),
    "ipyproc.bench.code": ("Statement",),
    "ipyproc.bench.findings": (
        "Findings",
        "ForkCost",
        "Throughput",
        "WorkerShare",
    ),
    "ipyproc.bench.model": (
        "BenchResult",
        "BenchSnapshot",
    ),
    "ipyproc.errors": (
        "ExpectTimeout",
        "IpyprocError",
        "JobFailed",
        "JobNameError",
        "JobSpecError",
        "JobStateError",
        "JoinTimeout",
        "MissingPackageError",
        "NoLoopError",
        "NotReadyError",
        "OutputEnded",
        "ReadyTimeout",
        "UnknownJobError",
        "UnsatisfiableReadError",
        "WireError",
        "WorkerCodeError",
    ),
    "ipyproc.hosts.base": (
        "Host",
        "HostedGroup",
        "HostedJob",
    ),
    "ipyproc.hosts.helper.wire": ("Message",),
    "ipyproc.job.fork": ("fork",),
    "ipyproc.job.group": ("WorkerGroup",),
    "ipyproc.job.job": ("Job",),
    "ipyproc.job.result": ("Result",),
    "ipyproc.job.registry": ("JobWatcher",),
    "ipyproc.job.table": ("JobTable", "jobs", "spawn"),
    "ipyproc.job.talking": ("Reading",),
    "ipyproc.model.event": (
        "Event",
        "EventKind",
    ),
    "ipyproc.model.group": (
        "GroupSnapshot",
        "GroupStatus",
        "WorkerSnapshot",
        "WorkerState",
    ),
    "ipyproc.model.input": ("Input",),
    "ipyproc.model.limits": ("Limits",),
    "ipyproc.model.shell": ("ShellChoice",),
    "ipyproc.model.spec": (
        "Endpoint",
        "JobSpec",
    ),
    "ipyproc.model.state": (
        "Ending",
        "Exit",
        "JobState",
        "Snapshot",
        "Status",
    ),
    "ipyproc.model.usage": ("Usage", "UsagePoint"),
    "ipyproc.screen.screen": ("Live", "Screen"),
    "ipyproc.screen.text": ("ScreenText",),
    "ipyproc.spool.output": (
        "Output",
        "Piece",
    ),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext ipyproc`` calls."""
    from ipyproc.notebook.requirements import check

    # First: of an older IPython the rest cannot even be imported.
    check(shell)
    from ipyproc.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext ipyproc`` calls."""
    from ipyproc.notebook.extension import unload

    unload(shell)


def __getattr__(name: str) -> object:
    """Imports what is public when it is first asked for."""
    from importlib import import_module

    if name in ("errors", "process"):
        return import_module(f"ipyproc.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """All names, those too that have not been imported yet."""
    return sorted({*globals(), *__all__})
