"""The restart policy: what becomes of a job when something happens to it.

`decide` takes a job's `Supervision`, an event and the time, and gives the next `Supervision` and what
to do about it. It does nothing itself and knows no clock; the caller acts, and tells what came of it
in the next event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby
from math import isfinite
from typing import cast

from ipyproc.errors import JobSpecError, JobStateError, signal_name
from ipyproc.model.spec import JobSpec, is_number

__all__ = [
    "Action",
    "BackoffOver",
    "Event",
    "Exited",
    "Finish",
    "Phase",
    "RestartMode",
    "RestartPolicy",
    "Start",
    "StartAfter",
    "Started",
    "StopAsked",
    "Supervision",
    "decide",
    "describe_crash_loop",
    "policy_of",
]

_EXITS_KEPT = 10


class RestartMode(Enum):
    """Which exits are followed by a restart."""

    NO = "no"
    ON_FAILURE = "on-failure"
    """Exit statuses other than 0, and signals."""
    ALWAYS = "always"

    @classmethod
    def _missing_(cls, value: object) -> RestartMode:
        raise JobSpecError(f"The restart policy {value!r} is unknown; give 'no', 'on-failure' or 'always'.")


@dataclass(frozen=True)
class RestartPolicy:
    """When a job is restarted, how often, and after what delay.

    Attributes:
        mode: which exits are followed by a restart.
        max_restarts: how many restarts there may be without a healthy while between.
        backoff: seconds before the first restart; 0 for at once.
        factor: what each further delay is, in the one before.
        cap: seconds that no delay exceeds.
        healthy: seconds of uptime after which all that went before is forgiven: the next exit has
            the whole budget, and the first delay, before it.

    Raises:
        JobSpecError: one of them cannot be.
    """

    mode: RestartMode = RestartMode.NO
    max_restarts: int = 10
    backoff: float = 0.25
    factor: float = 2.0
    cap: float = 30.0
    healthy: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("max_restarts", 0), ("backoff", 0), ("factor", 1), ("cap", 0), ("healthy", 0)):
            value = getattr(self, name)
            if not (is_number(value) and isfinite(value) and value >= least):
                raise JobSpecError(f"{name} is {value!r}; give {least} or more.")


def policy_of(spec: JobSpec) -> RestartPolicy:
    """Return the restart policy that a spec asks for.

    Raises:
        JobSpecError: a part of it cannot be.
    """
    return RestartPolicy(
        RestartMode(spec.restart), spec.max_restarts, spec.backoff, spec.factor, spec.cap, spec.healthy
    )


class Phase(Enum):
    """Where a supervised job is."""

    STARTING = "starting"
    """It is to be started now; nothing has been told of it yet."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """It has exited, and will be started when the delay is over."""
    STOPPING = "stopping"
    """It was asked to stop, and has not exited yet."""
    ENDED = "ended"
    GAVE_UP = "gave up"
    """It would be restarted, but the budget is spent."""


@dataclass(frozen=True)
class Supervision:
    """What the policy remembers of one job.

    Attributes:
        policy: the rules.
        phase: where the job is.
        restarts: restarts since the last healthy while; what `RestartPolicy.max_restarts` limits.
        total_restarts: restarts in all.
        streak: exits in a row without a healthy while before them.
        delay: seconds of the last backoff of the streak; 0 before the first.
        started_at: when the last start succeeded; None before that.
        exits: the exit statuses of the streak, the last ten.
    """

    policy: RestartPolicy = field(default_factory=RestartPolicy)
    phase: Phase = Phase.STARTING
    restarts: int = 0
    total_restarts: int = 0
    streak: int = 0
    delay: float = 0.0
    started_at: float | None = None
    exits: tuple[int, ...] = ()


@dataclass(frozen=True)
class Started:
    """The process has been started."""


@dataclass(frozen=True)
class Exited:
    """The process has exited, or, in `Phase.STARTING`, could not be started.

    Attributes:
        status: the exit status, negative for a signal; for a start that failed 127 or 126, as in a
            shell.
    """

    status: int


@dataclass(frozen=True)
class StopAsked:
    """Somebody wants the job to end, and to stay so."""


@dataclass(frozen=True)
class BackoffOver:
    """The delay of a `StartAfter` is over."""


@dataclass(frozen=True)
class Start:
    """Start the process now, and tell `Started`."""


@dataclass(frozen=True)
class StartAfter:
    """Tell `BackoffOver` in ``delay`` seconds."""

    delay: float


@dataclass(frozen=True)
class Finish:
    """The job is over; after this there is no other action.

    Attributes:
        gave_up: whether it would have been restarted, but for the budget.
    """

    gave_up: bool


Event = Started | Exited | StopAsked | BackoffOver
Action = Start | StartAfter | Finish
_Decision = tuple[Supervision, tuple[Action, ...]]


def decide(state: Supervision, event: Event, now: float) -> _Decision:
    """What follows from an event.

    Example::

        state = Supervision(RestartPolicy(RestartMode.ON_FAILURE))
        state, _ = decide(state, Started(), now=0.0)
        state, actions = decide(state, Exited(1), now=2.0)
        assert actions == (StartAfter(0.25),)

    Args:
        state: the job's supervision so far.
        event: what happened.
        now: seconds on the clock of the caller's choice, always the same one.

    Returns:
        The supervision from now on, and the actions to take, in their order.

    Raises:
        JobStateError: this cannot happen in this phase, such as the exit of a job that has ended.
    """
    reaction = _REACTIONS.get((state.phase, type(event)))
    if reaction is None:
        raise JobStateError(
            f"{event!r} cannot happen to a job that is {state.phase.value}; tell each event once, in order."
        )
    return reaction(state, event, now)


def describe_crash_loop(exits: Sequence[int]) -> str:
    """A short text on exits in a row: ``exited 3, 3, SIGSEGV, 3``, or ``exited 1 (10 times)``.

    Args:
        exits: exit statuses in their order, negative for signals.
    """
    runs = [(status, len(list(same))) for status, same in groupby(exits)]
    texts = []
    for status, times in runs:
        text = signal_name(-status) if status < 0 else str(status)
        texts += [f"{text} ({times} times)"] if times > 2 else [text] * times
    return f"exited {', '.join(texts)}" if texts else "never exited"


def _started(state: Supervision, event: Event, now: float) -> _Decision:
    return replace(state, phase=Phase.RUNNING, started_at=now), ()


def _started_too_late(state: Supervision, event: Event, now: float) -> _Decision:
    """The stop came while it was being started: it is for the caller to stop what runs now."""
    return replace(state, started_at=now), ()


def _not_started(state: Supervision, event: Event, now: float) -> _Decision:
    return _after(_counted(state, cast(Exited, event).status, healthy=False))


def _exited(state: Supervision, event: Event, now: float) -> _Decision:
    uptime = now - cast(float, state.started_at)
    healthy = uptime >= state.policy.healthy
    return _after(_counted(state, cast(Exited, event).status, healthy))


def _exited_as_asked(state: Supervision, event: Event, now: float) -> _Decision:
    ended = _counted(state, cast(Exited, event).status, healthy=False)
    return replace(ended, phase=Phase.ENDED), (Finish(gave_up=False),)


def _stopping(state: Supervision, event: Event, now: float) -> _Decision:
    return replace(state, phase=Phase.STOPPING), ()


def _stopped_in_backoff(state: Supervision, event: Event, now: float) -> _Decision:
    return replace(state, phase=Phase.ENDED), (Finish(gave_up=False),)


def _start_again(state: Supervision, event: Event, now: float) -> _Decision:
    return _restarted(state)


def _nothing(state: Supervision, event: Event, now: float) -> _Decision:
    return state, ()


_REACTIONS: dict[tuple[Phase, type[Event]], Callable[[Supervision, Event, float], _Decision]] = {
    (Phase.STARTING, Started): _started,
    (Phase.STARTING, Exited): _not_started,
    (Phase.STARTING, StopAsked): _stopping,
    (Phase.RUNNING, Exited): _exited,
    (Phase.RUNNING, StopAsked): _stopping,
    (Phase.BACKOFF, StopAsked): _stopped_in_backoff,
    (Phase.BACKOFF, BackoffOver): _start_again,
    (Phase.STOPPING, Started): _started_too_late,
    (Phase.STOPPING, Exited): _exited_as_asked,
    (Phase.STOPPING, StopAsked): _nothing,
    (Phase.ENDED, StopAsked): _nothing,
    (Phase.GAVE_UP, StopAsked): _nothing,
}


def _counted(state: Supervision, status: int, healthy: bool) -> Supervision:
    """With one more exit, which after a healthy while is the first of a new streak."""
    if healthy:
        return replace(state, restarts=0, streak=0, delay=0.0, exits=(status,))
    exits = (*state.exits, status)[-_EXITS_KEPT:]
    return replace(state, streak=state.streak + 1, exits=exits)


def _after(state: Supervision) -> _Decision:
    """What follows the exit that is counted already, by the policy."""
    policy, failed = state.policy, state.exits[-1] != 0
    if policy.mode is RestartMode.NO or (policy.mode is RestartMode.ON_FAILURE and not failed):
        return replace(state, phase=Phase.ENDED), (Finish(gave_up=False),)
    if state.restarts >= policy.max_restarts:
        return replace(state, phase=Phase.GAVE_UP), (Finish(gave_up=True),)
    delay = min(policy.cap, state.delay * policy.factor if state.delay else policy.backoff)
    if delay == 0:
        return _restarted(state)
    return replace(state, phase=Phase.BACKOFF, delay=delay), (StartAfter(delay),)


def _restarted(state: Supervision) -> _Decision:
    again = replace(
        state,
        phase=Phase.STARTING,
        restarts=state.restarts + 1,
        total_restarts=state.total_restarts + 1,
    )
    return again, (Start(),)
