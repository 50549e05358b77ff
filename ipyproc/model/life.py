"""What is known of a job: the rules of its life, its state, its process. Values.

Every state carries its own data, and a process that has exited is another type than one that runs, so that
there is no combination of flags that cannot be. `ipyproc.model.decide` says how one follows from another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from signal import SIGINT, SIGKILL, SIGTERM, Signals

from ipyproc.model.policy import RestartPolicy, Streak
from ipyproc.model.state import JobState

__all__ = [
    "LADDER",
    "Alive",
    "Backoff",
    "Clearing",
    "Ended",
    "Gone",
    "Life",
    "Rules",
    "Running",
    "Starting",
    "State",
    "Stopping",
    "stop_ladder",
]

LADDER = (SIGINT, SIGTERM, SIGKILL)
"""The signals of a stop, each sent when the grace of the one before is over."""


def stop_ladder(first: int) -> tuple[Signals, ...]:
    """Return the signals of a stop that begins with ``first``."""
    return (Signals(first), *(signum for signum in LADDER[1:] if signum != first))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a spec says about a job's life.

    Attributes:
        restart: when it is restarted.
        timeout: seconds after its first start at which it is stopped; None for never.
        ladder: the signals of a stop.
    """

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    timeout: float | None = None
    ladder: tuple[Signals, ...] = LADDER


@dataclass(frozen=True, slots=True)
class Alive:
    """The process runs.

    Attributes:
        pid: its id.
        since: when it was started.
    """

    pid: int
    since: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The process has exited; others of its session may live, and its pipes may be open.

    Attributes:
        pid: its id.
        since: when it was started.
        status: its exit status, negative for a signal.
        piping: whether a pipe of it is not at its end.
        left: how many processes its session still has; None before the first look.
        hold_until: when what it has left is waited for no longer; None when nothing is waited for.
        held_piping: whether a pipe was open when that wait began.
        draining: whether a `Drain` is being carried out.
        drained: whether what its pipes had has been taken.
    """

    pid: int
    since: float
    status: int
    piping: bool
    left: int | None
    hold_until: float | None = None
    held_piping: bool = False
    draining: bool = False
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Starting:
    """A process is being started."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process runs, or has exited and something of it is waited for.

    Attributes:
        unwell: whether it was ended because it was not well, so that its exit counts as a failure.
        kill_at: when it gets SIGKILL because of that; None for never.
    """

    unwell: bool = False
    kill_at: float | None = None


@dataclass(frozen=True, slots=True)
class Stopping:
    """The job was asked to end.

    Attributes:
        rungs: the signals that are still to come.
        grace: seconds between them; None where the first alone is sent.
        next_at: when the next is due; None for never.
        whole: whether its whole session is to end, rather than the program alone.
        killed_at: when SIGKILL was first sent; None before that.
    """

    rungs: tuple[Signals, ...] = ()
    grace: float | None = None
    next_at: float | None = None
    whole: bool = False
    killed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Clearing:
    """What a process has left is being ended, so that the next one finds its place free.

    Attributes:
        kill_at: when it gets SIGKILL; None when it has had it.
        over_at: when it is waited for no longer.
    """

    kill_at: float | None
    over_at: float


@dataclass(frozen=True, slots=True)
class Backoff:
    """The process has exited, and will be started again.

    Attributes:
        until: when.
        clearing: what is being ended meanwhile; None when nothing is left.
    """

    until: float
    clearing: Clearing | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over.

    Attributes:
        at: when it ended.
        status: the exit status of its last process, negative for a signal.
        gave_up: whether it would have been restarted, but for the budget.
        rungs: the signals that are still to come for what it has left.
        grace: seconds between them; None where the first alone is sent.
        next_at: when the next is due; None for never.
    """

    at: float
    status: int
    gave_up: bool = False
    rungs: tuple[Signals, ...] = ()
    grace: float | None = None
    next_at: float | None = None


State = Starting | Running | Stopping | Clearing | Backoff | Ended


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of a job.

    Attributes:
        rules: what its spec says.
        born: when it was begun.
        state: where it is.
        process: its current or last process; None before the first has been started.
        streak: its exits in a row, for the restart policy.
        ready: whether its current process is ready.
        sent: the signals that its processes have had from a stop.
        ended_by: the signal of a stop that ended the last process; None when it ended by itself.
        timed_out: whether the timeout has stopped it.
        timeout_at: when the timeout is; None for never.
        gave_up: whether those whom it started have given up, as the helper of a worker group does.
        notes: what else there is to say, a sentence each.
    """

    rules: Rules
    born: float
    state: State = Starting()
    process: Alive | Gone | None = None
    streak: Streak = field(default_factory=Streak)
    ready: bool = False
    sent: tuple[Signals, ...] = ()
    ended_by: str | None = None
    timed_out: bool = False
    timeout_at: float | None = None
    gave_up: bool = False
    notes: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """How many processes it has left running at its end."""
        process = self.process
        if isinstance(self.state, Ended) and isinstance(process, Gone):
            return process.left or 0
        return 0

    @property
    def lingers(self) -> bool:
        """Whether it has ended, and there may be more to tell: processes that it left, or their output."""
        process = self.process
        return (
            isinstance(self.state, Ended)
            and isinstance(process, Gone)
            and (process.piping or bool(process.left))
        )

    @property
    def restarts(self) -> int:
        """Return how often it was restarted."""
        return self.streak.total_restarts

    @property
    def job_state(self) -> JobState:
        """Return what people call the state."""
        state = self.state
        if isinstance(state, Ended):
            return JobState.GAVE_UP if state.gave_up else JobState.EXITED
        return _CALLED[type(state)]


_CALLED: dict[type[State], JobState] = {
    Starting: JobState.RUNNING,
    Running: JobState.RUNNING,
    Stopping: JobState.STOPPING,
    Clearing: JobState.BACKOFF,
    Backoff: JobState.BACKOFF,
}
