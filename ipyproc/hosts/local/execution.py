"""One life of a job of the local host: the driver of the state machine in `ipyproc.model.decide`."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from signal import SIGKILL
from typing import Any

from ipyproc.hosts.local.driver import Driver, Timer
from ipyproc.hosts.local.health import Health
from ipyproc.hosts.local.loop_end import LoopEnd
from ipyproc.hosts.local.ready import AT_ONCE, AtOnce, Readiness
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.run import Run
from ipyproc.hosts.local.start import note_of_exit
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
from ipyproc.model.decide import decide, due
from ipyproc.model.event import EventKind
from ipyproc.model.life import Alive, Ended, Life, rules_of
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending, Exit
from ipyproc.model.stimulus import (
    Abandoned,
    BecameReady,
    Drained,
    Exited,
    MembersSeen,
    NotStarted,
    PipesEnded,
    Started,
    Stimulus,
    TimePassed,
    Unwell,
)
from ipyproc.spool.output import Output

__all__ = ["Execution"]

log = logging.getLogger("ipyproc")

_KEPT_EXITS = 10
_CANNOT_RUN = 127
_NOT_EXECUTABLE = 126


class Execution:
    """One life of a job: its processes one after another, and its state.

    The constructor starts nothing; any thread may call `start`. Call all other methods where the loop is
    driven, with the job's lock held.

    Args:
        spec: what runs, and how.
        resources: the resources of the host.
        driver: the driver of the job's loop.
        output: the output of the job.
        lock: the lock of the job.
        publish: called with the kind of each event, and a detail for people.
        wrote: called on any thread when there is new output.
        settled: called when the life has ended, and after each stimulus that follows.

    Attributes:
        driver: the driver of the job's loop.
        lock: the lock of the job.
        life: the state.
        run: the current or last process; None before the first.
        exits: the exits of the last ten processes.
        ending: how it ended; None before its end.
        error: why a process could not be started; None if none failed.
    """

    def __init__(
        self,
        spec: JobSpec,
        resources: Resources,
        driver: Driver,
        output: Output,
        lock: threading.RLock,
        *,
        publish: Callable[[EventKind, str], None],
        wrote: Callable[[], None],
        settled: Callable[[], None],
    ) -> None:
        self.driver = driver
        self.lock = lock
        self.life = Life(rules_of(spec), time.monotonic())
        self.run: Run | None = None
        self.exits: tuple[Exit, ...] = ()
        self.ending: Ending | None = None
        self.error: Exception | None = None
        self._spec = spec
        self._resources = resources
        self._output = output
        self._publish = publish
        self._wrote = wrote
        self._settled = settled
        self._readiness: Readiness | AtOnce = AT_ONCE
        if spec.ready is not None:
            self._readiness = Readiness(spec.ready, output, resources.census, self._became_ready)
        self._health: Health | None = None
        self._loop_end: LoopEnd | None = None
        self._timer: Timer | None = None
        self._untold: list[Stimulus] | None = None
        self._starting = False

    def start(self) -> None:
        """Start the first process, which then lives on the loop; any thread may call it.

        On any exception, nothing is left of the process.

        Raises:
            OSError: it could not be started.
        """
        with self.lock:
            run = self._launch()
            self._starting = True
            try:
                self._loop_end = LoopEnd(self._abandoned)
                self._loop_end.watch(self.driver.io_loop)
                self.driver.call(self._begin_first)
            except BaseException:
                self.take_back(run)
                raise
            finally:
                self._starting = False

    def fail(self, error: Exception) -> None:
        """End before there was a process, since none could be started."""
        self.tell(self._not_started(error))

    def resize(self, spec: JobSpec) -> None:
        """Give its terminal the size of ``spec``, now and from now on; any thread may call it."""
        self._spec = spec
        if self.run is not None:
            self.run.resize(spec)

    # Hooks for groups

    def make_run(self) -> Run:
        """Return a process that has not been started."""
        return Run(self._spec, self._resources, self._output, self)

    def process_started(self, run: Run) -> None:
        """Called when a process was started, before its pipes are read."""

    def process_exited(self, run: Run) -> None:
        """Called when an exit was seen, before it is published."""

    def is_over(self) -> None:
        """Called at the end, before it is published."""

    # Calls of its process, where the loop is driven; `run_wrote` on any thread

    def run_wrote(self) -> None:
        """Report new output."""
        self._wrote()
        if self._readiness.wants_output and not self._readiness.look_queued:
            # One search is enough for all reads that come while the loop is held.
            self._readiness.look_queued = True
            self.driver.call(self._look)

    def run_exited(self, run: Run) -> None:
        """Record the exit of a process, and decide what follows."""
        assert run.status is not None
        self._readiness.end()
        self._end_health()
        self._record(Exit(run.pid, run.status, run.started, run.started + time.monotonic() - run.began))
        self.process_exited(run)
        members = run.session.members
        left = None if members is None else len(members)
        self.tell(Exited(run.status, run.piping, left, note_of_exit(self._spec, run.status)))

    def run_piped_out(self, run: Run) -> None:
        """Decide what follows the end of a process's last pipe."""
        if run is self.run and run.status is not None:
            self.tell(PipesEnded())

    def run_members_changed(self, run: Run) -> None:
        """Decide what follows a change in the number of processes left in its session."""
        if run is self.run:
            self.tell(MembersSeen(run.session.left))

    # Stimuli and actions

    def tell(self, stimulus: Stimulus) -> None:
        """Decide on a stimulus and carry the actions out; a stimulus that comes meanwhile is queued."""
        if self._untold is not None:
            self._untold.append(stimulus)
            return
        untold = self._untold = [stimulus]
        try:
            while untold:
                self._decide(untold.pop(0))
        finally:
            self._untold = None
        self._arm()
        if self.ending is not None:
            self._settled()

    def _decide(self, stimulus: Stimulus) -> None:
        before = self.life
        life, actions = decide(before, stimulus, time.monotonic())
        if isinstance(before.state, Ended) or not isinstance(life.state, Ended):
            self.life = life
        for action in actions:
            if isinstance(action, Finish):
                # Not earlier, so that a listener to the exit does not see the end already.
                self.life = life
            _DOERS[type(action)](self, action)

    def _arm(self) -> None:
        """Set the timer for the next `TimePassed`."""
        time_due = due(self.life)
        timer = self._timer
        if timer is not None:
            if timer.pending and timer.due == time_due:
                return
            self._cancel_timer()
        if time_due < math.inf:
            self._timer = self.driver.at(time_due, self._time_passed)

    def _time_passed(self) -> None:
        with self.lock:
            if self._timer is not None and due(self.life) <= time.monotonic():
                self._timer = None
                self.tell(TimePassed())
            else:
                self._arm()

    def _start_process(self, _action: StartProcess) -> None:
        try:
            run = self._launch()
        except Exception as error:
            # Fds or memory may be short: the restart policy decides whether to try again.
            self.tell(self._not_started(error))
            return
        try:
            self._begin(run)
        except Exception as error:
            self.take_back(run)
            self._tell_failed(error)

    def _send(self, action: SendSignal) -> None:
        if self.run is not None:
            self.run.signal_session(action.signum)

    def _hurry(self, action: Hurry) -> None:
        if self.run is not None and self.run.status is not None:
            self.run.session.hurry(action.on)

    def _look_at_session(self, _action: Look) -> None:
        if self.run is not None:
            self.run.session.look()

    def _drain(self, _action: Drain) -> None:
        run = self.run
        if run is not None:
            run.drain()
        self.tell(Drained(run is not None and run.piping))

    def _disown(self, _action: Disown) -> None:
        if self.run is not None:
            self.run.session.close()

    def _tell_listeners(self, action: Publish) -> None:
        self._publish(action.kind, action.detail)

    def _warn(self, action: Warn) -> None:
        log.warning(action.words, self._spec.name)

    def _finish(self, _action: Finish) -> None:
        # The last output may be the sign that the job is ready.
        self._readiness.finish()
        self.is_over()
        life = self.life
        assert isinstance(life.state, Ended)
        notes = (*life.notes, f"left {life.left} running") if life.left else life.notes
        self.ending = Ending(
            self.exits[-1].status, life.state.at - life.born, life.ended_by, life.timed_out, notes
        )

    # Its processes

    def _launch(self) -> Run:
        run = self.make_run()
        run.start()
        self.run = run
        return run

    def _begin_first(self) -> None:
        with self.lock:
            run = self.run
            if run is None or run.status is not None:
                return  # It was taken back before this callback ran.
            try:
                self._begin(run)
                self._arm()
            except Exception as error:
                if self._starting:
                    raise
                # The thread that started it has returned already, and cannot get the error.
                self.take_back(run)
                self._tell_failed(error)

    def _begin(self, run: Run) -> None:
        """Take over a process that was started: check its readiness and health, read its pipes."""
        self.process_started(run)
        if self._spec.is_watched:
            means = self._resources, self.driver, self.lock, self._output
            self._health = Health(self._spec, *means, self._unwell)
            self._health.begin(run.pid)
        # This runs inside the actions of another stimulus, whose decision has been made: not queued.
        self._decide(Started(run.pid))
        # Now: by `Started` a sign that was found in output read already would be forgotten.
        self._readiness.begin(self.driver, run.pid, run.offset)
        run.begin()

    def take_back(self, run: Run) -> None:
        """End a process that could not be taken over."""
        run.abandon()
        self._readiness.end()
        self._end_health()
        self._cancel_timer()
        self._forget_loop()

    def _not_started(self, error: Exception) -> NotStarted:
        self.error = error
        now = time.time()
        status = _NOT_EXECUTABLE if isinstance(error, PermissionError) else _CANNOT_RUN
        self._record(Exit(0, status, now, now))
        return NotStarted(status, f"it could not be started again: {str(error) or type(error).__name__}")

    def _tell_failed(self, error: Exception) -> None:
        """Decide what follows after a process that was started has been taken back."""
        failed = self._not_started(error)
        if isinstance(self.life.process, Alive):
            self.tell(Exited(failed.status, piping=False, left=0, note=failed.note))
        else:
            self.tell(failed)

    def _record(self, last: Exit) -> None:
        self.exits = (*self.exits[1 - _KEPT_EXITS :], last)

    def _look(self) -> None:
        with self.lock:
            self._readiness.look_queued = False
            self._readiness.look()

    def _became_ready(self) -> None:
        if isinstance(self.life.state, Ended):
            # Found in the last output: publish it before the end.
            self._decide(BecameReady())
        else:
            self.tell(BecameReady())

    def _unwell(self, why: str) -> None:
        self.tell(Unwell(why))

    def _end_health(self) -> None:
        if self._health is not None:
            self._health.end()
            self._health = None

    def _abandoned(self) -> None:
        """End the life at once, since its loop was closed."""
        with self.lock:
            run = self.run
            if run is None or (self.ending is not None and not self.life.lingers):
                return
            seen = run.status is not None
            ended = run.abandon()
            status = -SIGKILL if ended is None else ended
            self._cancel_timer()
            self._end_health()
            if self.ending is None and not seen:
                self._record(Exit(run.pid, status, run.started, run.started + time.monotonic() - run.began))
            self.tell(Abandoned(status))

    def rest(self) -> None:
        """Release the loop and the timer, since the life has ended and left nothing."""
        self._forget_loop()
        self._cancel_timer()

    def _forget_loop(self) -> None:
        if self._loop_end is not None:
            self._loop_end.forget()
            self._loop_end = None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_DOERS: dict[type[Action], Callable[[Execution, Any], None]] = {
    StartProcess: Execution._start_process,
    SendSignal: Execution._send,
    Hurry: Execution._hurry,
    Look: Execution._look_at_session,
    Drain: Execution._drain,
    Disown: Execution._disown,
    Publish: Execution._tell_listeners,
    Warn: Execution._warn,
    Finish: Execution._finish,
}
