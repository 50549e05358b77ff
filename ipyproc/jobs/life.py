"""The life of a job, from its start to its end: processes, restarts, stops and timeouts.

What is decided about restarts is decided in `ipyproc.jobs.restart`; this carries it out, on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from signal import SIGCONT, SIGINT, SIGKILL, SIGTERM, Signals
from typing import Protocol, cast

from tornado.ioloop import IOLoop

from ipyproc.jobs import restart
from ipyproc.jobs.model import EventKind, Exit, JobSpec, JobState, describe_status
from ipyproc.jobs.run import Home, Run, Watcher
from ipyproc.jobs.start import note_of_exit
from ipyproc.process.watch import asyncio_loop, on_loop

__all__ = ["LADDER", "Ending", "Life", "Listener"]

log = logging.getLogger("ipyproc")

LADDER = (SIGINT, SIGTERM, SIGKILL)
"""The signals of a stop, each after the grace of the one before."""

_HELD_OPEN_SECONDS = 1.0
_GROUP_POLL_SECONDS = 0.02
_TIMEOUT_GRACE = 2.0
_KEPT_EXITS = 10
_KILL_SECONDS = 2.0
_CANNOT_RUN = 127
_NOT_EXECUTABLE = 126
_NEVER = 1e9


@dataclass(frozen=True)
class Ending:
    """How a life ended.

    Attributes:
        status: the exit status of the last process, negative for a signal.
        elapsed: seconds from the start to the end.
        ended_by: the signal of ours that was needed to stop it; None when it ended by itself.
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
        """Something happened; in any thread for ``WROTE``, else on the loop."""


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

    def tie(self, io_loop: IOLoop, then: Callable[[], None]) -> None:
        """Ties it to a loop, and has ``then`` called there; from any thread."""
        knot = self._Knot(self._on_cut)
        self._knot = weakref.ref(knot)
        on_loop(io_loop, partial(self._hang, io_loop, knot, then))

    def untie(self) -> None:
        """Takes it off; on the loop, or when the loop is closed."""
        if self._knot is not None and (knot := self._knot()) is not None:
            knot.on_cut = None
        if self._timer is not None and (timer := self._timer()) is not None:
            timer.cancel()

    def _hang(self, io_loop: IOLoop, knot: _Knot, then: Callable[[], None]) -> None:
        self._timer = weakref.ref(asyncio_loop(io_loop).call_later(_NEVER, knot))
        then()


