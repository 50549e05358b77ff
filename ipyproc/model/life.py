"""What is known of a job: the rules of its life, its state, its process. Values.

Every state carries its own data, and a process that has exited is another type than one that runs, so that
there is no combination of flags that cannot be. `ipyproc.model.decide` says how one follows from another.
Times are seconds on the clock of whoever runs the job; `NEVER` stands for no time.
"""

from __future__ import annotations

import math
from dataclasses import field
from enum import Enum
from functools import lru_cache
from signal import SIGINT, SIGKILL, SIGTERM, Signals

from ipyproc.model.policy import NO_STREAK, RestartMode, RestartPolicy, Streak
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import JobState
from ipyproc.model.stimulus import StopAsked
from ipyproc.model.value import value

__all__ = [
    "LADDER",
    "NEVER",
    "Alive",
    "Backoff",
    "Clearing",
    "Climb",
    "Ended",
    "Gone",
    "Hold",
    "Life",
    "Rest",
    "Rules",
    "Running",
    "Starting",
    "State",
    "Stopping",
    "rules_of",
    "stop_ladder",
]

LADDER = (SIGINT, SIGTERM, SIGKILL)
"""The signals of a stop, each sent when the grace of the one before is over."""

NEVER = math.inf


def stop_ladder(first: int) -> tuple[Signals, ...]:
    """Return the signals of a stop that begins with ``first``."""
    return (Signals(first), *(signum for signum in LADDER[1:] if signum != first))


@value
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


def rules_of(spec: JobSpec) -> Rules:
    """Return the rules that a spec asks for; equal rules of many jobs are one object.

    Raises:
        JobSpecError: a part of them cannot be.
    """
    policy = spec.restart, spec.max_restarts, spec.backoff, spec.factor, spec.cap, spec.healthy
    try:
        return _rules(*policy, timeout=spec.timeout, first=spec.stop_signal)
    except TypeError:
        # What is no number need not have a hash either: the policy says which it is.
        return _rules.__wrapped__(*policy, timeout=spec.timeout, first=spec.stop_signal)


# True is no number of seconds, and equals 1.
@lru_cache(maxsize=32, typed=True)
def _rules(
    mode: str,
    max_restarts: int,
    backoff: float,
    factor: float,
    cap: float,
    healthy: float,
    timeout: float | None,
    first: int,
) -> Rules:
    policy = RestartPolicy(RestartMode(mode), max_restarts, backoff, factor, cap, healthy)
    return Rules(policy, timeout, stop_ladder(first))


# The process


@value
class Alive:
    """The process runs.

    Attributes:
        pid: its id.
        since: when it was started.
        unwell: whether it is being ended because it is not well.
        kill_at: when it gets SIGKILL because of that.
    """

    pid: int
    since: float
    unwell: bool = False
    kill_at: float = NEVER


@value
class Hold:
    """Those whom the process has left are given time to end: its last words may be on their way.

    Attributes:
        until: when they are waited for no longer.
        piping: whether a pipe was open when the wait began.
    """

    until: float
    piping: bool


class Rest(Enum):
    """What has become of the output that the pipes of an exited process still have, where nothing is held."""

    UNREAD = "unread"
    DRAINING = "draining"
    """A `Drain` is being carried out."""
    DRAINED = "drained"


@value
class Gone:
    """The process has exited; others of its session may live, and its pipes may be open.

    Attributes:
        pid: its id.
        since: when it was started.
        status: its exit status, negative for a signal.
        piping: whether a pipe of it is not at its end.
        left: how many processes its session still has; None before the first look.
        unwell: whether it was ended because it was not well, so that its exit counts as a failure.
        rest: what has become of the rest of its output.
    """

    pid: int
    since: float
    status: int
    piping: bool
    left: int | None
    unwell: bool = False
    rest: Hold | Rest = Rest.UNREAD

    def changed(self, piping: bool, left: int | None, rest: Hold | Rest) -> Gone:
        """Return it with what may still change."""
        return Gone(self.pid, self.since, self.status, piping, left, self.unwell, rest)


# The state


@value
class Climb:
    """Signals that are sent one after another.

    Attributes:
        rungs: those that are still to come.
        grace: seconds between them; None where the first alone is sent.
        next_at: when the next is due; `NEVER` once nothing follows.
    """

    rungs: tuple[Signals, ...]
    grace: float | None
    next_at: float = NEVER


@value
class Starting:
    """A process is being started.

    Attributes:
        asked: the stops that were asked for meanwhile; they begin once it is started.
    """

    asked: tuple[StopAsked, ...] = ()


@value
class Running:
    """A process runs, or has exited and something of it is waited for."""


@value
class Stopping:
    """The job was asked to end.

    Attributes:
        climb: the signals of the stop.
        whole: whether its whole session is to end, rather than the program alone.
        over_at: when what outlives SIGKILL is waited for no longer; `NEVER` until one was sent.
    """

    climb: Climb
    whole: bool
    over_at: float = NEVER


@value
class Clearing:
    """What a process has left is being ended, so that the next one finds its place free.

    Attributes:
        kill_at: when it gets SIGKILL; `NEVER` when it has had it.
        over_at: when it is waited for no longer.
    """

    kill_at: float
    over_at: float


@value
class Backoff:
    """The process has exited, and will be started again.

    Attributes:
        until: when.
        clearing: what is being ended meanwhile; None when nothing is left.
    """

    until: float
    clearing: Clearing | None = None


@value
class Ended:
    """The job is over.

    Attributes:
        at: when it ended.
        status: the exit status of its last process, negative for a signal.
        gave_up: whether it would have been restarted, but for the budget.
        climb: the signals of a stop of what it has left; None where there is none.
    """

    at: float
    status: int
    gave_up: bool = False
    climb: Climb | None = None


State = Starting | Running | Stopping | Clearing | Backoff | Ended

_STARTING = Starting()


@value
class Life:
    """What is known of a job.

    Attributes:
        rules: what its spec says.
        born: when it was begun.
        state: where it is.
        process: its current or last process; None before the first has been started.
        streak: its exits in a row, for the restart policy.
        ready: whether its current process is ready.
        sent: the signals that its process has had from a stop.
        ended_by: the signal of a stop that ended the last process; None when it ended by itself.
        timed_out: whether the timeout has stopped it.
        timeout_at: when the timeout is.
        gave_up: whether those whom it started have given up, as the helper of a worker group does.
        notes: what else there is to say, a sentence each.
    """

    rules: Rules
    born: float
    state: State = _STARTING
    process: Alive | Gone | None = None
    streak: Streak = NO_STREAK
    ready: bool = False
    sent: tuple[Signals, ...] = ()
    ended_by: str | None = None
    timed_out: bool = False
    timeout_at: float = NEVER
    gave_up: bool = False
    notes: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """Return how many processes it has left running at its end."""
        process = self.process
        if isinstance(self.state, Ended) and isinstance(process, Gone):
            return process.left or 0
        return 0

    @property
    def lingers(self) -> bool:
        """Return whether it has ended, and there may be more to tell, such as of processes that it left."""
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
        if isinstance(state, Starting) and state.asked:
            return JobState.STOPPING
        return _CALLED[type(state)]


_CALLED: dict[type[State], JobState] = {
    Starting: JobState.RUNNING,
    Running: JobState.RUNNING,
    Stopping: JobState.STOPPING,
    Clearing: JobState.BACKOFF,
    Backoff: JobState.BACKOFF,
}
