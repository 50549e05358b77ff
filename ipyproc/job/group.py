"""`WorkerGroup`: forked workers in a helper, as a job of the kernel."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import NoReturn, TypeVar

from ipyproc.errors import (
    JobSpecError,
    JobStateError,
    UnknownJobError,
    WireError,
    WorkerCodeError,
    signal_name,
)
from ipyproc.hosts.helper.wire import VERSION, Message, Value, encode
from ipyproc.hosts.local.link import Link
from ipyproc.hosts.local.marks import coloured
from ipyproc.hosts.local.roster import Roster
from ipyproc.hosts.local.run import Run, Watcher
from ipyproc.hosts.local.worker_usage import WorkerUsage
from ipyproc.job.job import Job, Table
from ipyproc.job.source import fork_line, pickled
from ipyproc.job.table import JobTable, jobs
from ipyproc.model.event import EventKind
from ipyproc.model.group import GroupSnapshot, GroupSpec, WorkerSnapshot
from ipyproc.model.input import Input
from ipyproc.model.spec import DEFAULT_MAX_OUTPUT, need_signal
from ipyproc.model.state import JobState
from ipyproc.process import cpu_count
from ipyproc.spool.output import Output, StreamName

__all__ = ["WorkerGroup", "enter_group", "fork", "worker_count"]

log = logging.getLogger("ipyproc")

_HOME = str(Path(__file__).resolve().parents[2])
# Not `-m`: that would look for modules in the notebook's folder first, where a random.py may lie. And our
# own folder comes first for our own package alone, whatever a .pth file has imported under its name.
_PROGRAM = (
    f"import sys; sys.path[:] = [{_HOME!r}, *filter(None, sys.path)]; "
    "[sys.modules.pop(name) for name in [*sys.modules] if name.partition('.')[0] == 'ipyproc']; "
    "import ipyproc; del sys.path[0]; "
    "from ipyproc.hosts.helper.leader import main; main()"
)
_EVERY_WORKER = -1

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
    kind: Callable[[GroupSpec, JobTable], AnyGroup],
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
) -> AnyGroup:
    """Starts a group of any kind; `fork` is this for plain ones.

    Args:
        kind: the group's class.
        program: what it is named after.
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

    return table.enter(name, (program,), spec_of, kind)


