"""The spec, status and snapshot of a worker group: frozen data, no I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ipyproc.model.input import Input
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Snapshot, Status

__all__ = ["GroupSnapshot", "GroupSpec", "GroupStatus", "WorkerSnapshot", "WorkerState"]


class WorkerState(str, enum.Enum):
    """The state of a worker."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class GroupSpec(JobSpec):
    """What a worker group runs, and how; its command is that of the helper.

    Attributes:
        workers: the number of workers.
        start: the message that starts the helper's work.
        gives_up: whether a group that runs out of restarts counts as given up, rather than as ended.
        shown: the text that views show instead of the command.
    """

    workers: int = 1
    start: Input = field(default_factory=lambda: Input(b""))
    gives_up: bool = True
    shown: str = "%%fork"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of its processes."""
        return (self.start,)

    @property
    def shown_command(self) -> str:
        """The text that views show instead of the command."""
        return self.shown


@dataclass(frozen=True)
class WorkerSnapshot:
    """A worker at one moment.

    Attributes:
        task_id: its number in the group, from 0.
        pid: the pid of its current or last process; None before the first.
        state: its state.
        last_exit: the exit status of its last process, negative for a signal; None before an exit.
        exits: each exit status of its processes, and how often it occurred.
        restarts: how often it was replaced.
        uptime: the seconds since its current process was started; None if it has none.
        cpu: its CPU time in percent of a core; None before it was measured twice.
        memory: its resident memory in bytes, shared pages included; None if it does not run.
        operations: its operations per second; None if it reports none.
    """

    task_id: int
    pid: int | None
    state: WorkerState
    last_exit: int | None
    exits: tuple[tuple[int, int], ...]
    restarts: int
    uptime: float | None
    cpu: float | None
    memory: int | None
    operations: float | None


@dataclass(frozen=True)
class GroupStatus(Status):
    """What a host knows of a worker group at one moment.

    Attributes:
        workers: one snapshot per worker, by task id.
        helper_pid: the pid of the helper that forks the workers; None before it has reported.
    """

    workers: tuple[WorkerSnapshot, ...] = ()
    helper_pid: int | None = None


@dataclass(frozen=True)
class GroupSnapshot(Snapshot):
    """A worker group at one moment.

    Attributes:
        workers: one snapshot per worker, by task id.
    """

    workers: tuple[WorkerSnapshot, ...] = ()
