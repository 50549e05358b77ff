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
    """Forked workers under a supervisor; `fork` and ``%%fork`` make it.

    A job like any other: it can be awaited, stopped, listed, its output read. `pid` is that of the
    leader of its session. It exits with 0 once all workers have exited normally. `stop` and interrupts
    go to the helper, which passes them on to every worker; `kill` and a killed helper end them all.

    In `output` each line has its worker's mark (``[2] ``); what the code prints before the fork has
    none. `worker_output` is one worker's, without marks.

    Args:
        hosted: the group, as its host holds it.
        announce: told of everything that happens to it.
        claim: asked before it is started anew.
    """

    hosted: HostedGroup

    def __init__(self, hosted: HostedGroup, announce: Announce, claim: Claim) -> None:
        super().__init__(hosted, announce, claim)
        assert isinstance(hosted.spec, GroupSpec)
        self._group = hosted.spec

    @property
    def command(self) -> str:
        """What stands for its command, such as ``%%fork -n 4``."""
        return self._group.shown_command

    @property
    def helper_pid(self) -> int | None:
        """The process id of the helper that forks the workers; None until it has told."""
        return self.hosted.status().helper_pid

    @property
    def workers(self) -> tuple[WorkerSnapshot, ...]:
        """A picture of each worker at this moment, by task id."""
        return self.hosted.status().workers

    def snapshot(self) -> GroupSnapshot:
        """An immutable picture of this moment, for a view."""
        return group_snapshot_of(self.hosted)

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
        output = self.hosted.worker_output(self._task(task_id))
        return output.text(stream) if output is not None else ""

    def listen(self, listener: Callable[[Message], None]) -> Callable[[], None]:
        """Has ``listener`` called with every message of the helper, on the loop; returns what ends that.

        Output is no message of this kind.

        Args:
            listener: takes a message. An exception of its own is logged.
        """
        return self.hosted.listen_to_workers(listener)

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
