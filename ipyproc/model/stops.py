"""Decisions on stops: the signals that end a job, and the processes that an ended job left."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGINT, SIGKILL, Signals
from typing import cast

from ipyproc.model.action import SendSignal, Warn
from ipyproc.model.after_exit import HURRY, KILL_SECONDS, finish, let_live, settle
from ipyproc.model.event import EventKind
from ipyproc.model.life import NEVER, Alive, Backoff, Climb, Ended, Gone, Starting, Stopping
from ipyproc.model.stimulus import StopAsked
from ipyproc.model.turn import Turn

__all__ = ["ask_stop", "climb", "climb_on_left", "tell_of_left"]


def ask_stop(turn: Turn, asked: StopAsked) -> None:
    """Begin a stop, change the one under way, or stop the processes that an ended job left."""
    state = turn.state
    if isinstance(state, Ended):
        _stop_what_is_left(turn, state, asked)
        return
    if asked.note:
        turn.note(asked.note)
    if isinstance(state, Starting):
        turn.state = Starting((*state.asked, asked))
    elif isinstance(state, Backoff):
        finish(turn, turn.streak.exits[-1])
        _stop_what_is_left(turn, cast(Ended, turn.state), asked)
    elif isinstance(state, Stopping):
        _change(turn, state, asked)
    else:
        turn.state = Stopping(Climb(asked.ladder, asked.grace), whole=asked.grace is not None)
        climb(turn)


def climb(turn: Turn) -> None:
    """Send the next signal of a stop, and schedule the one after it."""
    state = cast(Stopping, turn.state)
    signum, climbing = _step(turn, state.climb)
    turn.state = replace(state, climb=climbing)
    _send(turn, signum)


def _change(turn: Turn, state: Stopping, asked: StopAsked) -> None:
    grace, ladder, before = asked.grace, asked.ladder, state.climb
    turn.state = state = replace(state, whole=state.whole or grace is not None)
    if grace is None and before.next_at < NEVER:
        # An interrupt during a stop is sent at once, and replaces none of the stop's signals.
        _send(turn, ladder[0])
        return
    if grace is not None and (state.over_at < NEVER or len(ladder) >= len(before.rungs) > 0):
        return
    turn.state = replace(state, climb=Climb(ladder, grace))
    climb(turn)


def _step(turn: Turn, climbing: Climb) -> tuple[Signals, Climb]:
    """Return the next signal of a stop, and the rest of the stop after it."""
    signum, *rungs = climbing.rungs
    if climbing.grace is None or not rungs:
        return signum, Climb((), climbing.grace)
    return signum, Climb(tuple(rungs), climbing.grace, turn.now + climbing.grace)


def _send(turn: Turn, signum: Signals) -> None:
    state, process = cast(Stopping, turn.state), turn.process
    if signum is SIGKILL and state.over_at == NEVER:
        if turn.sent:
            turn.actions.append(Warn("Job %r did not end by itself: its session gets SIGKILL."))
        turn.state = replace(state, over_at=turn.now + KILL_SECONDS)
    if isinstance(process, Alive):
        turn.sent = (*turn.sent, signum)
    elif signum is not SIGINT and turn.left:
        turn.note(f"a process that it left needed {signum.name}")
    turn.actions.append(SendSignal(signum))
    turn.publish(EventKind.STOPPING, signum.name)
    settle(turn)


# Processes that an ended job left


def climb_on_left(turn: Turn) -> None:
    """Send the next signal to the processes that an ended job left; stop waiting if they outlive the last."""
    state = cast(Ended, turn.state)
    climbing = state.climb
    if climbing is None:
        return
    if not climbing.rungs:
        let_live(turn, cast(Gone, turn.process))
        tell_of_left(turn)
        return
    signum, climbing = _step(turn, climbing)
    if climbing.grace is not None and not climbing.rungs:
        climbing = replace(climbing, next_at=turn.now + KILL_SECONDS)
    turn.state = replace(state, climb=climbing)
    _send_to_left(turn, signum)


def tell_of_left(turn: Turn) -> None:
    """Publish how many processes an ended job still has; end their stop if there are none."""
    state = cast(Ended, turn.state)
    if not turn.left and state.climb is not None:
        turn.state = replace(state, climb=None)
    turn.publish(EventKind.LEFT, f"{turn.left} running")


def _stop_what_is_left(turn: Turn, state: Ended, asked: StopAsked) -> None:
    before = state.climb
    if not turn.left:
        return
    if asked.grace is None and before is not None and before.next_at < NEVER:
        # An interrupt replaces none of the stop's signals, as in `_change`.
        _send_to_left(turn, asked.ladder[0])
    elif before is None or not before.rungs or len(asked.ladder) < len(before.rungs):
        turn.state = replace(state, climb=Climb(asked.ladder, asked.grace))
        climb_on_left(turn)


def _send_to_left(turn: Turn, signum: Signals) -> None:
    if signum is SIGKILL:
        turn.actions.append(Warn("What job %r left did not end by itself: it gets SIGKILL."))
    turn.actions += (HURRY, SendSignal(signum))
