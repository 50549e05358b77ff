"""A job of the local host: it carries out what `ipyproc.model.decide` decides."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from signal import SIGKILL, Signals
from typing import Any

from ipyproc.hosts.base import HostedJob, Listener
from ipyproc.hosts.local.driver import Driver, Timer
from ipyproc.hosts.local.health import Health
from ipyproc.hosts.local.loop_end import LoopEnd
from ipyproc.hosts.local.ready import AT_ONCE, AtOnce, Readiness
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.rested import Rested
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
from ipyproc.model.life import Alive, Ended, Gone, Life, rules_of
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending, Exit, JobState, Status
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
    StopAsked,
    TimePassed,
    Unwell,
)
from ipyproc.spool.output import Output

__all__ = ["LocalJob"]

log = logging.getLogger("ipyproc")

_KEPT_EXITS = 10
_CANNOT_RUN = 127
_NOT_EXECUTABLE = 126


def _new_life(spec: JobSpec) -> Life:
    return Life(rules_of(spec), time.monotonic())


class LocalJob(HostedJob):
    """A job whose processes are children of this process.

    Made by the constructor, started by `start`. Everything after that happens where its loop is driven,
    under its lock; what may be called from any thread says so in `HostedJob`.

    Args:
        spec: what runs, and how.
        resources: the host's.
        driver: of the loop on which it lives.

    Attributes:
        lock: held for whatever is done to it.
    """

    def __init__(
        self,
        spec: JobSpec,
        resources: Resources,
        driver: Driver,
    ) -> None:
        super().__init__(spec, Output(spec.max_output, spec.encoding))
        self._resources = resources
        self._driver = driver
        self._life: Life | Rested = _new_life(spec)
        self._readiness: Readiness | AtOnce = AT_ONCE
        if spec.ready is not None:
            self._readiness = Readiness(spec.ready, self.output, resources.census, self._became_ready)
        self._health: Health | None = None
        self._run: Run | None = None
        self._loop_end: LoopEnd | None = None
        self._timer: Timer | None = None
        self._untold: list[Stimulus] | None = None
        self._starting = False
        self._again = False
        self._lives = 0
        self._last_pid = 0
        self._exits: tuple[Exit, ...] = ()
        self._ending: Ending | None = None
        self._error: Exception | None = None

    # What is known of it

    @property
    def state(self) -> JobState:
        """Return where it is in its life."""
        return self._life.job_state

    @property
    def pid(self) -> int:
        """Return the id of its current or last process; also that of its process group and session."""
        life = self._life
        if self._run is not None:
            return self._run.pid
        process = life.process if isinstance(life, Life) else None
        return process.pid if process is not None else self._last_pid

    @property
    def ending(self) -> Ending | None:
        """Return how it ended; None before its end."""
        return self._ending

    @property
    def left(self) -> int:
        """Return how many processes it has left running, once it has ended."""
        return self._life.left

    @property
    def lingers(self) -> bool:
        """Return whether it has ended, and what it left running, or their output, may have more to tell."""
        return self._life.lingers

    def status(self) -> Status:
        """Return what is known of it at this moment."""
        life, ending, now = self._life, self._ending, time.monotonic()
        elapsed, uptime, returncode = 0.0, None, None
        if isinstance(life, Life):
            elapsed = now - life.born
            if isinstance(life.process, Alive):
                uptime = now - life.process.since
            elif isinstance(life.process, Gone):
                returncode = life.process.status
        return Status(
            state=life.job_state,
            pid=self.pid,
            elapsed=ending.elapsed if ending else elapsed,
            uptime=uptime,
            returncode=ending.status if ending else returncode,
            exits=self._exits,
            restarts=life.restarts,
            max_restarts=None if self.spec.restart == "no" else self.spec.max_restarts,
            ready=life.ready or self.spec.ready is None,
            notes=life.notes,
            ending=ending,
            left=life.left,
            lives=self._lives,
            again=self._again,
            error=self._error,
        )

    # What can be done to it

    def start(self) -> None:
        """Start its first process, in any thread, and have it looked after on the loop.

        Raises:
            OSError: it cannot be started. Nothing is left of it by then, whatever was raised.
        """
        with self.lock:
            run = self._launch()
            self._resources.living.add(self)
            self._starting = True
            try:
                self._loop_end = LoopEnd(self._abandoned)
                self._loop_end.watch(self._driver.io_loop)
                self._driver.call(self._begin_first)
            except BaseException:
                self._take_back(run)
                raise
            finally:
                self._starting = False

    def stop(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        """Have it end by the signals of ``ladder``; see `HostedJob.stop`."""
        self._driver.soon(partial(self._stop, grace, ladder))

    def kill(self) -> None:
        """Have every process of it end by SIGKILL, at once."""
        if self._ending is None and self._run is not None:
            self._run.kill_now()
        if self._ending is None or self.left:
            self._driver.soon(partial(self._stop, 0.0, (SIGKILL,)))

    def signal(self, signum: int) -> bool:
        """Send a signal to its program; see `ipyproc.hosts.local.targets`."""
        run = self._run
        return run is not None and run.signal(signum)

    def restart(self, grace: float, ladder: tuple[Signals, ...]) -> None:
        """Stop it and start it anew; see `HostedJob.restart`."""
        if self._ending is not None and self._driver.closed:
            self._driver = self._resources.loops.find_driver()

        def begin() -> None:
            with self.lock:
                if self._ending is None or self.left:
                    self._tell(StopAsked(grace, ladder))
                elif self._again:
                    self._live_again()

        # At once: whoever wants to end it from now on takes it back.
        self._again = True
        self._driver.soon(begin)

    @property
    def takes_input(self) -> bool:
        """Return whether there may be more for its standard input."""
        run = self._run
        return self._ending is None and run is not None and run.takes_input

    @property
    def unread_input(self) -> int:
        """Return how many bytes that were written to it wait, since it has not taken them yet."""
        run = self._run
        return 0 if run is None else run.unread_input

    def write(self, data: bytes, *, close: bool = False) -> None:
        """Write to its standard input; see `HostedJob.write`."""
        run = self._run
        if run is not None:
            if close:
                run.end_input()
            run.write(data, close=close)

    def block_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Block this thread until ``condition`` holds, and drive the jobs of its loop meanwhile."""
        return self._driver.block_until(condition, timeout)

    def abandon(self) -> None:
        """End it at once, in any thread, and wait for its exit."""
        with self.lock:
            if self._run is not None:
                self._take_back(self._run)

    def soon(self, work: Callable[[], None]) -> None:
        """Have ``work`` run where its loop is driven, after what was handed in before."""
        self._driver.soon(work)

    def listen(self, listener: Listener, since: int = 0) -> None:
        """Have ``listener`` called with what has happened, and what happens, where its loop is driven."""
        self._driver.call(partial(super().listen, listener, since))

    def release(self) -> None:
        """Give back its output, and close its pipes though another process may still hold them."""
        with self.lock:
            if self._run is not None:
                self._run.cut()
        self.output.close()

    # For the host, at the end of this process and in a fork of it

    def sessions(self) -> list[int]:
        """Return the sessions in which a process of it runs; it looks at what the job has left."""
        run = self._run
        if run is None or run.session.is_empty:
            return []
        return [run.pid] if run.status is None or run.session.may_be_ended() else []

    def reap(self, seconds: float) -> None:
        """Wait for the exit of its process without the loop, so many seconds."""
        if self._run is not None:
            self._run.reap(seconds)

    def lose(self) -> None:
        """Let go of its pipes in a fork of the process, whose they are not."""
        self.lock = threading.RLock()
        if self._run is not None:
            self._run.lose()

    # What a group does otherwise

    def _make_run(self) -> Run:
        return Run(self.spec, self._resources, self.output, self)

    def _process_started(self, run: Run) -> None:
        """A process has been started; before it is looked after."""

    def _process_exited(self, run: Run) -> None:
        """The exit of a process has been seen, and nobody has been told of it."""

    def _is_over(self) -> None:
        """It has ended, and nobody has been told of it."""

    # What its process tells, where the loop is driven; `run_wrote` in any thread

    @property
    def driver(self) -> Driver:
        """Of the loop on which it lives."""
        return self._driver

    def run_wrote(self) -> None:
        """Its process wrote something."""
        self.wrote()
        if self._readiness.wants_output and not self._readiness.look_queued:
            # Of many reads while the loop is held, one look is enough.
            self._readiness.look_queued = True
            self._driver.call(self._look)

    def run_exited(self, run: Run) -> None:
        """The exit of a process has been seen."""
        assert run.status is not None
        self._readiness.end()
        self._end_health()
        self._record(Exit(run.pid, run.status, run.started, run.started + time.monotonic() - run.began))
        self._process_exited(run)
        members = run.session.members
        left = None if members is None else len(members)
        self._tell(Exited(run.status, run.piping, left, note_of_exit(self.spec, run.status)))

    def run_piped_out(self, run: Run) -> None:
        """The last pipe of a process is at its end."""
        if run is self._run and run.status is not None:
            self._tell(PipesEnded())

    def run_members_changed(self, run: Run) -> None:
        """A look has found another number of processes in its session."""
        if run is self._run:
            self._tell(MembersSeen(run.session.left))

    # Telling and doing

    def _stop(self, grace: float | None, ladder: tuple[Signals, ...], note: str = "") -> None:
        with self.lock:
            if grace is not None:
                self._again = False
            self._tell(StopAsked(grace, ladder, note))

    def _tell(self, stimulus: Stimulus) -> None:
        """Have it decided what follows, and do it; what comes in the midst of that comes after it.

        Nothing happens to a job at rest.
        """
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
        if isinstance(self._life, Life) and isinstance(self._life.state, Ended):
            self._go_on()

    def _decide(self, stimulus: Stimulus) -> None:
        before = self._life
        if not isinstance(before, Life):
            return
        life, actions = decide(before, stimulus, time.monotonic())
        if isinstance(before.state, Ended) or not isinstance(life.state, Ended):
            self._life = life
        for action in actions:
            if isinstance(action, Finish):
                # Not before: who is told of the exit is not to see the end already.
                self._life = life
            _DOERS[type(action)](self, action)

    def _arm(self) -> None:
        """See to it that `TimePassed` is told when something is due."""
        time_due = self._due()
        timer = self._timer
        if timer is not None:
            if timer.pending and timer.due == time_due:
                return
            timer.cancel()
            self._timer = None
        if time_due < math.inf:
            self._timer = self._driver.at(time_due, self._time_passed)

    def _due(self) -> float:
        return due(self._life) if isinstance(self._life, Life) else math.inf

    def _time_passed(self) -> None:
        with self.lock:
            if self._timer is not None and self._due() <= time.monotonic():
                self._timer = None
                self._tell(TimePassed())
            else:
                self._arm()

    def _start_process(self, _action: StartProcess) -> None:
        try:
            run = self._launch()
        except Exception as error:
            # For want of fds or memory perhaps: the policy decides whether it is tried once more.
            self._tell(self._not_started(error))
            return
        try:
            self._begin(run)
        except Exception as error:
            self._take_back(run)
            self._tell_failed(error)

    def _send(self, action: SendSignal) -> None:
        if self._run is not None:
            self._run.signal_session(action.signum)

    def _hurry(self, action: Hurry) -> None:
        if self._run is not None and self._run.status is not None:
            self._run.session.hurry(action.on)

    def _look_at_session(self, _action: Look) -> None:
        if self._run is not None:
            self._run.session.look()

    def _drain(self, _action: Drain) -> None:
        run = self._run
        if run is not None:
            run.drain()
        self._tell(Drained(run is not None and run.piping))

    def _disown(self, _action: Disown) -> None:
        if self._run is not None:
            self._run.session.close()

    def _publish(self, action: Publish) -> None:
        self.publish(action.kind, action.detail)

    def _warn(self, action: Warn) -> None:
        log.warning(action.words, self.spec.name)

    def _finish(self, _action: Finish) -> None:
        # What it has written last may be the sign that it is ready.
        self._readiness.finish()
        self._is_over()
        life = self._life
        assert isinstance(life, Life) and isinstance(life.state, Ended)
        notes = (*life.notes, f"left {life.left} running") if life.left else life.notes
        self._ending = Ending(
            self._exits[-1].status, life.state.at - life.born, life.ended_by, life.timed_out, notes
        )

    # Its processes

    def _launch(self) -> Run:
        run = self._make_run()
        run.start()
        self._run = run
        return run

    def _begin_first(self) -> None:
        with self.lock:
            run = self._run
            if run is None or run.status is not None:
                return  # It was taken back before this came round.
            try:
                self._begin(run)
                self._arm()
            except Exception as error:
                if self._starting:
                    raise
                # Another thread has started it, and is gone.
                self._take_back(run)
                self._tell_failed(error)

    def _begin(self, run: Run) -> None:
        """Have a process that was started looked after."""
        self._process_started(run)
        self._readiness.begin(self._driver, run.pid, run.offset)
        if self.spec.is_watched:
            self._health = Health(
                self.spec, self._resources, self._driver, self.lock, self.output, self._unwell
            )
            self._health.begin(run.pid)
        # In the midst of what is done for another stimulus, which has been decided by now.
        self._decide(Started(run.pid))
        run.begin()

    def _take_back(self, run: Run) -> None:
        """End a process that nobody could look after."""
        run.abandon()
        self._resources.living.discard(self)
        self._readiness.end()
        self._end_health()
        self._cancel_timer()
        self._forget_loop()

    def _not_started(self, error: Exception) -> NotStarted:
        self._error = error
        now = time.time()
        status = _NOT_EXECUTABLE if isinstance(error, PermissionError) else _CANNOT_RUN
        self._record(Exit(0, status, now, now))
        return NotStarted(status, f"it could not be started again: {str(error) or type(error).__name__}")

    def _tell_failed(self, error: Exception) -> None:
        """Tell that a process that was started has been taken back."""
        failed = self._not_started(error)
        if isinstance(self._life, Life) and isinstance(self._life.process, Alive):
            self._tell(Exited(failed.status, piping=False, left=0, note=failed.note))
        else:
            self._tell(failed)

    def _record(self, last: Exit) -> None:
        self._exits = (*self._exits[1 - _KEPT_EXITS :], last)

    def _look(self) -> None:
        with self.lock:
            self._readiness.look_queued = False
            self._readiness.look()

    def _became_ready(self) -> None:
        if isinstance(self._life, Life) and isinstance(self._life.state, Ended):
            # At its very end: it is told before the end is.
            self._decide(BecameReady())
        else:
            self._tell(BecameReady())

    def _unwell(self, why: str) -> None:
        self._tell(Unwell(why))

    def _end_health(self) -> None:
        if self._health is not None:
            self._health.end()
            self._health = None

    # After its end

    def _go_on(self) -> None:
        """Start it anew where that was asked for; else rest, once nothing more can be told."""
        if self._again and not self._driver.closed:
            if not self.left:
                self._live_again()
            return
        self._again = False
        if not self.lingers:
            self._rest()

    def _live_again(self) -> None:
        self._again = False
        self._forget_loop()
        self._last_pid = self.pid
        self._lives += 1
        self._life = _new_life(self.spec)
        self._exits, self._ending, self._error = (), None, None
        try:
            self.start()
        except Exception as error:
            self._tell(self._not_started(error))

    def _rest(self) -> None:
        """Hold no more than an ended job needs to be looked at, and started again."""
        self._forget_loop()
        self._cancel_timer()
        self.output.settle()
        self._last_pid, self._run = self.pid, None
        if isinstance(self._life, Life):
            self._life = Rested.of(self._life)
        self._resources.at_rest(self)
        for given in self.spec.inputs:
            given.let_go()

    def _abandoned(self) -> None:
        """End it where it is: its loop was closed, and nobody can look after it any more."""
        with self.lock:
            run = self._run
            if run is None or (self._ending is not None and not self.lingers):
                return
            seen = run.status is not None
            status = run.abandon()
            if status is None:
                status = -SIGKILL
            self._cancel_timer()
            self._end_health()
            if self._ending is None and not seen:
                self._record(Exit(run.pid, status, run.started, run.started + time.monotonic() - run.began))
            self._tell(Abandoned(status))

    def _forget_loop(self) -> None:
        if self._loop_end is not None:
            self._loop_end.forget()
            self._loop_end = None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_DOERS: dict[type[Action], Callable[[LocalJob, Any], None]] = {
    StartProcess: LocalJob._start_process,
    SendSignal: LocalJob._send,
    Hurry: LocalJob._hurry,
    Look: LocalJob._look_at_session,
    Drain: LocalJob._drain,
    Disown: LocalJob._disown,
    Publish: LocalJob._publish,
    Warn: LocalJob._warn,
    Finish: LocalJob._finish,
}
