"""Run processes from a notebook.

``%load_ext ipyproc`` gives a notebook ``%%spawn``, ``%%fork``, ``%forkbench``, and ``%jobs``, ``%wait``,
``%stop``, ``%restart``, ``%send`` and ``%logs`` for what they start; each has its help, as ``%spawn?``.
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

    from ipyproc.errors import IpyprocError, JobFailed
    from ipyproc.job.fork import fork
    from ipyproc.job.group import WorkerGroup
    from ipyproc.job.job import Job
    from ipyproc.job.result import Result
    from ipyproc.job.table import JobTable, jobs, spawn

__all__ = [
    "IpyprocError",
    "Job",
    "JobFailed",
    "JobTable",
    "Result",
    "WorkerGroup",
    "fork",
    "jobs",
    "load_ipython_extension",
    "spawn",
    "unload_ipython_extension",
]

__version__ = "0.1.0"

_HOMES = {
    "IpyprocError": "ipyproc.errors",
    "Job": "ipyproc.job.job",
    "JobFailed": "ipyproc.errors",
    "JobTable": "ipyproc.job.table",
    "Result": "ipyproc.job.result",
    "WorkerGroup": "ipyproc.job.group",
    "fork": "ipyproc.job.fork",
    "jobs": "ipyproc.job.table",
    "spawn": "ipyproc.job.table",
}


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
