"""The life of a job, from its start to its end: processes, restarts, stops and timeouts.

What is decided about restarts is decided in `ipyproc.model.restart`; this carries it out.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Protocol, cast

from tornado.ioloop import IOLoop

from ipyproc.hosts.local.driver import Driver, Timer
from ipyproc.hosts.local.run import Run, Watcher
from ipyproc.hosts.local.start import note_of_exit
from ipyproc.model import restart
from ipyproc.model.event import EventKind
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Exit, JobState, describe_status
from ipyproc.process.loops import asyncio_loop, loop_of_timer, on_loop, running_loop

__all__ = ["LADDER", "Ending", "Life", "Listener", "stop_ladder"]

log = logging.getLogger("ipyproc")

LADDER = (SIGINT, SIGTERM, SIGKILL)
"""The signals of a stop, each after the grace of the one before."""

_HELD_OPEN_SECONDS = 1.0
_LEAVING_SECONDS = 0.2
_GRACE = 2.0
_KEPT_EXITS = 10
_KILL_SECONDS = 2.0
_CANNOT_RUN = 127
_NOT_EXECUTABLE = 126
_NEVER = 1e9
_ESCAPED = (
    "a process that it started has left its session (setsid) and holds its output open; it is on its own"
)


def stop_ladder(first: int) -> tuple[Signals, ...]:
    """Return the signals of a stop that begins with ``first``."""
    return (Signals(first), *(signum for signum in LADDER[1:] if signum != first))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a life ended.

    Attributes:
        status: the exit status of the last process, negative for a signal.
        elapsed: seconds from the start to the end.
        ended_by: the signal of ours that ended it; None when it ended by itself.
        timed_out: whether its timeout stopped it.
        notes: what else there is to say.
    """

    status: int
    elapsed: float
    ended_by: str | None
    timed_out: bool
    notes: tuple[str, ...]


class Listener(Protocol):
    """Who is told of what happens."""

    def happened(self, kind: EventKind, detail: str = "") -> None:
        """Something happened; in any thread for ``WROTE``, else where the loop is driven."""


class _Tie:
    """Tells when the loop is closed, or forgotten, on which something lives.

    Args:
        on_cut: called then, in whichever thread closes the loop.
    """

    class _Knot:
        """What the loop alone holds: its end is the loop's."""

        def __init__(self, on_cut: Callable[[], None]) -> None:
            self.on_cut: Callable[[], None] | None = on_cut
            self._owner = os.getpid()

        def __call__(self) -> None:
            """Does nothing: for the loop it is a timer that is never due."""

        def __del__(self) -> None:
            # A fork that ends its copy of the loop has no say in what lives on the loop itself.
            if self.on_cut is not None and os.getpid() == self._owner:
                self.on_cut()

    def __init__(self, on_cut: Callable[[], None]) -> None:
        self._on_cut = on_cut
        self._knot: weakref.ref[_Tie._Knot] | None = None
        self._timer: weakref.ref[asyncio.TimerHandle] | None = None

    def tie(self, io_loop: IOLoop) -> None:
        """Ties it to a loop; from any thread."""
        knot = self._Knot(self._on_cut)
        self._knot = weakref.ref(knot)
        on_loop(io_loop, partial(self._hang, io_loop, knot))

    def untie(self) -> None:
        """Takes it off; where the loop is driven, or when it is closed."""
        if self._knot is not None and (knot := self._knot()) is not None:
            knot.on_cut = None
        if self._timer is not None and (timer := self._timer()) is not None:
            loop = loop_of_timer(timer)
            if loop is None:
                pass  # It stays with the loop, and does nothing.
            elif running_loop() is loop or loop.is_closed():
                timer.cancel()
            else:
                loop.call_soon_threadsafe(timer.cancel)

    def _hang(self, io_loop: IOLoop, knot: _Knot) -> None:
        if knot.on_cut is not None:
            self._timer = weakref.ref(asyncio_loop(io_loop).call_later(_NEVER, knot))


