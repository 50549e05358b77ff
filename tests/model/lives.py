"""What tests of the life machine have in common: a job told stimulus by stimulus, and short names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from signal import SIGINT, SIGKILL, Signals

from ipyproc.model.action import Action, Drain, Finish, Hurry, Publish, SendSignal, Warn
from ipyproc.model.decide import decide, due
from ipyproc.model.event import EventKind
from ipyproc.model.life import (
    LADDER,
    NEVER,
    Alive,
    Clearing,
    Climb,
    Gone,
    Hold,
    Life,
    Rest,
    Rules,
    State,
    Stopping,
)
from ipyproc.model.policy import RestartMode, RestartPolicy, Streak
from ipyproc.model.stimulus import Stimulus, StopAsked, TimePassed

DONE = Publish(EventKind.DONE)
END = (Hurry(False), Finish(), DONE)
GIVEN_UP = (Hurry(False), Finish(), Publish(EventKind.GAVE_UP), DONE)
DRAIN = (Drain(),)
ALWAYS = Rules(
    RestartPolicy(RestartMode.ALWAYS, max_restarts=3, backoff=1, factor=2, cap=5, healthy=10), timeout=50
)
AT_ONCE = Rules(RestartPolicy(RestartMode.ALWAYS, max_restarts=3, backoff=0))
NOW = 100.0
ALIVE = Alive(7, 95.0)
ONE_EXIT = Streak(delay=1.0, exits=(1,))
HURRY = Hurry()
DRAINED = Rest.DRAINED
STOP = StopAsked(3.0, LADDER)
INTERRUPT = StopAsked(None, (SIGINT,))
KILL = StopAsked(0.0, (SIGKILL,))
STOPPED = Stopping(Climb(LADDER[1:], 3.0, 102.0), whole=True)
INTERRUPTED = Stopping(Climb((), None), whole=False)
KILLED = Stopping(Climb((), 3.0), whole=True, over_at=101.0)
CLEARING = Clearing(kill_at=101.0, over_at=103.0)
SLOW = Warn("Processes of job %r did not end by themselves: they get SIGKILL.")
DEAF = Warn("Job %r did not end by itself: its session gets SIGKILL.")
DEAF_LEFT = Warn("What job %r left did not end by itself: it gets SIGKILL.")


LEFT_RUNNING = "a process that it started could not be ended, and lives on"
ESCAPED = (
    "a process that it started has left its session (setsid) and holds its output open; it is on its own"
)


def started(pid: int = 7) -> Action:
    return Publish(EventKind.STARTED, f"pid {pid}")


def exited(detail: str) -> Action:
    return Publish(EventKind.EXITED, detail)


def left(number: int) -> Action:
    return Publish(EventKind.LEFT, f"{number} running")


def signalled(signum: Signals) -> tuple[Action, ...]:
    """What is done for one signal of a stop."""
    return SendSignal(signum), Publish(EventKind.STOPPING, signum.name)


def gone(
    status: int = 0,
    piping: bool = False,
    left: int | None = 0,
    unwell: bool = False,
    rest: Hold | Rest = Rest.UNREAD,
) -> Gone:
    return Gone(7, 90.0, status, piping, left, unwell, rest)


def life(state: State, process: Alive | Gone | None = None, rules: Rules = ALWAYS, **known: object) -> Life:
    return replace(Life(rules, 80.0, state, process), **known)


@dataclass
class Case:
    """What is known, what happens at `NOW`, and what is known and done then."""

    proves: str
    before: Life
    stimulus: Stimulus
    after: Life | State
    actions: tuple[Action, ...] = ()

    def __str__(self) -> str:
        return self.proves


def is_decided(case: Case) -> None:
    before = replace(case.before)
    after, actions = decide(case.before, case.stimulus, NOW)
    assert (after, actions) == (case.after, case.actions)
    # What was decided from has not changed, and is given back where nothing does.
    assert case.before == before
    assert actions or (after is case.before) == (after == before)
    # Nothing that was due is due still.
    assert not isinstance(case.stimulus, TimePassed) or due(after) > NOW


class Tale:
    """A job told stimulus by stimulus, on a clock of its own."""

    def __init__(self, rules: Rules) -> None:
        self.life = Life(rules, 1000.0)
        self.now = 1000.0
        self.told: list[Action] = []

    def tell(self, stimulus: Stimulus, after: float = 0.0) -> tuple[Action, ...]:
        self.now += after
        self.life, actions = decide(self.life, stimulus, self.now)
        self.told += actions
        return actions

    def pass_time(self) -> tuple[Action, ...]:
        """Let the clock go to when something is due."""
        self.now = due(self.life)
        return self.tell(TimePassed())

    def pass_time_until_nothing_is_due(self) -> list[tuple[float, tuple[Action, ...]]]:
        """Return what was done, and how long after now."""
        began, story = self.now, []
        while due(self.life) < NEVER:
            actions = self.pass_time()
            story.append((self.now - began, actions))
            assert len(story) < 20
        return story
