"""The state of a job as users and views see it: states, exits, status, snapshot. Frozen data."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ipyproc.errors import signal_name

__all__ = ["Ending", "Exit", "JobState", "Snapshot", "Status", "at_kernels_end", "describe_status"]


class JobState(str, enum.Enum):
    """The state of a job."""

    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "waiting to restart"
    EXITED = "exited"
    GAVE_UP = "gave up"

    @property
    def done(self) -> bool:
        """True if the job has ended."""
        return self in (JobState.EXITED, JobState.GAVE_UP)


@dataclass(frozen=True, slots=True)
class Exit:
    """How one process of a job ended.

    Attributes:
        pid: its pid.
        status: its exit status, negative for a signal.
        started: when it was started, in seconds since the epoch.
        ended: when its exit was seen, in seconds since the epoch.
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
        elapsed: the seconds from its start to its end.
        ended_by: the signal of a stop that ended it, such as ``SIGINT``; None if it ended by itself.
        timed_out: whether its timeout stopped it.
        notes: remarks for people, one sentence each.
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
        state: its state.
        pid: the pid of its current or last process; 0 if it has had none.
        elapsed: the seconds since its start, up to its end.
        uptime: the seconds since its current process was started; None if it has none.
        returncode: the exit status of its last process, negative for a signal; None while one runs.
        exits: the exits of its last ten processes.
        restarts: how often its policy has restarted it.
        max_restarts: the restarts that its policy allows; None if it has no restart policy.
        ready: whether it is ready; True if its spec names no readiness.
        notes: remarks for people, one sentence each.
        ending: how it ended; None before its end.
        left: the number of processes that it left running; 0 before its end.
        lives: how often it was started anew after its end.
        again: whether it is about to be started anew.
        error: why it could not be started anew; None if it could.
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
    """A job at one moment, as a view shows it.

    Attributes:
        name: its name in the table.
        command: its command on one line.
        state: its state.
        pid: the pid of its current or last process.
        elapsed: the seconds since its start, up to its end.
        uptime: the seconds since its current process was started; None if it has none.
        returncode: the exit status of its last process, negative for a signal; None while one runs.
        exits: the exits of its last ten processes.
        restarts: how often its policy has restarted it.
        max_restarts: the restarts that its policy allows; None if it has no restart policy.
        ready: whether it is ready; None if its spec names no readiness.
        size: the bytes of output that have come.
        dropped: the bytes dropped because of ``max_output``.
        lost: the bytes that could not be stored, for example on a full disk.
        last_line: the last line of its output.
        notes: remarks for people, one sentence each.
        ended_by: the signal of a stop that ended it, such as ``SIGINT``; None if it ended by itself.
        left_running: the number of processes that it left running; 0 before its end.
        ends_with_kernel: whether the kernel's end is about to end it, or what is shown of it.
        is_kept: whether it goes on without the kernel.
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
    is_kept: bool = False


def at_kernels_end(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot marked as ending with the kernel; one of an ended job is returned as it is."""
    return snapshot if snapshot.state.done else replace(snapshot, ends_with_kernel=True)


def describe_status(status: int) -> str:
    """Return an exit status as text: ``exit 2``, or the name of the signal."""
    return signal_name(-status) if status < 0 else f"exit {status}"
