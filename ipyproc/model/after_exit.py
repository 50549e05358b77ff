"""Decisions after the exit of a process: wait for the processes that it left, then restart or end the job."""

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
"""Seconds between the signals of a stop without a given grace, such as that of a timeout."""

KILL_SECONDS = 2.0
"""Seconds after SIGKILL at which the wait for a process is given up."""

_HELD_OPEN_SECONDS = 1.0
"""Seconds for which processes that the job left may hold a pipe open."""

_LEAVING_SECONDS = 0.2
"""Seconds within which a process may exit after its parent without counting as left."""

HURRY = Hurry()
_HURRY_NO_MORE = Hurry(False)
_DRAIN = Drain()
_FINISH = Finish()
_DONE = Publish(EventKind.DONE)
_STARTING = Starting()


def settle(turn: Turn) -> None:
    """Restart or end the job if its process has exited and nothing more of it is to be waited for."""
    state, process = turn.state, turn.process
    if not isinstance(process, Gone) or not isinstance(state, (Running, Stopping)):
        return
    if process.left is None or process.rest is Rest.DRAINING:
        return
    if process.left and isinstance(state, Stopping) and state.whole:
        # The leader has exited, and the rest of its session has the same grace. An interrupt is a single
        # signal, which the background children of a shell ignore, so it does not wait for these.
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
    """Give the remaining processes time to end, since output may still pass through one such as tee.

    Processes that exit with the leader may do so a moment later, and then do not count as left.
    """
    hold = process.rest
    if not isinstance(hold, Hold) or hold.piping != process.piping:
        seconds = _HELD_OPEN_SECONDS if process.piping else _LEAVING_SECONDS
        hold = Hold(turn.now + seconds, process.piping)
        turn.process = process.changed(process.piping, process.left, hold)
    turn.actions.append(HURRY)


def drain(turn: Turn, process: Gone) -> None:
    """Request that the pipes of an exited process be read to their end."""
    turn.process = process.changed(process.piping, process.left, Rest.DRAINING)
    turn.actions.append(_DRAIN)


def let_live(turn: Turn, process: Gone) -> Gone:
    """Stop waiting for processes that have outlived SIGKILL; return the exited process without them."""
    turn.note("a process that it started could not be ended, and lives on")
    turn.actions.append(Disown())
    turn.process = process = process.changed(process.piping, 0, process.rest)
    return process


# The restart policy


def follow_policy(turn: Turn, status: int, *, failed: bool, healthy: bool) -> None:
    """Restart the job, end it or give up, as its restart policy says.

    Args:
        turn: the decision.
        status: the exit status of the process, or 126 or 127 if it could not be started.
        failed: whether that counts as a failure.
        healthy: whether the process ran for the healthy time before.
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
    """Carry on a backoff: start the next process if its time has come."""
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
    """Carry on a clearing: send SIGKILL, or start the next process, if its time has come."""
    turn.state = _escalated(turn, clearing)
    if clearing.over_at <= turn.now:
        start(turn)


def warn_and_kill(turn: Turn) -> None:
    """Send SIGKILL, with a warning, to processes that did not end by SIGTERM; this is not part of a stop."""
    words = "Processes of job %r did not end by themselves: they get SIGKILL."
    turn.actions += (Warn(words), SendSignal(SIGKILL))


def _clear(turn: Turn) -> Clearing | None:
    """Send SIGTERM to what the exited process left, so that the next one finds its ports and files free.

    Return None if it left nothing.
    """
    if not turn.left:
        return None
    turn.actions += (HURRY, SendSignal(SIGTERM))
    return Clearing(turn.now + GRACE, turn.now + GRACE + KILL_SECONDS)


def _escalated(turn: Turn, clearing: Clearing) -> Clearing:
    if turn.now < clearing.kill_at:
        return clearing
    warn_and_kill(turn)
    return Clearing(NEVER, clearing.over_at)
