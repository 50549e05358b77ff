"""Starting worker groups: `fork`, which is ``%%fork`` in Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ipyproc.errors import JobSpecError, WorkerCodeError
from ipyproc.hosts.base import HostedGroup, HostedJob
from ipyproc.hosts.helper.wire import VERSION, encode
from ipyproc.job.group import WorkerGroup
from ipyproc.job.job import Announce, Claim
from ipyproc.job.source import fork_line, pickled
from ipyproc.job.table import JobTable, jobs
from ipyproc.model.group import GroupSpec
from ipyproc.model.input import Input
from ipyproc.model.spec import DEFAULT_MAX_OUTPUT
from ipyproc.process import cpu_count

__all__ = ["enter_group", "fork", "worker_count"]

_HOME = str(Path(__file__).resolve().parents[2])
# Not `-m`: that would look for modules in the notebook's folder first, where a random.py may lie. And our
# own folder comes first for our own package alone, whatever a .pth file has imported under its name.
_PROGRAM = (
    f"import sys; sys.path[:] = [{_HOME!r}, *filter(None, sys.path)]; "
    "[sys.modules.pop(name) for name in [*sys.modules] if name.partition('.')[0] == 'ipyproc']; "
    "import ipyproc; del sys.path[0]; "
    "from ipyproc.hosts.helper.leader import main; main()"
)
AnyGroup = TypeVar("AnyGroup", bound="WorkerGroup")


def fork(
    code: str,
    workers: int | None = None,
    max_restarts: int = 100,
    *,
    variables: Mapping[str, object] | None = None,
    name: str | None = None,
    quiet: bool = False,
    max_output: int = DEFAULT_MAX_OUTPUT,
    filename: str = "workers",
    first_line: int = 1,
    shown: str = "fork",
    table: JobTable = jobs,
) -> WorkerGroup:
    """Runs code in forked workers, and returns at once; what ``%%fork`` is in Python.

    The workers are forked by a fresh interpreter, never by this process. A worker that exits
    abnormally is replaced, ``max_restarts`` times over all of them. In the code, ``task_id()`` is the
    worker's number, and ``measure(n)`` tells how many operations it has done. A line
    ``fork_processes()`` at its top level says where the fork is: what stands above it runs once,
    before it, and what it makes, such as bound sockets, all workers inherit. Without that line all of
    it runs in each worker::

        group = ipyproc.fork('''
        words = {str(n): n for n in range(100_000)}
        fork_processes()
        print("worker", task_id(), "has", len(words), "words")
        ''', workers=4)
        await group
        print(group.worker_output(2))

    Args:
        code: Python, with top-level ``await`` where an event loop is wanted.
        workers: how many; None or 0 for the number of cores.
        max_restarts: how many restarts are granted, over all workers together.
        variables: what the code has besides, sent by cloudpickle.
        name: its name among the jobs.
        quiet: whether its cell shows nothing of it.
        max_output: bytes of output that are kept, of all and of each worker.
        filename: what tracebacks call the code.
        first_line: the number of its first line there.
        shown: what it is called in views, before the number of workers.
        table: where it is entered.

    Raises:
        WorkerCodeError: the code is no Python, or a variable cannot be sent (a `ValueError`).
        JobSpecError: an argument cannot be (a `ValueError`).
        JobNameError: a job of that name is running.
        OSError: no more processes may be started, or files opened.
    """
    number = worker_count(workers)
    return enter_group(
        WorkerGroup,
        "workers",
        code,
        number,
        max_restarts,
        variables=variables,
        name=name,
        quiet=quiet,
        max_output=max_output,
        filename=filename,
        first_line=first_line,
        shown=f"{shown} -n {number}",
        table=table,
    )


def worker_count(workers: int | None) -> int:
    """How many workers are meant: None and 0 stand for the number of cores.

    Raises:
        JobSpecError: it is no number of workers (a `ValueError`).
    """
    if workers is None:
        return cpu_count()
    if not isinstance(workers, int) or workers < 0:
        raise JobSpecError(
            f"The number of workers is {workers!r}; give 1 or more, or 0 for the number of cores."
        )
    return workers or cpu_count()


def enter_group(
    kind: Callable[[HostedGroup, Announce, Claim], AnyGroup],
    program: str,
    code: str,
    workers: int,
    max_restarts: int,
    *,
    variables: Mapping[str, object] | None,
    name: str | None,
    quiet: bool,
    max_output: int,
    filename: str,
    first_line: int,
    shown: str,
    table: JobTable,
    gives_up: bool = True,
) -> AnyGroup:
    """Starts a group of any kind; `fork` is this for plain ones.

    Args:
        kind: the group's class.
        program: what it is named after.
        gives_up: whether a group that needs more restarts than were granted has given up.
        shown: what it is called in views.

    The others, and what is raised, are those of `fork`.
    """
    if not isinstance(code, str):
        raise WorkerCodeError(f"The code {code!r} is no text; give the lines that the workers are to run.")
    if not isinstance(variables, Mapping | None):
        raise WorkerCodeError(f"The variables {variables!r} are no dict; give one such as {{'size': 10}}.")
    code = code.replace("\r\n", "\n")
    at = fork_line(code, first_line)
    source = code.encode()
    # A Path among them, which Python passes over, is meant as what it says.
    folders = [os.fsdecode(entry) for entry in sys.path if isinstance(entry, (str, bytes, os.PathLike))]
    path = "\0".join(folders).encode("utf-8", "surrogateescape")
    given = dict(variables or {})
    body = source + path + pickled(given, given)

    def spec_of(free_name: str) -> GroupSpec:
        return GroupSpec(
            command=(sys.executable, "-c", _PROGRAM, str(os.getpid())),
            name=free_name,
            max_restarts=max_restarts,
            max_output=max_output,
            quiet=quiet,
            kernel_path=table.kernel_path,
            workers=workers,
            gives_up=gives_up,
            shown=shown,
            start=Input(
                encode(
                    "start",
                    body,
                    version=VERSION,
                    workers=workers,
                    max_restarts=max_restarts,
                    filename=filename,
                    first_line=first_line,
                    fork_line=at,
                    source=len(source),
                    path=len(path),
                )
            ),
        )

    def group_of(hosted: HostedJob, announce: Announce, claim: Claim) -> AnyGroup:
        assert isinstance(hosted, HostedGroup)
        return kind(hosted, announce, claim)

    return table.enter(name, (program,), spec_of, group_of)
