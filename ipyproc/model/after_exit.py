"""What follows the exit of a process: what it left is waited for, then it is restarted, or its job ends."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

from ipyproc.model.action import (
    Disown,
    Drain,
    Finish,
    Hurry,
    Publish,
    SendSignal,
    StartProcess,
    Warn,
)
from ipyproc.model.event import EventKind
from ipyproc.model.life import (
    NEVER,
    Backoff,
    Clearing,
    Ended,
    Gone,
    Hold,
    Rest,
    Running,
    Starting,
    Stopping,
)
from ipyproc.model.policy import describe_crash_loop
from ipyproc.model.turn import Turn

__all__ = [
    "GRACE",
    "HURRY",
    "KILL_SECONDS",
    "back_off",
    "clear_on",
    "drain",
    "finish",
    "follow_policy",
    "let_live",
    "settle",
    "start",
    "warn_and_kill",
]

GRACE = 2.0
"""Seconds between the signals of a stop that nobody gave a grace for, such as a timeout's."""

KILL_SECONDS = 2.0
"""Seconds after which a process that has outlived its SIGKILL is let go."""

_HELD_OPEN_SECONDS = 1.0
"""Seconds that a pipe may be held open by processes which the job has left."""

_LEAVING_SECONDS = 0.2
"""Seconds in which a process may follow the one that started it, so that it does not count as left."""

HURRY = Hurry()
_HURRY_NO_MORE = Hurry(False)
_DRAIN = Drain()
_FINISH = Finish()
_DONE = Publish(EventKind.DONE)
_STARTING = Starting()


def settle(turn: Turn) -> None:
    """Go on when the process has exited, and nothing more of it is to be waited for."""
    state, process = turn.state, turn.process
    if not isinstance(process, Gone) or not isinstance(state, (Running, Stopping)):
        return
    if process.left is None or process.rest is Rest.DRAINING:
        return
    if process.left and isinstance(state, Stopping) and state.whole:
        # The leader is gone; the rest of its session has the same grace. An interrupt is one signal,
        # which a shell has its children behind & ignore: whoever waits is not to wait for these.
        if turn.now < state.over_at:
            turn.actions.append(HURRY)
            return
        process = let_live(turn, process)
    if process.rest is not Rest.DRAINED:
        if process.left:
            _hold(turn, process)
            return
        if process.piping:
            drain(turn, process)
            return
        if isinstance(process.rest, Hold):
            turn.process = process.changed(process.piping, 0, Rest.DRAINED)
    healthy = turn.now - process.since >= turn.rules.restart.healthy
    follow_policy(turn, process.status, failed=process.unwell or process.status != 0, healthy=healthy)


def _hold(turn: Turn, process: Gone) -> None:
    """Give what is left time to end: its last words may be on their way through a process such as tee.

    What exits with the leader may do so a moment later, and does not count as left.
    """
    hold = process.rest
    if not isinstance(hold, Hold) or hold.piping != process.piping:
        seconds = _HELD_OPEN_SECONDS if process.piping else _LEAVING_SECONDS
        hold = Hold(turn.now + seconds, process.piping)
        turn.process = process.changed(process.piping, process.left, hold)
    turn.actions.append(HURRY)


def drain(turn: Turn, process: Gone) -> None:
    """Have what its pipes still have taken."""
    turn.process = process.changed(process.piping, process.left, Rest.DRAINING)
    turn.actions.append(_DRAIN)


def let_live(turn: Turn, process: Gone) -> Gone:
    """Wait no more for processes that have outlived a SIGKILL: they are somebody else's."""
    turn.note("a process that it started could not be ended, and lives on")
    turn.actions.append(Disown())
    turn.process = process = process.changed(process.piping, 0, process.rest)
    return process


# The restart policy


def follow_policy(turn: Turn, status: int, *, failed: bool, healthy: bool) -> None:
    """Restart the job, end it or give up, as its policy says.

    Args:
        turn: the decision.
        status: how the process exited, or could not be started.
        failed: whether that was a failure.
        healthy: whether a healthy while came before.
    """
    policy, state = turn.rules.restart, turn.state
    stopping = isinstance(state, Stopping) or (isinstance(state, Starting) and bool(state.asked))
    if stopping or not policy.follows(failed):
        finish(turn, status)
        return
    turn.streak = streak = turn.streak.counted(status, healthy=healthy)
    if streak.restarts >= policy.max_restarts:
        turn.note(f"crash loop: {describe_crash_loop(streak.exits)}")
        finish(turn, status, gave_up=True)
        return
    delay = policy.delay_after(streak)
    clearing = _clear(turn)
    if delay:
        turn.streak = streak.delayed(delay)
        turn.state = Backoff(turn.now + delay, clearing)
        turn.publish(EventKind.RESTARTING, f"in {delay:.2g} s")
    elif clearing is not None:
        turn.state = clearing
    else:
        start(turn)


def start(turn: Turn) -> None:
    """Start the next process."""
    turn.state = _STARTING
    turn.streak = turn.streak.restarted()
    turn.actions.append(StartProcess())


def finish(turn: Turn, status: int, *, gave_up: bool = False) -> None:
    """End the job."""
    gave_up = gave_up or turn.gave_up
    turn.state = Ended(turn.now, status, gave_up)
    turn.timeout_at = NEVER
    turn.actions += (_HURRY_NO_MORE, _FINISH)
    if gave_up:
        turn.publish(EventKind.GAVE_UP)
    turn.actions.append(_DONE)


# Clearing before a restart


def back_off(turn: Turn, state: Backoff) -> None:
    """Do what is due in a backoff."""
    clearing = state.clearing
    if clearing is not None:
        clearing = None if clearing.over_at <= turn.now else _escalated(turn, clearing)
    if turn.now < state.until:
        turn.state = Backoff(state.until, clearing)
    elif clearing is not None:
        turn.state = clearing
    else:
        start(turn)


def clear_on(turn: Turn, clearing: Clearing) -> None:
    """Do what is due while what a process has left is being ended."""
    turn.state = _escalated(turn, clearing)
    if clearing.over_at <= turn.now:
        start(turn)


def warn_and_kill(turn: Turn) -> None:
    """Send SIGKILL to what did not end by SIGTERM; it is nobody's stop."""
    words = "Processes of job %r did not end by themselves: they get SIGKILL."
    turn.actions += (Warn(words), SendSignal(SIGKILL))


def _clear(turn: Turn) -> Clearing | None:
    """End what the process that has exited left behind: the next one is to find its place free."""
    if not turn.left:
        return None
    turn.actions += (HURRY, SendSignal(SIGTERM))
    return Clearing(turn.now + GRACE, turn.now + GRACE + KILL_SECONDS)


def _escalated(turn: Turn, clearing: Clearing) -> Clearing:
    if turn.now < clearing.kill_at:
        return clearing
    warn_and_kill(turn)
    return Clearing(NEVER, clearing.over_at)