class Life:
    """One life of a job: as many processes as its restart policy allows, one after another.

    It is begun by `start`, in any thread; everything after that happens where its loop is driven, under
    the job's lock.

    Attributes:
        driver: of the loop on which it is spent.
        lock: the job's.
        error: why the last process could not be started.
    """

    def __init__(
        self,
        spec: JobSpec,
        driver: Driver,
        lock: AbstractContextManager[object],
        listener: Listener,
        new_run: Callable[[Watcher], Run],
    ) -> None:
        self.driver = driver
        self.lock = lock
        self._spec = spec
        self._new_run = new_run
        self._listener = listener
        self._supervision = restart.Supervision(restart.policy_of(spec))
        self._timers: dict[str, Timer] = {}
        self._tie = _Tie(self.abandoned)
        self._ladder: list[Signals] = []
        self._grace: float | None = None
        self._ends_all = False
        self._sent: list[Signals] = []
        self._ended_by: str | None = None
        self._timed_out = False
        self._unwell = False
        self._drained = False
        self._draining = False
        self._was_piping = False
        self._clearing = False
        self._start_when_clear = False
        self._starting = False
        self._killed_at = math.inf
        self.error: Exception | None = None
        self.run: Run | None = None
        self.state = JobState.RUNNING
        self.born = time.monotonic()
        self.exits: tuple[Exit, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.ending: Ending | None = None

    @property
    def restarts(self) -> int:
        """How often a process was started again."""
        return self._supervision.total_restarts

    @property
    def elapsed(self) -> float:
        """Seconds from its start until its end, or until now."""
        return self.ending.elapsed if self.ending else time.monotonic() - self.born

    @property
    def left(self) -> int:
        """How many processes it has left running at its end."""
        run = self.run
        return run.session.left if self.state.done and run is not None and run.status is not None else 0

    @property
    def lingers(self) -> bool:
        """Whether it has ended, and there may be more to tell: processes that it left, or their output."""
        run = self.run
        return self.left > 0 or (self.state.done and run is not None and run.piping)

    def start(self) -> None:
        """Start the first process, in any thread, and have it looked after on the loop.

        Raises:
            OSError: it cannot be started. Nothing is left of it by then, whatever was raised.
        """
        with self.lock:
            self._launch()
            self._starting = True
            try:
                self._tie.tie(self.driver.io_loop)
                self.driver.call(self._begin_first)
            except BaseException:
                self._take_back(cast(Run, self.run))
                raise
            finally:
                self._starting = False

    def fail(self, error: Exception) -> None:
        """End before there was a process, since none could be started."""
        self._not_started(error)
        self._finish(gave_up=False)

    def stop(self, grace: float | None, *, ladder: tuple[Signals, ...] = LADDER, note: str = "") -> None:
        """End it by the signals of ``ladder``.

        Args:
            grace: seconds between the signals; None sends the first alone.
            ladder: the signals. A shorter ladder replaces a longer one that is being climbed.
            note: why, for people.
        """
        with self.lock:
            if self.state.done:
                self._stop_what_is_left(grace, ladder)
                return
            if note:
                self.note(note)
            climbing = self.state is JobState.STOPPING
            self._ends_all |= grace is not None
            if climbing and grace is None and "ladder" in self._timers:
                # An interrupt beside a stop hurries it on, and takes none of its signals away.
                self._send(ladder[0])
                return
            if climbing and grace is not None and self._was_killed:
                return
            if climbing and grace is not None and len(ladder) >= len(self._ladder) > 0:
                return
            if not climbing:
                self._cancel("backoff")
                self.state = JobState.STOPPING
                self._decide(restart.StopAsked())
                if self.state.done:
                    self._stop_what_is_left(grace, ladder)
                    return
            self._ladder = list(ladder)
            self._climb(grace)

    def recycle(self, why: str) -> None:
        """End a process that is not well, as a failure: the restart policy says what follows.

        Args:
            why: for people.
        """
        with self.lock:
            run = self.run
            if self.state is not JobState.RUNNING or run is None or run.status is not None or self._unwell:
                return
            self.note(why)
            self._unwell = True
            run.signal_session(SIGTERM)
            self._timer("recycle", _GRACE, lambda: self._kill(run))

    # What a process tells

    def wrote(self) -> None:
        """A process wrote something."""
        self._listener.happened(EventKind.WROTE)

    def exited(self, run: Run) -> None:
        """The exit of a process has been seen."""
        self._cancel("recycle")
        if self._sent and self._ended_by is None:
            by = Signals(-run.status) if run.status in {-signum for signum in self._sent} else self._sent[-1]
            self._ended_by = by.name
        self._record(run, cast(int, run.status))
        self._listener.happened(EventKind.EXITED, describe_status(cast(int, run.status)))
        if self._ends_all:
            run.session.hurry()
        self._look(run)

    def piped_out(self, run: Run) -> None:
        """A pipe of a process is at its end."""
        if self.state.done:
            self._tell_of_left()
        elif run.status is not None and run.session.left:
            # Whoever held it may be gone as well.
            run.session.look()
        self._look(run)

    def members_changed(self, run: Run) -> None:
        """What is left of a process's session has changed."""
        if self._clearing and run.session.is_empty:
            self._cleared()
        if self.state.done:
            self._tell_of_left()
        self._look(run)

    def abandoned(self) -> None:
        """The loop was closed: nobody can look after the job any more, so it ends here."""
        with self.lock:
            run = self.run
            if run is None or (self.state.done and not self.lingers):
                return
            seen = run.status is not None
            status = run.abandon()
            for name in list(self._timers):
                self._cancel(name)
            if self.state.done:
                return
            if not seen:
                self._record(run, -SIGKILL if status is None else status)
            self.note("its event loop was closed while it ran")
            self._finish(gave_up=False)

    # How it goes on

    def _launch(self) -> None:
        run = self._new_run(self)
        run.start()
        self.run = run
        self._drained = False
        self._unwell = False

    def _begin_first(self) -> None:
        with self.lock:
            run = cast(Run, self.run)
            if run.status is not None:
                return  # It was taken back before this came round.
            try:
                if self._spec.timeout is not None:
                    self._timer("timeout", self._spec.timeout, self._time_out)
                self._begin()
            except Exception as error:
                if self._starting:
                    raise
                # Another thread has started it, and is gone.
                self._take_back(run)
                self.fail(error)

    def _begin(self) -> None:
        """Have the process that was started looked after."""
        run = cast(Run, self.run)
        self._supervision, _ = restart.decide(self._supervision, restart.Started(), run.began)
        if self.state is not JobState.STOPPING:
            # A stop can come before the process is looked after, which is not to call it off.
            self.state = JobState.RUNNING
        self._listener.happened(EventKind.STARTED, f"pid {run.pid}")
        try:
            run.begin()
        except BaseException:
            self._take_back(run)
            self._listener.happened(EventKind.EXITED, "it could not be looked after")
            raise

    def _take_back(self, run: Run) -> None:
        """End a process that nobody could look after."""
        run.abandon()
        for name in list(self._timers):
            self._cancel(name)
        self._tie.untie()

    def _record(self, run: Run, status: int) -> None:
        self._add_exit(Exit(run.pid, status, run.started, run.started + time.monotonic() - run.began))
        if note := note_of_exit(self._spec, status):
            self.note(note)

    def _add_exit(self, last: Exit) -> None:
        self.exits = (*self.exits[1 - _KEPT_EXITS :], last)

    def _look(self, run: Run) -> None:
        """Go on when a process has exited, and nothing more is to be waited for."""
        session = run.session if run.status is not None else None
        if session is None or run is not self.run or self.state.done or session.members is None:
            return
        if self.state is JobState.BACKOFF or self._clearing or self._draining:
            return
        if self._ends_all and session.left and not self._is_in_vain(run):
            # The leader is gone; the rest of its session has the same grace. An interrupt is one signal,
            # which a shell has its children behind & ignore: whoever waits is not to wait for these.
            session.hurry()
            if self._was_killed:
                self._timer("vain", _KILL_SECONDS, lambda: self._look(run))
            return
        if session.left and not self._drained:
            # Its last words may still be on their way through a process such as tee; and what exits with
            # it may do so a moment later.
            session.hurry()
            if "pipes" not in self._timers or self._was_piping != run.piping:
                self._was_piping = run.piping
                seconds = _HELD_OPEN_SECONDS if run.piping else _LEAVING_SECONDS
                self._timer("pipes", seconds, lambda: self._drain(run))
            return
        if run.piping and not self._drained:
            self._drain_now(run)
            if run.piping:
                self.note(_ESCAPED)
        self._cancel("pipes")
        self._cancel("vain")
        status = cast(int, run.status)
        # A process that was ended for not being well has failed, whatever it says.
        self._decide(restart.Exited(status or 1 if self._unwell else status))

    def _drain(self, run: Run) -> None:
        self._drain_now(run)
        self._look(run)

    def _drain_now(self, run: Run) -> None:
        # The end of a pipe that this finds is told in the midst of it.
        self._drained = self._draining = True
        run.drain()
        self._draining = False

    def _decide(
        self, event: restart.Started | restart.Exited | restart.StopAsked | restart.BackoffOver
    ) -> None:
        self._supervision, actions = restart.decide(self._supervision, event, time.monotonic())
        for action in actions:
            if isinstance(action, restart.Start):
                self._clear_and_start()
            elif isinstance(action, restart.StartAfter):
                self.state = JobState.BACKOFF
                self._clear()
                self._timer("backoff", action.delay, lambda: self._decide(restart.BackoffOver()))
                self._listener.happened(EventKind.RESTARTING, f"in {action.delay:.2g} s")
            else:
                self._finish(action.gave_up)

    def _clear(self) -> None:
        """End what the process that has exited left behind: the next one is to find its place free."""
        run = cast(Run, self.run)
        if run.status is None or not run.session.left:
            return
        self._clearing = True
        run.session.hurry()
        run.session.signal(SIGTERM)
        self._timer("clear", _GRACE, lambda: self._kill(run))
        self._timer("cleared", _GRACE + _KILL_SECONDS, self._cleared)

    def _kill(self, run: Run) -> None:
        log.warning("Processes of job %r did not end by themselves: they get SIGKILL.", self._spec.name)
        run.session.signal(SIGKILL)

    def _cleared(self) -> None:
        self._clearing = False
        self._cancel("clear")
        self._cancel("cleared")
        if self._start_when_clear:
            self._start_when_clear = False
            if self.state is JobState.STOPPING:
                self._look(cast(Run, self.run))
            else:
                self._start_again()

    def _clear_and_start(self) -> None:
        if not self._clearing:
            self._clear()
        if self._clearing:
            self._start_when_clear = True
        else:
            self._start_again()

    def _start_again(self) -> None:
        try:
            self._launch()
            self._begin()
        except Exception as error:
            # For want of fds or memory perhaps: the policy decides whether it is tried once more.
            self._not_started(error)
            self._decide(restart.Exited(self.exits[-1].status))

    def _not_started(self, error: Exception) -> None:
        self.error = error
        self.note(f"it could not be started again: {str(error) or type(error).__name__}")
        now = time.time()
        status = _NOT_EXECUTABLE if isinstance(error, PermissionError) else _CANNOT_RUN
        self._add_exit(Exit(0, status, now, now))

    def _finish(self, gave_up: bool) -> None:
        for name in list(self._timers):
            self._cancel(name)
        statuses = [exit.status for exit in self.exits]
        if gave_up:
            self.note(f"crash loop: {restart.describe_crash_loop(statuses)}")
        self.state = JobState.GAVE_UP if gave_up else JobState.EXITED
        notes = (*self.notes, f"left {self.left} running") if self.left else self.notes
        self.ending = Ending(
            statuses[-1], time.monotonic() - self.born, self._ended_by, self._timed_out, notes
        )
        if self.run is not None and self.run.status is not None:
            self.run.session.hurry(False)
        if not self.lingers:
            self._tie.untie()
        self._listener.happened(EventKind.GAVE_UP if gave_up else EventKind.DONE)

    # Stops

    def _climb(self, grace: float | None) -> None:
        """Send the next signal of the ladder, and see to the one after it."""
        if self.state is not JobState.STOPPING or not self._ladder or self.run is None:
            return
        self._send(self._ladder.pop(0))
        if grace is not None:
            self._timer("ladder", grace, lambda: self._climb(grace))

    def _send(self, signum: Signals) -> None:
        run = cast(Run, self.run)
        if signum is SIGKILL:
            if self._sent and not self._was_killed:
                log.warning("Job %r did not end by itself: its session gets SIGKILL.", self._spec.name)
            self._killed_at = min(self._killed_at, time.monotonic())
        if run.status is None:
            self._sent.append(signum)
        elif signum is not SIGINT and run.session.left:
            self.note(f"a process that it left needed {signum.name}")
        run.signal_session(signum)
        self._listener.happened(EventKind.STOPPING, signum.name)
        if run.status is not None:
            self._look(run)

    @property
    def _was_killed(self) -> bool:
        return self._killed_at < math.inf

    def _is_in_vain(self, run: Run) -> bool:
        """Whether a part of the job outlives its SIGKILL: somebody else's."""
        if time.monotonic() - self._killed_at < _KILL_SECONDS:
            return False
        self._let_live(run)
        return True

    def _let_live(self, run: Run) -> None:
        """Wait no more for processes that have outlived a SIGKILL: they are somebody else's."""
        self.note("a process that it started could not be ended, and lives on")
        run.session.close()

    def _time_out(self) -> None:
        self._timed_out = True
        self.stop(_GRACE, note=f"timed out after {self._spec.timeout:g} s")

    # What it leaves

    def _stop_what_is_left(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        if self.left and (not self._ladder or len(ladder) < len(self._ladder)):
            self._ladder = list(ladder)
            self._climb_on_left(grace)

    def _climb_on_left(self, grace: float | None) -> None:
        run = cast(Run, self.run)
        if not self.left:
            return
        if not self._ladder:
            if grace is not None:
                self._let_live(run)
                self._tell_of_left()
            return
        signum = self._ladder.pop(0)
        if signum is SIGKILL:
            log.warning("What job %r left did not end by itself: it gets SIGKILL.", self._spec.name)
        run.session.hurry()
        run.session.signal(signum)
        if grace is not None:
            seconds = grace if self._ladder else _KILL_SECONDS
            self._timer("ladder", seconds, lambda: self._climb_on_left(grace))

    def _tell_of_left(self) -> None:
        if not self.left:
            self._ladder.clear()
            self._cancel("ladder")
        if not self.lingers:
            self._tie.untie()
        self._listener.happened(EventKind.LEFT, f"{self.left} running")

    # Helpers

    def note(self, note: str) -> None:
        """Note something that there is to say of it."""
        # The same thing may happen to each of a thousand processes of a job that is restarted.
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def _timer(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        self._cancel(name)

        def fire() -> None:
            with self.lock:
                if self._timers.get(name) is timer:
                    del self._timers[name]
                    callback()

        timer = self._timers[name] = self.driver.later(seconds, fire)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
