"""Where a job is: its states, its exits, and a picture of it for a view. Frozen data."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ipyproc.errors import signal_name

__all__ = ["Ending", "Exit", "JobState", "Snapshot", "Status", "at_kernels_end", "describe_status"]


class JobState(str, enum.Enum):
    """Where a job is in its life."""

    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "waiting to restart"
    EXITED = "exited"
    GAVE_UP = "gave up"

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.EXITED, JobState.GAVE_UP)


@dataclass(frozen=True, slots=True)
class Exit:
    """How one process of a job ended.

    Attributes:
        pid: its process id.
        status: the exit status, negative for a signal.
        started: when it was started, in seconds since the epoch.
        ended: when its exit was seen, likewise.
    """

    pid: int
    status: int
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended.

    Attributes:
        status: the exit status of its last process, negative for a signal.
        elapsed: seconds from its start to its end.
        ended_by: the signal of ours that ended it, such as ``SIGINT``; None when it ended by itself.
        timed_out: whether its timeout stopped it.
        notes: what else there is to say, a sentence each.
    """

    status: int
    elapsed: float
    ended_by: str | None = None
    timed_out: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """What a host knows of a job at one moment.

    Attributes:
        state: where it is in its life.
        pid: of its current or last process; 0 where it has none.
        elapsed: seconds since it was started, until its end.
        uptime: seconds since its current process was started; None when there is none.
        returncode: the exit status of its last process, negative for a signal; None while one runs.
        exits: how its processes ended, the last ten.
        restarts: how often it was restarted.
        max_restarts: how many restarts it may have; None when it has no restart policy.
        ready: whether it is ready; True when it has nothing to be ready for.
        notes: what else there is to say, a sentence each.
        ending: how it ended; None before its end.
        left: how many processes it has left running, once it has ended.
        lives: how often it was started anew, after its end.
        again: whether it is to be started anew.
        error: why it could not be started anew.
    """

    state: JobState
    pid: int = 0
    elapsed: float = 0.0
    uptime: float | None = None
    returncode: int | None = None
    exits: tuple[Exit, ...] = ()
    restarts: int = 0
    max_restarts: int | None = None
    ready: bool = True
    notes: tuple[str, ...] = ()
    ending: Ending | None = None
    left: int = 0
    lives: int = 0
    again: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class Snapshot:
    """An immutable picture of a job at one moment; all that a view is given.

    Attributes:
        name: its name in the table.
        command: its command on one line.
        state: where it is in its life.
        pid: of its current or last process.
        elapsed: seconds since it was started, until its end.
        uptime: seconds since its current process was started; None when there is none.
        returncode: the exit status of its last process; None while one runs.
        exits: how its processes ended, the last ones.
        restarts: how often it was restarted.
        max_restarts: how many restarts it may have; None when it has no restart policy.
        ready: whether it is ready; None when it has nothing to be ready for.
        size: bytes of output that arrived.
        dropped: bytes that went because of ``max_output``.
        lost: bytes that could not be kept, such as for a full disk.
        last_line: the last line of its output.
        notes: what else there is to say, a sentence each.
        ended_by: the signal of ours that ended it, such as ``SIGINT``; None when it ended by itself.
        left_running: how many processes it has left running, once it has ended.
        ends_with_kernel: whether the kernel's end is about to end it.
    """

    name: str
    command: str
    state: JobState
    pid: int
    elapsed: float
    uptime: float | None
    returncode: int | None
    exits: tuple[Exit, ...]
    restarts: int
    max_restarts: int | None
    ready: bool | None
    size: int
    dropped: int
    lost: int
    last_line: str
    notes: tuple[str, ...]
    ended_by: str | None = None
    left_running: int = 0
    ends_with_kernel: bool = False


def at_kernels_end(snapshot: Snapshot) -> Snapshot:
    """Return the picture of a job that the kernel's end is about to end; of another, what was given."""
    return snapshot if snapshot.state.done else replace(snapshot, ends_with_kernel=True)


def describe_status(status: int) -> str:
    """An exit status for people: ``exit 2``, or the name of the signal."""
    return signal_name(-status) if status < 0 else f"exit {status}"