class WorkerGroup(Job):
    """Forked workers under a supervisor; `fork` and ``%%fork`` make it.

    A job like any other: it can be awaited, stopped, listed, its output read. `pid` is that of the
    leader of its session. It exits with 0 once all workers have exited normally. `stop` and interrupts
    go to the helper, which passes them on to every worker; `kill` and a killed helper end them all.

    In `output` each line has its worker's mark (``[2] ``); what the code prints before the fork has
    none. `worker_output` is one worker's, without marks.

    Attributes:
        helper_pid: the process id of the helper that forks the workers; None until it has told.
    """

    def __init__(self, spec: GroupSpec, table: Table) -> None:
        self._group = spec
        self._roster = Roster(spec.workers)
        self._link: Link | None = None
        self._own: dict[int, Output] = {}
        self._usage = WorkerUsage()
        self._message_listeners: list[Callable[[Message], None]] = []
        self.helper_pid: int | None = None
        super().__init__(spec, table)

    def __repr__(self) -> str:
        return super().__repr__().replace("<Job", "<WorkerGroup", 1)

    @property
    def command(self) -> str:
        """What stands for its command, such as ``%%fork -n 4``."""
        return self._group.shown_command

    @property
    def state(self) -> JobState:
        """Where it is in its life; "gave up" when its restarts were not enough, else as for any job."""
        state = super().state
        return JobState.GAVE_UP if state.done and self._roster.verdict else state

    @property
    def workers(self) -> tuple[WorkerSnapshot, ...]:
        """A picture of each worker at this moment, by task id."""
        usage = self._usage.sample(self._roster.pids) if not self.done else {}
        return self._roster.snapshots(time.monotonic(), usage)

    def snapshot(self) -> GroupSnapshot:
        """An immutable picture of this moment, for a view."""
        of_job = {
            **vars(super().snapshot()),
            "state": self.state,
            "restarts": self._roster.restarts,
            "max_restarts": self._group.max_restarts,
        }
        return GroupSnapshot(**of_job, workers=self.workers)

    # Its workers

    def signal(self, signum: int, task_id: int | None = None) -> None:
        """Sends a signal to every worker, or to one; those that it ends are replaced.

        Args:
            signum: such as ``signal.SIGHUP``, or its number.
            task_id: whose; None for every worker.

        Raises:
            JobStateError: the group has ended.
            JobSpecError: there is no such signal (a `ValueError`).
            UnknownJobError: there is no such worker.
        """
        need_signal(signum)
        self._command(
            "signal", f"{signal_name(signum)} cannot be sent to it", task=self._task(task_id), signum=signum
        )

    def restart_worker(self, task_id: int, signum: int = SIGTERM) -> None:
        """Ends a worker by a signal and replaces it, at no charge to the budget.

        Args:
            task_id: whose.
            signum: the signal, SIGTERM by default.

        Raises:
            JobStateError: the group has ended.
            JobSpecError: there is no such signal (a `ValueError`).
            UnknownJobError: there is no such worker.
        """
        need_signal(signum)
        self._command(
            "restart", "no worker of it can be restarted", task=self._task(task_id), signum=int(signum)
        )

    def open_barrier(self) -> None:
        """Lets the workers begin that wait at ``barrier()``.

        Raises:
            JobStateError: the group has ended.
        """
        self._command("go", "it has no barrier to open")

    def worker_output(self, task_id: int, stream: StreamName | None = None) -> str:
        """What a worker has written so far, all that had its task id, without marks.

        Args:
            task_id: whose.
            stream: "stdout" or "stderr"; both by default.

        Raises:
            UnknownJobError: there is no such worker.
        """
        output = self._own.get(self._task(task_id))
        return output.text(stream) if output is not None else ""

    def listen(self, listener: Callable[[Message], None]) -> Callable[[], None]:
        """Has ``listener`` called with every message of the helper, on the loop; returns what ends that.

        Output is no message of this kind.

        Args:
            listener: takes a message. An exception of its own is logged.
        """
        self._message_listeners.append(listener)

        def unlisten() -> None:
            if listener in self._message_listeners:
                self._message_listeners.remove(listener)

        return unlisten

    # What is different from other jobs

    def send(self, text: str | bytes) -> NoReturn:
        """Workers have no standard input.

        Raises:
            JobStateError: always.
        """
        raise JobStateError(
            f"Job {self.name!r} is a group of workers, which have no standard input; "
            "push variables to them, or have them read a socket."
        )

    def close_stdin(self) -> None:
        """Does nothing: workers have no standard input."""

    def runs(self, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        """The bytes from offset ``start`` to ``stop``, in stretches of one stream, the marks in colour."""
        before = self._output.read(start - 1, start) if start else b"\n"
        painted = []
        for name, data in super().runs(start, stop):
            painted.append((name, coloured(data, before in (b"\n", b"\r"))))
            before = data[-1:]
        return painted

    def release(self) -> None:
        """Gives back the output of a group that has ended; nothing of it can be read after this.

        Raises:
            JobStateError: it has not ended.
        """
        super().release()
        while self._own:
            self._own.popitem()[1].close()

    def happened(self, kind: EventKind, detail: str = "") -> None:
        """Takes note of what happened in its life, and tells everybody; called by its life.

        Args:
            kind: what happened.
            detail: for people, such as the signal that was sent.
        """
        if kind is EventKind.STARTED:
            self._run.write(self._group.start.data, close=False)
        elif kind is EventKind.EXITED:
            self._look_at_end()
        elif kind is EventKind.DONE:
            assert self._link is not None
            self._link.end()
            self._roster.end()
            if self._roster.verdict:
                kind = EventKind.GAVE_UP
        super().happened(kind, detail)

    def _new_run(self, watcher: Watcher) -> Run:
        self._roster = Roster(self._group.workers)
        self._link = Link(self._output, self._output_of, self._driver, self._lock, watcher.wrote, self._take)
        self.helper_pid = None
        return _HelperRun(self._spec, self._table, self._output, watcher, self._link)

    def _rest(self) -> None:
        super()._rest()
        for output in self._own.values():
            output.settle()

    def _take(self, message: Message | WireError) -> None:
        """Takes what the helper sent; on the loop."""
        if isinstance(message, WireError):
            self._life.stop(None, ladder=(SIGKILL,), note=str(message))
            return
        if message.kind == "hello":
            self.helper_pid = message.number("pid")
            return
        try:
            kind, detail = self._roster.take(message)
        except KeyError:
            self._take(WireError(f"Unexpected bytes from the helper: {message!r} is not for a kernel"))
            return
        if kind is EventKind.GAVE_UP:
            self._life.note(detail)
            kind, detail = EventKind.STOPPING, "gave up"
        self._tell(kind, detail, message.number("task") if message.kind != "gave-up" else None)
        for listener in tuple(self._message_listeners):
            try:
                listener(message)
            except (Exception, asyncio.CancelledError):
                # It is told in the midst of the group's life, which goes on.
                log.exception("Listener %r of group %r failed at %r.", listener, self.name, message)

    def _look_at_end(self) -> None:
        status = self._run.status
        if status is not None and status < 0 and self._life.state is not JobState.STOPPING:
            # All that is left are processes that the workers started.
            self._run.session.signal(SIGKILL)
            self._life.note(f"its helper was ended by {signal_name(-status)}, and every worker with it")

    def _output_of(self, task_id: int) -> Output:
        output = self._own.get(task_id)
        if output is None:
            output = self._own[task_id] = Output(self._group.max_output)
        return output

    def _task(self, task_id: int | None) -> int:
        if task_id is None:
            return _EVERY_WORKER
        if not 0 <= task_id < self._group.workers:
            raise UnknownJobError(
                f"Group {self.name!r} has no worker {task_id}; "
                f"its task ids are 0 to {self._group.workers - 1}."
            )
        return task_id

    def _command(self, kind: str, otherwise: str, **fields: Value) -> None:
        run = self._run
        if self.done or not run.takes_input:
            raise JobStateError(f"Job {self.name!r} has ended, so {otherwise}; restart it first.")
        run.write(encode(kind, b"", **fields), close=False)


class _HelperRun(Run):
    """The leader of a helper's session; the helper and its workers are in it."""

    def signal_session(self, signum: int) -> None:
        """Signal the session; SIGINT and SIGTERM go by way of the leader and the helper.

        A worker that got them from both would be broken off in its cleanup.
        """
        if signum in (SIGINT, SIGTERM) and self.status is None:
            try:
                os.kill(self.pid, signum)
            except ProcessLookupError:
                pass
        else:
            super().signal_session(signum)
