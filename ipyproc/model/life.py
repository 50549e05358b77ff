"""The state of a job: its rules, its state, its process. Values.

Each state carries its own data, and a process that has exited has another type than one that runs, so that
no impossible combination of flags can be written. `ipyproc.model.decide` is the transition function.
Times are in seconds on the clock of the driver; `NEVER` means no time.
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
"""The signals of a stop; each is sent when the grace after the one before is over."""

NEVER = math.inf


def stop_ladder(first: int) -> tuple[Signals, ...]:
    """Return the signals of a stop whose first signal is ``first``."""
    return (Signals(first), *(signum for signum in LADDER[1:] if signum != first))


@value
class Rules:
    """The part of a spec that `ipyproc.model.decide` needs.

    Attributes:
        restart: the restart policy.
        timeout: the seconds after its first start at which the job is stopped; None for never.
        ladder: the signals of a stop.
    """

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    timeout: float | None = None
    ladder: tuple[Signals, ...] = LADDER


def rules_of(spec: JobSpec) -> Rules:
    """Return the rules of a spec; equal rules of many jobs are one object.

    Raises:
        JobSpecError: a value of the restart policy is invalid.
    """
    policy = spec.restart, spec.max_restarts, spec.backoff, spec.factor, spec.cap, spec.healthy
    try:
        return _rules(*policy, timeout=spec.timeout, first=spec.stop_signal)
    except TypeError:
        # A value that is not hashable is not a number either: the policy raises, and names it.
        return _rules.__wrapped__(*policy, timeout=spec.timeout, first=spec.stop_signal)


# Typed, since True equals 1 but is not a number of seconds.
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
        pid: its pid.
        since: when it was started.
        unwell: whether it is being ended since a health check failed.
        kill_at: when it gets SIGKILL for that.
    """

    pid: int
    since: float
    unwell: bool = False
    kill_at: float = NEVER


@value
class Hold:
    """A wait for the processes that an exited process left, since they may still pass output on.

    Attributes:
        until: when the wait ends.
        piping: whether a pipe was open when the wait began.
    """

    until: float
    piping: bool


class Rest(Enum):
    """The state of the output left in the pipes of an exited process, while no `Hold` is on."""

    UNREAD = "unread"
    DRAINING = "draining"
    """A `Drain` is being carried out."""
    DRAINED = "drained"


@value
class Gone:
    """The process has exited; other processes of its session may run, and its pipes may be open.

    Attributes:
        pid: its pid.
        since: when it was started.
        status: its exit status, negative for a signal.
        piping: whether one of its pipes is not at its end.
        left: the number of processes in its session; None before they were counted.
        unwell: whether it was ended since a health check failed, so that its exit counts as a failure.
        rest: the state of the output left in its pipes.
    """

    pid: int
    since: float
    status: int
    piping: bool
    left: int | None
    unwell: bool = False
    rest: Hold | Rest = Rest.UNREAD

    def changed(self, piping: bool, left: int | None, rest: Hold | Rest) -> Gone:
        """Return a copy with other values for what may change after the exit."""
        return Gone(self.pid, self.since, self.status, piping, left, self.unwell, rest)


# The state


@value
class Climb:
    """The signals of a stop under way, which are sent one after another.

    Attributes:
        rungs: the signals that are still to come.
        grace: the seconds between them; None if only the first is sent.
        next_at: when the next is due; `NEVER` if none follows.
    """

    rungs: tuple[Signals, ...]
    grace: float | None
    next_at: float = NEVER


@value
class Starting:
    """A process is being started.

    Attributes:
        asked: the stops requested meanwhile; they begin once the process is started.
    """

    asked: tuple[StopAsked, ...] = ()


@value
class Running:
    """A process runs, or has exited while its pipes or its session are waited for."""


@value
class Stopping:
    """The job is being stopped.

    Attributes:
        climb: the signals of the stop.
        whole: whether to wait for its whole session, rather than for the program only.
        over_at: when the wait for processes that outlive SIGKILL ends; `NEVER` before SIGKILL was sent.
    """

    climb: Climb
    whole: bool
    over_at: float = NEVER


@value
class Clearing:
    """The processes that an exited process left are being ended, before the next one is started.

    Attributes:
        kill_at: when they get SIGKILL; `NEVER` once it was sent.
        over_at: when the wait for them ends.
    """

    kill_at: float
    over_at: float


@value
class Backoff:
    """The process has exited, and the next one is started after a delay.

    Attributes:
        until: when the delay ends.
        clearing: the clearing under way meanwhile; None if no processes were left.
    """

    until: float
    clearing: Clearing | None = None


@value
class Ended:
    """The job has ended.

    Attributes:
        at: when it ended.
        status: the exit status of its last process, negative for a signal.
        gave_up: whether it ran out of restarts.
        climb: the signals of a stop of the processes that it left; None if there is no stop.
    """

    at: float
    status: int
    gave_up: bool = False
    climb: Climb | None = None


State = Starting | Running | Stopping | Clearing | Backoff | Ended

_STARTING = Starting()


@value
class Life:
    """All that `ipyproc.model.decide` knows of a job.

    Attributes:
        rules: the rules of its spec.
        born: when the job was created.
        state: its state.
        process: its current or last process; None before the first was started.
        streak: its exits in a row, for the restart policy.
        ready: whether its current process is ready.
        sent: the signals of stops that its process has got.
        ended_by: the signal of a stop that ended the last process; None if it ended by itself.
        timed_out: whether the timeout has stopped it.
        timeout_at: when the timeout is due.
        gave_up: whether the process has reported that it gives up, as the helper of a worker group does.
        notes: remarks for people, one sentence each.
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
        """The number of processes that the job left running; 0 before its end."""
        process = self.process
        if isinstance(self.state, Ended) and isinstance(process, Gone):
            return process.left or 0
        return 0

    @property
    def lingers(self) -> bool:
        """True if the job has ended but left processes or open pipes, so that more events may come."""
        process = self.process
        return (
            isinstance(self.state, Ended)
            and isinstance(process, Gone)
            and (process.piping or bool(process.left))
        )

    @property
    def restarts(self) -> int:
        """The number of restarts."""
        return self.streak.total_restarts

    @property
    def job_state(self) -> JobState:
        """The state as users see it."""
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