class Life:
    """One life of a job: as many processes as its restart policy allows, one after another.

    It is begun by `start`, in any thread; everything after that happens on the loop.

    Attributes:
        io_loop: the loop on which it is spent.
        error: why the last process could not be started.
    """

    def __init__(
        self, spec: JobSpec, home: Home, listener: Listener, new_run: Callable[[Watcher], Run]
    ) -> None:
        self._spec = spec
        self._home = home
        self._new_run = new_run
        self._listener = listener
        policy = restart.RestartPolicy(restart.RestartMode(spec.restart), spec.max_restarts)
        self._supervision = restart.Supervision(policy)
        self._timers: dict[str, object] = {}
        self._tie = _Tie(self.abandoned)
        self._ladder: list[Signals] = []
        self._ends_all = False
        self._ended_by: str | None = None
        self._timed_out = False
        self._killed_at = math.inf
        self.io_loop = home.io_loop
        self.error: OSError | None = None
        self.run: Run | None = None
        self.state = JobState.RUNNING
        self.born = time.time()
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
        return self.ending.elapsed if self.ending else time.time() - self.born

    def start(self) -> None:
        """Starts the first process, in any thread, and has it looked after on the loop.

        Raises:
            OSError: it cannot be started.
        """
        self.run = self._new_run(self)
        self._tie.tie(self.io_loop, self._begin_first)

    def fail(self, error: OSError) -> None:
        """Ends before there was a process, since none could be started."""
        self._not_started(error)
        self._finish(gave_up=False)

    def stop(self, grace: float | None, *, ladder: tuple[Signals, ...] = LADDER, note: str = "") -> None:
        """Ends it by the signals of ``ladder``; on the loop.

        Args:
            grace: seconds between the signals; None sends the first alone.
            ladder: the signals. A shorter ladder replaces a longer one that is being climbed.
            note: why, for people.
        """
        if self.state.done:
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
        self._ladder = list(ladder)
        self._climb(grace)

    # What a process tells

    def wrote(self) -> None:
        """A process wrote something."""
        self._listener.happened(EventKind.WROTE)

    def exited(self, run: Run) -> None:
        """The exit of a process has been seen."""
        status = cast(int, run.status)
        self._record(run, status)
        self._listener.happened(EventKind.EXITED, describe_status(status))
        if run.held_open:
            self._timer("pipes", _HELD_OPEN_SECONDS, lambda: self._cut(run))
        self._look(run)

    def piped_out(self, run: Run) -> None:
        """A pipe of a process is at its end."""
        self._look(run)

    def abandoned(self) -> None:
        """The loop was closed: nobody can look after the job any more, so it ends here."""
        if self.state.done:
            return
        run = cast(Run, self.run)
        seen = run.status is not None
        status = run.abandon()
        if not seen:
            self._record(run, -SIGKILL if status is None else status)
        self._timers.clear()
        self.note("its event loop was closed while it ran")
        self._finish(gave_up=False)

    # How it goes on

    def _begin_first(self) -> None:
        if self._spec.timeout is not None:
            self._timer("timeout", self._spec.timeout, self._time_out)
        self._begin()

    def _begin(self) -> None:
        """Has the process that was started looked after."""
        run = cast(Run, self.run)
        self._supervision, _ = restart.decide(self._supervision, restart.Started(), run.started)
        if self.state is not JobState.STOPPING:
            # A stop can come before the process is looked after, which is not to call it off.
            self.state = JobState.RUNNING
        self._listener.happened(EventKind.STARTED, f"pid {run.pid}")
        run.begin()
        self._look(run)

    def _record(self, run: Run, status: int) -> None:
        self._add_exit(Exit(run.pid, status, run.started, time.time()))
        if note := note_of_exit(self._spec, status):
            self.note(note)

    def _add_exit(self, last: Exit) -> None:
        self.exits = (*self.exits[1 - _KEPT_EXITS :], last)

    def _cut(self, run: Run) -> None:
        if run.held_open:
            self.note(
                "a process that it started holds its output open; what that one writes from now on is lost"
            )
        run.cut()

    def _look(self, run: Run) -> None:
        """Goes on when a process has exited and its pipes are at their end."""
        if not run.over or run is not self.run or self.state.done:
            return
        self._cancel("pipes")
        if self._ends_all and run.has_members() and not self._is_in_vain():
            # The leader is gone; the rest of its session has the same grace, and nobody announces
            # its end. An interrupt is one signal, which a shell has its children behind & ignore:
            # whoever waits is not to wait for these.
            self._timer("group", _GROUP_POLL_SECONDS, lambda: self._look(run))
            return
        self._decide(restart.Exited(cast(int, run.status)))

    def _decide(
        self, event: restart.Started | restart.Exited | restart.StopAsked | restart.BackoffOver
    ) -> None:
        self._supervision, actions = restart.decide(self._supervision, event, time.time())
        for action in actions:
            if isinstance(action, restart.Start):
                self._start_again()
            elif isinstance(action, restart.StartAfter):
                self.state = JobState.BACKOFF
                self._timer("backoff", action.delay, lambda: self._decide(restart.BackoffOver()))
                self._listener.happened(EventKind.RESTARTING, f"in {action.delay:.2g} s")
            else:
                self._finish(action.gave_up)

    def _start_again(self) -> None:
        try:
            self.run = self._new_run(self)
        except OSError as error:
            # For want of fds or memory perhaps: the policy decides whether it is tried once more.
            self._not_started(error)
            self._decide(restart.Exited(self.exits[-1].status))
        else:
            self._begin()

    def _not_started(self, error: OSError) -> None:
        self.error = error
        self.note(f"it could not be started again: {error}")
        now = time.time()
        status = _NOT_EXECUTABLE if isinstance(error, PermissionError) else _CANNOT_RUN
        self._add_exit(Exit(0, status, now, now))

    def _finish(self, gave_up: bool) -> None:
        for name in list(self._timers):
            self._cancel(name)
        self._tie.untie()
        statuses = [exit.status for exit in self.exits]
        if gave_up:
            self.note(f"crash loop: {restart.describe_crash_loop(statuses)}")
        self.state = JobState.GAVE_UP if gave_up else JobState.EXITED
        self.ending = Ending(
            statuses[-1], time.time() - self.born, self._ended_by, self._timed_out, self.notes
        )
        self._listener.happened(EventKind.GAVE_UP if gave_up else EventKind.DONE)

    def _climb(self, grace: float | None) -> None:
        """Sends the next signal of the ladder, and sees to the one after it."""
        run = self.run
        if self.state is not JobState.STOPPING or not self._ladder or run is None:
            return
        self._send(self._ladder.pop(0))
        if grace is not None:
            self._timer("ladder", grace, lambda: self._climb(grace))

    def _send(self, signum: Signals) -> None:
        run = cast(Run, self.run)
        if signum is SIGKILL:
            if self._ended_by is not None and not self._was_killed:
                log.warning("Job %r did not end by itself: its process group gets SIGKILL.", self._spec.name)
            self._killed_at = min(self._killed_at, time.monotonic())
        if self._ended_by is None or LADDER.index(signum) > LADDER.index(Signals[self._ended_by]):
            self._ended_by = signum.name
        run.signal(signum)
        # What is stopped takes its signal only when it goes on.
        run.signal(SIGCONT)
        self._listener.happened(EventKind.STOPPING, signum.name)

    @property
    def _was_killed(self) -> bool:
        return self._killed_at < math.inf

    def _is_in_vain(self) -> bool:
        """Whether a part of the job outlives its SIGKILL: somebody else's, or in a group of its own."""
        if time.monotonic() - self._killed_at < _KILL_SECONDS:
            return False
        self.note("a process that it started could not be ended, and lives on")
        return True

    def _time_out(self) -> None:
        self._timed_out = True
        self.stop(_TIMEOUT_GRACE, note=f"timed out after {self._spec.timeout:g} s")

    def note(self, note: str) -> None:
        """Notes something that there is to say of it; on the loop."""
        # The same thing may happen to each of a thousand processes of a job that is restarted.
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def _timer(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        self._cancel(name)

        def fire() -> None:
            self._timers.pop(name, None)
            callback()

        self._timers[name] = self.io_loop.call_later(seconds, fire)

    def _cancel(self, name: str) -> None:
        handle = self._timers.pop(name, None)
        if handle is not None:
            self.io_loop.remove_timeout(handle)
