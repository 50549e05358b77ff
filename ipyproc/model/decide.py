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
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any, cast

from ipyproc.errors import JobStateError
from ipyproc.model.action import (
    Action,
    Disown,
    Drain,
    Finish,
    Hurry,
    Look,
    Publish,
    SendSignal,
    StartProcess,
    Warn,
)
from ipyproc.model.event import EventKind
from ipyproc.model.life import (
    Alive,
    Backoff,
    Clearing,
    Ended,
    Gone,
    Life,
    Running,
    Starting,
    State,
    Stopping,
)
from ipyproc.model.policy import describe_crash_loop
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

__all__ = ["GRACE", "decide", "due"]

GRACE = 2.0
"""Seconds between the signals of a stop that nobody gave a grace for, such as a timeout's."""

KILL_SECONDS = 2.0
"""Seconds after which a process that has outlived its SIGKILL is let go."""

HELD_OPEN_SECONDS = 1.0
"""Seconds that a pipe may be held open by processes which the job has left."""

LEAVING_SECONDS = 0.2
"""Seconds in which a process may follow the one that started it, so that it does not count as left."""

_ESCAPED = (
    "a process that it started has left its session (setsid) and holds its output open; it is on its own"
)


def decide(life: Life, stimulus: Stimulus, now: float) -> tuple[Life, tuple[Action, ...]]:
    """Return what is known of a job after a stimulus, and what to do, in this order.

    Args:
        life: what was known before.
        stimulus: what happened.
        now: seconds on the clock of the caller's choice, always the same one; it never goes back.

    Raises:
        JobStateError: this cannot happen in this state, such as the exit of a process that has exited.
    """
    turn = _Turn(life, now)
    _REACTIONS[type(stimulus)](turn, stimulus)
    return turn.life, tuple(turn.actions)


def due(life: Life) -> float:
    """Return when `TimePassed` is to be told; infinity for never."""
    times = [life.timeout_at, *_times(life.state)]
    process = life.process
    if isinstance(process, Gone):
        times.append(process.hold_until)
        if isinstance(life.state, Stopping) and life.state.killed_at is not None and process.left:
            times.append(life.state.killed_at + KILL_SECONDS)
    return min((time for time in times if time is not None), default=math.inf)


def _times(state: State) -> list[float | None]:
    if isinstance(state, Running):
        return [state.kill_at]
    if isinstance(state, (Stopping, Ended)):
        return [state.next_at]
    if isinstance(state, Clearing):
        return [state.kill_at, state.over_at]
    if isinstance(state, Backoff):
        return [state.until, *(_times(state.clearing) if state.clearing else ())]
    return []


