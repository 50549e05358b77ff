"""What a worker group is, for a view: frozen data, no I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ipyproc.model.input import Input
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Snapshot, Status

__all__ = ["GroupSnapshot", "GroupSpec", "GroupStatus", "WorkerSnapshot", "WorkerState"]


class WorkerState(str, enum.Enum):
    """Where a worker is."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class GroupSpec(JobSpec):
    """What a worker group runs, and how; its command is that of the helper.

    Attributes:
        workers: how many.
        start: the message that has the helper begin.
        gives_up: whether a group that needs more restarts than were granted has given up, rather than ended.
        shown: what people see instead of the command.
    """

    workers: int = 1
    start: Input = field(default_factory=lambda: Input(b""))
    gives_up: bool = True
    shown: str = "%%fork"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What its processes are given to read."""
        return (self.start,)

    @property
    def shown_command(self) -> str:
        """The command on one line, for people."""
        return self.shown


@dataclass(frozen=True)
class WorkerSnapshot:
    """An immutable picture of a worker at one moment.

    Attributes:
        task_id: its number in the group, from 0.
        pid: of its current or last process; None before the first.
        state: where it is.
        last_exit: how its last process ended, negative for a signal; None when none has.
        exits: every exit status that its processes had, and how often.
        restarts: how often it was replaced.
        uptime: seconds since its current process was started; None when there is none.
        cpu: in percent of a core; None when it has not been measured twice.
        memory: resident bytes, what it shares with the others included; None when it does not run.
        operations: operations a second; None when it tells none.
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
        workers: one picture a worker, by task id.
        helper_pid: the process id of the helper that forks the workers; None until it has told.
    """

    workers: tuple[WorkerSnapshot, ...] = ()
    helper_pid: int | None = None


@dataclass(frozen=True)
class GroupSnapshot(Snapshot):
    """An immutable picture of a worker group at one moment.

    Attributes:
        workers: one picture a worker, by task id.
    """

    workers: tuple[WorkerSnapshot, ...] = ()
