"""`WorkerGroup`: forked workers in a helper, as a job of the kernel."""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGTERM
from typing import NoReturn

from ipyproc.errors import JobStateError, UnknownJobError, signal_name
from ipyproc.hosts.base import HostedGroup
from ipyproc.hosts.helper.wire import Message
from ipyproc.job.job import Announce, Claim, Job
from ipyproc.job.snapshot import group_snapshot_of
from ipyproc.model.group import GroupSnapshot, GroupSpec, WorkerSnapshot
from ipyproc.model.spec import need_signal
from ipyproc.spool.output import StreamName

__all__ = ["WorkerGroup"]

_EVERY_WORKER = -1


class WorkerGroup(Job):
    """Forked workers under a supervisor; `fork` and ``%%fork`` create it.

    It is a job like any other: await it, stop it, read its output. `pid` is the pid of its session's
    leader. It exits with 0 once all workers have exited normally. `stop` and interrupts go to the helper,
    which passes them on to each worker; `kill`, and the death of the helper, end all workers.

    In `output`, each line begins with the mark of its worker (``[2] ``), except lines that were printed
    before the fork. `worker_output` returns the output of one worker, without marks.

    Args:
        hosted: the group, as its host holds it.
        announce: called with each event of the job.
        claim: called before the job is started anew.
    """

    hosted: HostedGroup

    def __init__(self, hosted: HostedGroup, announce: Announce, claim: Claim) -> None:
        super().__init__(hosted, announce, claim)
        assert isinstance(hosted.spec, GroupSpec)
        self._group = hosted.spec

    @property
    def command(self) -> str:
        """The text that views show instead of a command, such as ``%%fork -n 4``."""
        return self._group.shown_command

    @property
    def helper_pid(self) -> int | None:
        """The pid of the helper that forks the workers; None before it has reported."""
        return self.hosted.status().helper_pid

    @property
    def workers(self) -> tuple[WorkerSnapshot, ...]:
        """A snapshot of each worker at this moment, by task id."""
        return self.hosted.status().workers

    def snapshot(self) -> GroupSnapshot:
        """Return a snapshot of this moment, for a view."""
        return group_snapshot_of(self.hosted)

    # The workers

    def signal(self, signum: int, task_id: int | None = None) -> None:
        """Send a signal to one worker or to all; workers that it ends are replaced.

        Args:
            signum: the signal, such as ``signal.SIGHUP``.
            task_id: the worker; None for all workers.

        Raises:
            JobStateError: the group has ended.
            JobSpecError: there is no such signal (a `ValueError`).
            UnknownJobError: there is no such worker.
        """
        need_signal(signum)
        self._command(
            "signal", f"{signal_name(signum)} was not sent", task=self._task(task_id), signum=signum
        )

    def restart_worker(self, task_id: int, signum: int = SIGTERM) -> None:
        """End a worker by a signal and replace it; this does not count against ``max_restarts``.

        Args:
            task_id: the worker.
            signum: the signal, SIGTERM by default.

        Raises:
            JobStateError: the group has ended.
            JobSpecError: there is no such signal (a `ValueError`).
            UnknownJobError: there is no such worker.
        """
        need_signal(signum)
        self._command("restart", "no worker was restarted", task=self._task(task_id), signum=int(signum))

    def open_barrier(self) -> None:
        """Open the barrier for the workers that wait at ``barrier()``.

        Raises:
            JobStateError: the group has ended.
        """
        self._command("go", "it has no barrier to open")

    def worker_output(self, task_id: int, stream: StreamName | None = None) -> str:
        """Return the output of a worker so far, and of its predecessors with that task id, without marks.

        Args:
            task_id: the worker.
            stream: "stdout" or "stderr"; None for both.

        Raises:
            UnknownJobError: there is no such worker.
        """
        output = self.hosted.worker_output(self._task(task_id))
        return output.text(stream) if output is not None else ""

    def listen(self, listener: Callable[[Message], None]) -> Callable[[], None]:
        """Call ``listener`` with each message of the helper, except output; return a function that ends that.

        The listener is called where the host is driven.

        Args:
            listener: called with a message; an exception that it raises is logged.

        Raises:
            JobStateError: the group is kept, so that its messages do not come here.
        """
        return self.hosted.listen_to_workers(listener)

    def send(self, text: str | bytes) -> NoReturn:
        """Raise an error, since workers have no standard input.

        Raises:
            JobStateError: always.
        """
        raise JobStateError(
            f"Job {self.name!r} is a group of workers, which have no standard input; "
            "push variables to them, or have them read a socket."
        )

    def close_stdin(self) -> None:
        """Do nothing, since workers have no standard input."""

    def _task(self, task_id: int | None) -> int:
        if task_id is None:
            return _EVERY_WORKER
        if not 0 <= task_id < self._group.workers:
            raise UnknownJobError(
                f"Group {self.name!r} has no worker {task_id}; "
                f"its task ids are 0 to {self._group.workers - 1}."
            )
        return task_id

    def _command(self, kind: str, otherwise: str, **fields: int) -> None:
        if not self.hosted.takes_input:
            raise JobStateError(f"Job {self.name!r} has ended, so {otherwise}; restart it first.")
        self.hosted.command(kind, **fields)
