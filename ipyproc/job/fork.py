"""Start worker groups: `fork`, the Python form of ``%%fork``."""

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

_PACKAGE_FOLDER = str(Path(__file__).resolve().parents[2])
# Not `-m`, which would search the notebook's folder first, where a random.py may lie. The package's folder is
# in sys.path only for the import of this very package, in place of one that a .pth file may have imported.
_PROGRAM = (
    f"import sys; sys.path[:] = [{_PACKAGE_FOLDER!r}, *filter(None, sys.path)]; "
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
    keep: bool = False,
    table: JobTable = jobs,
) -> WorkerGroup:
    """Run code in forked workers, and return at once; the Python form of ``%%fork``.

    A fresh interpreter forks the workers, never this process. A worker that exits abnormally is replaced,
    up to ``max_restarts`` times over all workers. In the code, ``task_id()`` is the worker's number, and
    ``measure(n)`` reports how many operations it has done. A line ``fork_processes()`` at the top level marks
    the fork: the code above it runs once, and all workers inherit what it creates, such as bound sockets.
    Without that line, all code runs in each worker::

        group = ipyproc.fork('''
        words = {str(n): n for n in range(100_000)}
        fork_processes()
        print("worker", task_id(), "has", len(words), "words")
        ''', workers=4)
        await group
        print(group.worker_output(2))

    Args:
        code: Python code, which may use top-level ``await``.
        workers: the number of workers; None or 0 for the number of cores.
        max_restarts: the number of restarts allowed, over all workers together.
        variables: variables for the code, sent by cloudpickle.
        name: its name in the table.
        quiet: whether its cell shows nothing of it.
        max_output: the bytes of output to keep, of all workers together and of each.
        filename: the name of the code in tracebacks.
        first_line: the number of its first line in tracebacks.
        shown: the text that views show instead of a command, before the number of workers.
        keep: whether it goes on when this process ends, whatever ends that, and is found again as a kept job
            is; see `JobTable.spawn`. Its `pid` is 0 at first, and `WorkerGroup.listen` is refused.
        table: the table of jobs.

    Raises:
        WorkerCodeError: the code is not valid Python, or a variable could not be sent (a `ValueError`).
        JobSpecError: an argument is invalid (a `ValueError`).
        JobNameError: a job of that name is running.
        OSError: the system allows no more processes or open files.
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
        keep=keep,
        table=table,
    )


def worker_count(workers: int | None) -> int:
    """Return a number of workers, where None and 0 mean the number of cores.

    Raises:
        JobSpecError: it is not a number of workers (a `ValueError`).
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
    keep: bool = False,
) -> AnyGroup:
    """Start a group of a given class and enter it in the table.

    The arguments and exceptions that are not listed are those of `fork`.

    Args:
        kind: creates the group.
        program: the program that names it, if no name is given.
        shown: the text that views show instead of a command.
        gives_up: whether a group that runs out of restarts counts as given up.
        keep: whether it goes on when this process ends.
    """
    if not isinstance(code, str):
        raise WorkerCodeError(f"The code {code!r} is not a string; give the lines for the workers to run.")
    if not isinstance(variables, Mapping | None):
        raise WorkerCodeError(f"The variables {variables!r} are not a dict; give one such as {{'size': 10}}.")
    code = code.replace("\r\n", "\n")
    at = fork_line(code, first_line)
    source = code.encode()
    # Python ignores a Path in sys.path; the helper gets it as a string.
    folders = [os.fsdecode(entry) for entry in sys.path if isinstance(entry, (str, bytes, os.PathLike))]
    path = "\0".join(folders).encode("utf-8", "surrogateescape")
    given = dict(variables or {})
    body = source + path + pickled(given, given)

    def spec_of(free_name: str) -> GroupSpec:
        return GroupSpec(
            # A kept one has no kernel with which its helper is to end.
            command=(sys.executable, "-c", _PROGRAM, "0" if keep else str(os.getpid())),
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

    return table.enter(name, (program,), spec_of, group_of, table.keeper if keep else None)
