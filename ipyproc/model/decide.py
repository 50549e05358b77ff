"""The whole life of a job, decided without I/O and without a clock.

`decide` takes what is known of a job (`Life`), what has just happened to it (a `Stimulus`) and the time,
and returns what is known from now on and what to do about it (`Action`). It decides restarts, the ladder
of a stop, timeouts, processes that outlive the one that started them, pipes that are held open, readiness,
and when to give up. Whoever runs the job carries the actions out, in their order, and tells what came of
them by the next stimulus; `due` says when to call again though nothing has happened::

    life = Life(Rules(RestartPolicy(RestartMode.ON_FAILURE)), born=0.0)
    life, actions = decide(life, Started(pid=4211), now=0.0)
    life, actions = decide(life, Exited(1, piping=False, left=0), now=2.0)
    assert life.state == Backoff(until=2.25)
    life, actions = decide(life, TimePassed(), now=2.25)
    assert actions == (StartProcess(),)

What follows an exit is decided in `ipyproc.model.after_exit`, and a stop in `ipyproc.model.stops`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from signal import SIGTERM, Signals
from typing import Any, NoReturn

from ipyproc.errors import JobStateError
from ipyproc.model.action import Action, Look, SendSignal
from ipyproc.model.after_exit import (
    GRACE,
    HURRY,
    back_off,
    clear_on,
    drain,
    finish,
    follow_policy,
    settle,
    start,
    warn_and_kill,
)
from ipyproc.model.event import EventKind
from ipyproc.model.life import (
    NEVER,
    Alive,
    Backoff,
    Clearing,
    Ended,
    Gone,
    Hold,
    Life,
    Rest,
    Running,
    Starting,
    Stopping,
)
from ipyproc.model.state import describe_status
from ipyproc.model.stimulus import (
    Abandoned,
    BecameReady,
    Drained,
    Exited,
    GaveUp,
    MembersSeen,
    Noted,
    NotStarted,
    PipesEnded,
    Started,
    Stimulus,
    StopAsked,
    TimePassed,
    Unwell,
)
from ipyproc.model.stops import ask_stop, climb, climb_on_left, tell_of_left
from ipyproc.model.turn import Turn

__all__ = ["GRACE", "decide", "due"]

_RUNNING = Running()
_ESCAPED = (
    "a process that it started has left its session (setsid) and holds its output open; it is on its own"
)


def decide(life: Life, stimulus: Stimulus, now: float) -> tuple[Life, tuple[Action, ...]]:
    """Return what is known of a job after a stimulus, and what to do, in this order.

    Where nothing has changed, that is the very object that was given.

    Args:
        life: what was known before.
        stimulus: what happened.
        now: seconds on the clock of the caller's choice, always the same one; it never goes back.

    Raises:
        JobStateError: this cannot happen in this state, such as the exit of a process that has exited.
    """
    turn = Turn(life, now)
    _REACTIONS[type(stimulus)](turn, stimulus)
    after, actions = turn.life(), turn.actions
    if not actions and after == life:
        return life, ()
    return after, tuple(actions)


def due(life: Life) -> float:
    """Return when `TimePassed` is to be told; infinity for never."""
    state, process, at = life.state, life.process, life.timeout_at
    if isinstance(process, Alive):
        at = min(at, process.kill_at)
    elif isinstance(process, Gone) and isinstance(process.rest, Hold):
        at = min(at, process.rest.until)
    if isinstance(state, Ended):
        return at if state.climb is None else min(at, state.climb.next_at)
    if isinstance(state, Stopping):
        at = min(at, state.climb.next_at)
        # Only then is it what outlives its SIGKILL that is waited for.
        waits = isinstance(process, Gone) and process.left and process.rest is not Rest.DRAINING
        return min(at, state.over_at) if state.whole and waits else at
    if isinstance(state, Backoff):
        at = min(at, state.until)
        return at if state.clearing is None else min(at, _due_in_clearing(state.clearing))
    if isinstance(state, Clearing):
        return min(at, _due_in_clearing(state))
    return at


def _due_in_clearing(clearing: Clearing) -> float:
    return min(clearing.kill_at, clearing.over_at)


# What becomes of the process


def _started(turn: Turn, stimulus: Started) -> None:
    state = turn.state
    if not isinstance(state, Starting):
        _refuse(turn, stimulus)
    if turn.process is None and turn.rules.timeout is not None:
        turn.timeout_at = turn.now + turn.rules.timeout
    turn.process = Alive(stimulus.pid, turn.now)
    turn.state = _RUNNING
    turn.ready = False
    turn.publish(EventKind.STARTED, f"pid {stimulus.pid}")
    for asked in state.asked:
        ask_stop(turn, asked)


def _not_started(turn: Turn, stimulus: NotStarted) -> None:
    if not isinstance(turn.state, Starting):
        _refuse(turn, stimulus)
    turn.note(stimulus.note)
    if turn.process is None:
        # Whoever asked for the first start is told.
        finish(turn, stimulus.status)
    else:
        follow_policy(turn, stimulus.status, failed=True, healthy=False)


def _exited(turn: Turn, stimulus: Exited) -> None:
    process, state, status = turn.process, turn.state, stimulus.status
    if not isinstance(process, Alive):
        _refuse(turn, stimulus)
    turn.process = Gone(process.pid, process.since, status, stimulus.piping, stimulus.left, process.unwell)
    if turn.sent and turn.ended_by is None:
        by = Signals(-status) if -status in turn.sent else turn.sent[-1]
        turn.ended_by = by.name
    if stimulus.note:
        turn.note(stimulus.note)
    turn.publish(EventKind.EXITED, describe_status(status))
    if isinstance(state, Stopping) and state.whole:
        turn.actions.append(HURRY)
    settle(turn)


def _pipes_ended(turn: Turn, _stimulus: PipesEnded) -> None:
    process = turn.process
    if not isinstance(process, Gone) or not process.piping:
        return
    turn.process = process.changed(False, process.left, process.rest)
    if isinstance(turn.state, Ended):
        tell_of_left(turn)
    elif process.left:
        # Whoever held it may be gone as well.
        turn.actions.append(Look())
    settle(turn)


def _members_seen(turn: Turn, stimulus: MembersSeen) -> None:
    process, state, left = turn.process, turn.state, stimulus.left
    if not isinstance(process, Gone):
        return
    turn.process = process.changed(process.piping, left, process.rest)
    if isinstance(state, Ended):
        tell_of_left(turn)
    elif not left and isinstance(state, Backoff):
        turn.state = Backoff(state.until)
    elif not left and isinstance(state, Clearing):
        start(turn)
    settle(turn)


def _drained(turn: Turn, stimulus: Drained) -> None:
    process = turn.process
    if not isinstance(process, Gone) or process.rest is not Rest.DRAINING:
        return
    turn.process = process.changed(stimulus.piping, process.left, Rest.DRAINED)
    if stimulus.piping and not process.left:
        turn.note(_ESCAPED)
    settle(turn)


def _abandoned(turn: Turn, stimulus: Abandoned) -> None:
    process, state, status = turn.process, turn.state, stimulus.status
    if isinstance(process, Gone):
        status = process.status
    if process is not None:
        turn.process = Gone(process.pid, process.since, status, piping=False, left=0)
    if isinstance(state, Ended):
        turn.state = replace(state, climb=None)
        return
    if isinstance(state, (Backoff, Clearing, Starting)) and turn.streak.exits:
        # The last that was tried may be one that could not be started.
        status = turn.streak.exits[-1]
    turn.note("its event loop was closed while it ran")
    finish(turn, status)


# What is seen of it, and asked for


def _unwell(turn: Turn, stimulus: Unwell) -> None:
    process = turn.process
    if not isinstance(turn.state, Running) or not isinstance(process, Alive) or process.unwell:
        return
    turn.note(stimulus.why)
    turn.process = Alive(process.pid, process.since, unwell=True, kill_at=turn.now + GRACE)
    turn.actions.append(SendSignal(SIGTERM))


def _became_ready(turn: Turn, _stimulus: BecameReady) -> None:
    if not turn.ready:
        turn.ready = True
        turn.publish(EventKind.READY)


def _gave_up(turn: Turn, stimulus: GaveUp) -> None:
    turn.note(stimulus.why)
    turn.gave_up = True


def _noted(turn: Turn, stimulus: Noted) -> None:
    turn.note(stimulus.note)


# The clock


def _time_passed(turn: Turn, _stimulus: TimePassed) -> None:
    now = turn.now
    if turn.timeout_at <= now:
        turn.timeout_at, turn.timed_out = NEVER, True
        note = f"timed out after {turn.rules.timeout:g} s"
        ask_stop(turn, StopAsked(GRACE, turn.rules.ladder, note))
    process = turn.process
    if isinstance(process, Alive):
        if process.kill_at <= now:
            turn.process = Alive(process.pid, process.since, unwell=True)
            warn_and_kill(turn)
    elif isinstance(process, Gone) and isinstance(process.rest, Hold) and process.rest.until <= now:
        drain(turn, process)
    state = turn.state
    if isinstance(state, Stopping):
        if state.climb.next_at <= now:
            climb(turn)
        elif state.over_at <= now:
            settle(turn)
    elif isinstance(state, Clearing):
        clear_on(turn, state)
    elif isinstance(state, Backoff):
        back_off(turn, state)
    elif isinstance(state, Ended) and state.climb is not None and state.climb.next_at <= now:
        climb_on_left(turn)


def _refuse(turn: Turn, stimulus: Stimulus) -> NoReturn:
    where = f"{type(turn.state).__name__}, {type(turn.process).__name__}"
    raise JobStateError(f"{stimulus!r} cannot happen now ({where}); tell each once, in order.")


_REACTIONS: dict[type[Stimulus], Callable[[Turn, Any], None]] = {
    Started: _started,
    NotStarted: _not_started,
    Exited: _exited,
    PipesEnded: _pipes_ended,
    MembersSeen: _members_seen,
    Drained: _drained,
    Abandoned: _abandoned,
    StopAsked: ask_stop,
    Unwell: _unwell,
    BecameReady: _became_ready,
    GaveUp: _gave_up,
    Noted: _noted,
    TimePassed: _time_passed,
}
