"""The state machine of a job, without I/O and without a clock.

`decide` takes the state of a job (`Life`), an input (a `Stimulus`) and the time, and returns the next state
and the actions to carry out. It decides restarts, the ladder of a stop, timeouts, processes that outlive
their parent, pipes that are held open, readiness, and when to give up. The driver of the job carries the
actions out in order, and reports their results as further stimuli; `due` returns the time at which it must
pass `TimePassed`::

    life = Life(Rules(RestartPolicy(RestartMode.ON_FAILURE)), born=0.0)
    life, actions = decide(life, Started(pid=4211), now=0.0)
    life, actions = decide(life, Exited(1, piping=False, left=0), now=2.0)
    assert life.state == Backoff(until=2.25)
    life, actions = decide(life, TimePassed(), now=2.25)
    assert actions == (StartProcess(),)

`ipyproc.model.after_exit` decides what follows an exit, and `ipyproc.model.stops` how a stop goes on.
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
    """Return the state of a job after a stimulus, and the actions to carry out, in order.

    If nothing has changed, the state returned is the object ``life`` itself.

    Args:
        life: the state before.
        stimulus: what happened.
        now: the time in seconds on a monotonic clock, the same one for each call.

    Raises:
        JobStateError: the stimulus is impossible in this state, such as a second exit of one process.
    """
    turn = Turn(life, now)
    _REACTIONS[type(stimulus)](turn, stimulus)
    after, actions = turn.life(), turn.actions
    if not actions and after == life:
        return life, ()
    return after, tuple(actions)


def due(life: Life) -> float:
    """Return the time at which `TimePassed` is due; infinity for never."""
    state, process, at = life.state, life.process, life.timeout_at
    if isinstance(process, Alive):
        at = min(at, process.kill_at)
    elif isinstance(process, Gone) and isinstance(process.rest, Hold):
        at = min(at, process.rest.until)
    if isinstance(state, Ended):
        return at if state.climb is None else min(at, state.climb.next_at)
    if isinstance(state, Stopping):
        at = min(at, state.climb.next_at)
        # Only then does the stop wait for processes that outlive SIGKILL.
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


# Stimuli from the process


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
        # The caller that asked for the first start gets the error.
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
        # The process that held the pipe may have exited as well.
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
        # The last attempt may have been one that could not be started.
        status = turn.streak.exits[-1]
    turn.note("its event loop was closed while it ran")
    finish(turn, status)


# Stimuli from observers and users


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
    raise JobStateError(f"{stimulus!r} is impossible now ({where}); report each stimulus once, in order.")


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