class _Turn:
    """One decision: the life so far, field by field, and the actions that have come together."""

    def __init__(self, life: Life, now: float) -> None:
        self.now = now
        self.actions: list[Action] = []
        self.rules = life.rules
        self.born = life.born
        self.state = life.state
        self.process = life.process
        self.streak = life.streak
        self.ready = life.ready
        self.sent = life.sent
        self.ended_by = life.ended_by
        self.timed_out = life.timed_out
        self.timeout_at = life.timeout_at
        self.surrendered = life.gave_up
        self.notes = life.notes

    @property
    def life(self) -> Life:
        """What is known when it is over."""
        return Life(
            self.rules,
            self.born,
            self.state,
            self.process,
            self.streak,
            self.ready,
            self.sent,
            self.ended_by,
            self.timed_out,
            self.timeout_at,
            self.surrendered,
            self.notes,
        )

    @property
    def _left(self) -> int:
        return self.process.left or 0 if isinstance(self.process, Gone) else 0

    # Reactions to what happens

    def started(self, stimulus: Started) -> None:
        self._need(not isinstance(self.process, Alive), stimulus)
        if self.process is None and self.rules.timeout is not None:
            self.timeout_at = self.now + self.rules.timeout
        self.process = Alive(stimulus.pid, self.now)
        self.ready = False
        self._publish(EventKind.STARTED, f"pid {stimulus.pid}")
        if isinstance(self.state, Stopping):
            # The stop came while it was being started.
            self._climb()
        else:
            self.state = Running()

    def not_started(self, stimulus: NotStarted) -> None:
        self._need(not isinstance(self.process, Alive), stimulus)
        self._note(stimulus.note)
        if self.process is None:
            # Whoever asked for the first start is told.
            self._finish(stimulus.status, gave_up=False)
        else:
            self._after_exit(stimulus.status, healthy=False)

    def exited(self, stimulus: Exited) -> None:
        process = self.process
        self._need(isinstance(process, Alive), stimulus)
        alive, status, sent = cast(Alive, process), stimulus.status, self.sent
        self.process = Gone(alive.pid, alive.since, status, stimulus.piping, stimulus.left)
        if sent and self.ended_by is None:
            by = Signals(-status) if -status in sent else sent[-1]
            self.ended_by = by.name
        if stimulus.note:
            self._note(stimulus.note)
        state = self.state
        if isinstance(state, Running) and state.kill_at is not None:
            self.state = Running(unwell=True)
        self._publish(EventKind.EXITED, describe_status(status))
        if isinstance(state, Stopping) and state.whole:
            self.actions.append(Hurry())
        self._settle()

    def pipes_ended(self, _stimulus: PipesEnded) -> None:
        process = self.process
        if not isinstance(process, Gone):
            return
        self.process = replace(process, piping=False)
        if isinstance(self.state, Ended):
            self._tell_of_left()
        elif process.left:
            # Whoever held it may be gone as well.
            self.actions.append(Look())
        self._settle()

    def members_seen(self, stimulus: MembersSeen) -> None:
        process, state = self.process, self.state
        if not isinstance(process, Gone):
            return
        self.process = replace(process, left=stimulus.left)
        if isinstance(state, Ended):
            self._tell_of_left()
        elif not stimulus.left and isinstance(state, Backoff):
            self.state = replace(state, clearing=None)
        elif not stimulus.left and isinstance(state, Clearing):
            self._start()
        self._settle()

    def drained(self, stimulus: Drained) -> None:
        process = self.process
        if not isinstance(process, Gone):
            return
        self.process = replace(process, piping=stimulus.piping, draining=False, drained=True, hold_until=None)
        if stimulus.piping and not process.left:
            self._note(_ESCAPED)
        self._settle()

    def stop_asked(self, stimulus: StopAsked) -> None:
        grace, ladder = stimulus.grace, stimulus.ladder
        state = self.state
        if isinstance(state, Ended):
            self._stop_what_is_left(grace, ladder)
            return
        if stimulus.note:
            self._note(stimulus.note)
        if isinstance(state, Backoff):
            self._finish(self.streak.exits[-1], gave_up=False)
            self._stop_what_is_left(grace, ladder)
            return
        if isinstance(state, Stopping):
            self.state = state = replace(state, whole=state.whole or grace is not None)
            if grace is None and state.next_at is not None:
                # An interrupt beside a stop hurries it on, and takes none of its signals away.
                self._send(ladder[0])
                return
            if grace is not None and (state.killed_at is not None or len(ladder) >= len(state.rungs) > 0):
                return
            self.state = replace(state, rungs=ladder, grace=grace)
        else:
            self.state = Stopping(ladder, grace, whole=grace is not None)
        if not isinstance(state, Starting):
            self._climb()

    def unwell(self, stimulus: Unwell) -> None:
        state = self.state
        if not isinstance(state, Running) or state.unwell or not isinstance(self.process, Alive):
            return
        self._note(stimulus.why)
        self.state = Running(unwell=True, kill_at=self.now + GRACE)
        self.actions.append(SendSignal(SIGTERM))

    def became_ready(self, _stimulus: BecameReady) -> None:
        if not self.ready:
            self.ready = True
            self._publish(EventKind.READY)

    def gave_up(self, stimulus: GaveUp) -> None:
        self._note(stimulus.why)
        self.surrendered = True

    def noted(self, stimulus: Noted) -> None:
        self._note(stimulus.note)

    def abandoned(self, stimulus: Abandoned) -> None:
        pid, since = (self.process.pid, self.process.since) if self.process else (0, self.now)
        self.process = Gone(pid, since, stimulus.status, piping=False, left=0)
        if isinstance(self.state, Ended):
            self.state = replace(self.state, rungs=(), next_at=None)
            return
        self._note("its event loop was closed while it ran")
        self._finish(stimulus.status, gave_up=False)

    def time_passed(self, _stimulus: TimePassed) -> None:
        if self._is_over(self.timeout_at):
            self.timeout_at = None
            if not isinstance(self.state, Ended):
                self.timed_out = True
                note = f"timed out after {self.rules.timeout:g} s"
                self.stop_asked(StopAsked(GRACE, self.rules.ladder, note))
        process = self.process
        if isinstance(process, Gone) and self._is_over(process.hold_until):
            self._drain()
        state = self.state
        if isinstance(state, Running) and self._is_over(state.kill_at):
            self.state = replace(state, kill_at=None)
            self._kill("Processes of job %r did not end by themselves: they get SIGKILL.")
        elif isinstance(state, Stopping):
            if self._is_over(state.next_at):
                self._climb()
            self._settle()
        elif isinstance(state, Clearing):
            self._clear_on(state)
        elif isinstance(state, Backoff):
            self._back_off(state)
        elif isinstance(state, Ended) and self._is_over(state.next_at):
            self._climb_on_left()

    # After an exit

    def _settle(self) -> None:
        """Go on when the process has exited, and nothing more of it is to be waited for."""
        state, process = self.state, self.process
        if not isinstance(process, Gone) or process.left is None or process.draining:
            return
        if not isinstance(state, (Running, Stopping)):
            return
        if isinstance(state, Stopping) and state.whole and process.left:
            # The leader is gone; the rest of its session has the same grace. An interrupt is one signal,
            # which a shell has its children behind & ignore: whoever waits is not to wait for these.
            if state.killed_at is None or self.now - state.killed_at < KILL_SECONDS:
                self.actions.append(Hurry())
                return
            self._let_live()
            process = cast(Gone, self.process)
        if process.left and not process.drained:
            # Its last words may still be on their way through a process such as tee; and what exits with
            # it may do so a moment later.
            if process.hold_until is None or process.held_piping != process.piping:
                seconds = HELD_OPEN_SECONDS if process.piping else LEAVING_SECONDS
                self.process = replace(process, hold_until=self.now + seconds, held_piping=process.piping)
            self.actions.append(Hurry())
            return
        if process.piping and not process.drained:
            self._drain()
            return
        if process.hold_until is not None:
            self.process = replace(process, hold_until=None)
        # A process that was ended for not being well has failed, whatever it says.
        unwell = isinstance(state, Running) and state.unwell
        healthy = self.now - process.since >= self.rules.restart.healthy
        self._after_exit(process.status, healthy=healthy, failed=unwell)

    def _drain(self) -> None:
        process = cast(Gone, self.process)
        self.process = replace(process, hold_until=None, draining=True)
        self.actions.append(Drain())

    def _after_exit(self, status: int, *, healthy: bool, failed: bool = False) -> None:
        """Restart it, end it or give up, as the policy says."""
        policy, stopping = self.rules.restart, isinstance(self.state, Stopping)
        self.streak = streak = self.streak.counted(status, healthy=healthy and not stopping)
        if stopping or not policy.follows(failed or status != 0):
            self._finish(status, gave_up=False)
            return
        if streak.restarts >= policy.max_restarts:
            self._finish(status, gave_up=True)
            return
        delay = policy.delay_after(streak)
        clearing = self._clear()
        if delay:
            self.streak = replace(streak, delay=delay)
            self.state = Backoff(self.now + delay, clearing)
            self._publish(EventKind.RESTARTING, f"in {delay:.2g} s")
        elif clearing is not None:
            self.state = clearing
        else:
            self._start()

    def _clear(self) -> Clearing | None:
        """End what the process that has exited left behind: the next one is to find its place free."""
        process = self.process
        if not isinstance(process, Gone) or not process.left:
            return None
        self.actions += [Hurry(), SendSignal(SIGTERM)]
        return Clearing(self.now + GRACE, self.now + GRACE + KILL_SECONDS)

    def _clear_on(self, clearing: Clearing) -> None:
        self.state = self._escalated(clearing)
        if self._is_over(clearing.over_at):
            self._start()

    def _back_off(self, state: Backoff) -> None:
        clearing = state.clearing
        if clearing is not None:
            clearing = None if self._is_over(clearing.over_at) else self._escalated(clearing)
            self.state = replace(state, clearing=clearing)
        if not self._is_over(state.until):
            return
        if clearing is not None:
            self.state = clearing
        else:
            self._start()

    def _escalated(self, clearing: Clearing) -> Clearing:
        if not self._is_over(clearing.kill_at):
            return clearing
        self._kill("Processes of job %r did not end by themselves: they get SIGKILL.")
        return replace(clearing, kill_at=None)

    def _start(self) -> None:
        self.state = Starting()
        self.streak = self.streak.restarted()
        self.actions.append(StartProcess())

    def _finish(self, status: int, *, gave_up: bool) -> None:
        if gave_up:
            self._note(f"crash loop: {describe_crash_loop(self.streak.exits)}")
        gave_up |= self.surrendered
        self.state = Ended(self.now, status, gave_up)
        self.timeout_at = None
        self.actions += [Hurry(False), Finish()]
        if gave_up:
            self._publish(EventKind.GAVE_UP)
        self._publish(EventKind.DONE)

    # Stops

    def _climb(self) -> None:
        """Send the next signal of the ladder, and see to the one after it."""
        state = cast(Stopping, self.state)
        if not state.rungs:
            self.state = replace(state, next_at=None)
            return
        next_at = None if state.grace is None else self.now + state.grace
        self.state = replace(state, rungs=state.rungs[1:], next_at=next_at)
        self._send(state.rungs[0])

    def _send(self, signum: Signals) -> None:
        state = cast(Stopping, self.state)
        if signum is SIGKILL and state.killed_at is None:
            if self.sent:
                self.actions.append(Warn("Job %r did not end by itself: its session gets SIGKILL."))
            self.state = replace(state, killed_at=self.now)
        process = self.process
        if isinstance(process, Alive):
            self.sent = (*self.sent, signum)
        elif signum is not SIGINT and isinstance(process, Gone) and process.left:
            self._note(f"a process that it left needed {signum.name}")
        self.actions.append(SendSignal(signum))
        self._publish(EventKind.STOPPING, signum.name)
        if isinstance(process, Gone):
            self._settle()

    def _let_live(self) -> None:
        """Wait no more for processes that have outlived a SIGKILL: they are somebody else's."""
        self._note("a process that it started could not be ended, and lives on")
        self.process = replace(cast(Gone, self.process), left=0)
        self.actions.append(Disown())

    # What it leaves

    def _stop_what_is_left(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        state = cast(Ended, self.state)
        if self._left and (not state.rungs or len(ladder) < len(state.rungs)):
            self.state = replace(state, rungs=ladder, grace=grace)
            self._climb_on_left()

    def _climb_on_left(self) -> None:
        state = cast(Ended, self.state)
        if not self._left:
            self.state = replace(state, next_at=None)
            return
        if not state.rungs:
            if state.grace is not None:
                self._let_live()
                self._tell_of_left()
            return
        signum, rungs = state.rungs[0], state.rungs[1:]
        next_at = None
        if state.grace is not None:
            next_at = self.now + (state.grace if rungs else KILL_SECONDS)
        self.state = replace(state, rungs=rungs, next_at=next_at)
        if signum is SIGKILL:
            self.actions.append(Warn("What job %r left did not end by itself: it gets SIGKILL."))
        self.actions += [Hurry(), SendSignal(signum)]

    def _tell_of_left(self) -> None:
        if not self._left:
            self.state = replace(cast(Ended, self.state), rungs=(), next_at=None)
        self._publish(EventKind.LEFT, f"{self._left} running")

    # Helpers

    def _note(self, note: str) -> None:
        # The same thing may happen to each of a thousand processes of a job that is restarted.
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def _publish(self, kind: EventKind, detail: str = "") -> None:
        self.actions.append(Publish(kind, detail))

    def _kill(self, words: str) -> None:
        self.actions += [Warn(words), SendSignal(SIGKILL)]

    def _is_over(self, time: float | None) -> bool:
        return time is not None and time <= self.now

    def _need(self, can_be: bool, stimulus: Stimulus) -> None:
        if not can_be:
            where = f"{type(self.state).__name__}, {type(self.process).__name__}"
            raise JobStateError(f"{stimulus!r} cannot happen now ({where}); tell each once, in order.")


_REACTIONS: dict[type[Stimulus], Callable[[_Turn, Any], None]] = {
    Started: _Turn.started,
    NotStarted: _Turn.not_started,
    Exited: _Turn.exited,
    PipesEnded: _Turn.pipes_ended,
    MembersSeen: _Turn.members_seen,
    Drained: _Turn.drained,
    StopAsked: _Turn.stop_asked,
    Unwell: _Turn.unwell,
    BecameReady: _Turn.became_ready,
    GaveUp: _Turn.gave_up,
    Noted: _Turn.noted,
    TimePassed: _Turn.time_passed,
    Abandoned: _Turn.abandoned,
}
