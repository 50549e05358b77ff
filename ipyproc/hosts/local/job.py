"""A job of the local host: its lives one after another, and the facts that are kept of the last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from signal import SIGKILL, Signals

from ipyproc.hosts.base import HostedJob
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.execution import Execution
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.rested import Rested
from ipyproc.hosts.source import Listener
from ipyproc.model.life import Alive, Gone, Life
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending, Exit, JobState, Status
from ipyproc.model.stimulus import StopAsked
from ipyproc.model.usage import UsageHistory, UsagePoint
from ipyproc.spool.output import Output

__all__ = ["LocalJob"]


class LocalJob(HostedJob):
    """A job whose processes are children of this process.

    The constructor starts nothing; `start` starts the job. `HostedJob` says which methods any thread may
    call; call the others where the loop is driven, with the lock held.

    Args:
        spec: what runs, and how.
        resources: the resources of the host.
        driver: the driver of the loop on which it lives.
    """

    # Of the class until there is something to tell: most jobs end before, and an ended one is to cost little.
    _history: UsageHistory | None = None

    def __init__(self, spec: JobSpec, resources: Resources, driver: Driver) -> None:
        super().__init__(spec, Output(spec.max_output, spec.encoding, terminal=spec.tty))
        self._resources = resources
        self._driver = driver
        self._born = time.monotonic()
        self._again = False
        self._lives = 0
        self._pid = 0
        self._last_exits: tuple[Exit, ...] = ()
        self._last_ending: Ending | None = None
        self._last_error: Exception | None = None
        self._last_life: Rested | None = None
        # None once the job has ended and left nothing, so that nothing can happen to it.
        self._execution: Execution | None = self._make_execution()

    # What is known of it

    @property
    def state(self) -> JobState:
        """Return where it is in its life."""
        return self._life.job_state

    @property
    def pid(self) -> int:
        """The pid of the current or last process, which is also that of its process group and session."""
        execution = self._execution
        if execution is None or execution.run is None:
            return self._pid
        return execution.run.pid

    @property
    def ending(self) -> Ending | None:
        """How it ended; None before its end."""
        execution = self._execution
        return self._last_ending if execution is None else execution.ending

    @property
    def left(self) -> int:
        """The number of processes that it left running; 0 before its end."""
        return self._life.left

    @property
    def lingers(self) -> bool:
        """True if it has ended but left processes running or pipes open, so that more events may come."""
        return self._life.lingers

    def status(self) -> Status:
        """Return what is known of it at this moment."""
        # Another thread may start the job anew meanwhile. In this order: a count that includes the new life,
        # or the restart as done, never comes with the end of the life before.
        lives, again = self._lives, self._again
        execution = self._execution
        ending = self._last_ending if execution is None else execution.ending
        known = self._last_life if execution is None else execution.life
        assert known is not None
        elapsed, uptime, returncode = 0.0, None, None
        if execution is not None:
            now, process = time.monotonic(), execution.life.process
            elapsed = now - execution.life.born
            if isinstance(process, Alive):
                uptime = now - process.since
            elif isinstance(process, Gone):
                returncode = process.status
        return Status(
            state=known.job_state,
            pid=self._pid if execution is None or execution.run is None else execution.run.pid,
            elapsed=ending.elapsed if ending else elapsed,
            uptime=uptime,
            returncode=ending.status if ending else returncode,
            exits=self._last_exits if execution is None else execution.exits,
            restarts=known.restarts,
            max_restarts=None if self.spec.restart == "no" else self.spec.max_restarts,
            ready=known.ready or self.spec.ready is None,
            notes=known.notes,
            ending=ending,
            left=known.left,
            lives=lives,
            again=again,
            error=self._last_error if execution is None else execution.error,
        )

    @property
    def age(self) -> float | None:
        """The seconds since it was started; None while it has no process."""
        execution = self._execution
        if execution is None or not isinstance(execution.life.process, Alive):
            return None
        return time.monotonic() - self._born

    def usage(self) -> list[UsagePoint]:
        """Return what it used; see `HostedJob.usage`."""
        return [] if self._history is None else self._history.points()

    def add_usage(self, point: UsagePoint) -> None:
        """Take what it uses at this moment; on the thread of the census."""
        if self._history is None:
            self._history = UsageHistory()
        self._history.add(point)

    # What can be done to it

    def start(self) -> None:
        """Start its first process, which then lives on the loop; any thread may call it.

        On any exception, nothing is left of the process.

        Raises:
            OSError: it could not be started.
        """
        if self._execution is not None:
            self._resources.living.add(self)
            try:
                self._execution.start()
            except BaseException:
                self._resources.living.discard(self)
                raise
            self._resources.usage.begin(self._driver)

    def stop(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        """Stop it by the signals of ``ladder``; see `HostedJob.stop`."""
        self._driver.soon(partial(self._stop, StopAsked(grace, ladder)))

    def kill(self) -> None:
        """Send SIGKILL to every process of it at once."""
        execution = self._execution
        if execution is not None:
            if execution.ending is None and execution.run is not None:
                execution.run.kill_now()
            self.stop(0.0, (SIGKILL,))

    def signal(self, signum: int) -> bool:
        """Send a signal to its program; see `ipyproc.hosts.local.targets`."""
        execution = self._execution
        return execution is not None and execution.run is not None and execution.run.signal(signum)

    def restart(self, grace: float, ladder: tuple[Signals, ...]) -> None:
        """Stop it and start it anew; see `HostedJob.restart`."""
        if self.ending is not None and self._driver.closed:
            self._driver = self._resources.loops.find_driver()

        def begin() -> None:
            with self.lock:
                if self._execution is not None and (self.ending is None or self.left):
                    self._execution.tell(StopAsked(grace, ladder))
                elif self._again:
                    self._live_again()

        # Set at once, so that a stop that is requested from now on cancels the restart.
        self._again = True
        self._driver.soon(begin)

    @property
    def takes_input(self) -> bool:
        """Return whether there may be more for its standard input."""
        execution = self._execution
        if execution is None or execution.ending is not None or execution.run is None:
            return False
        return execution.run.takes_input

    @property
    def unread_input(self) -> int:
        """Return how many bytes that were written to it wait, since it has not taken them yet."""
        execution = self._execution
        return 0 if execution is None or execution.run is None else execution.run.unread_input

    @property
    def hides_input(self) -> bool:
        """Return whether its terminal reads a line that it does not echo."""
        execution = self._execution
        return execution is not None and execution.run is not None and execution.run.hides_input

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal, of this process and of those that follow; see `HostedJob.resize`."""
        super().resize(rows, columns)
        if (execution := self._execution) is not None:
            execution.resize(self.spec)

    def write(self, data: bytes, *, close: bool = False) -> None:
        """Write to its standard input; see `HostedJob.write`."""
        execution = self._execution
        if execution is not None and execution.run is not None:
            if close:
                execution.run.end_input()
            execution.run.write(data, close=close)

    def block_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Block this thread until ``condition`` holds, and drive the jobs of its loop meanwhile."""
        return self._driver.block_until(condition, timeout)

    def abandon(self) -> None:
        """End it at once, in any thread, and wait for its exit."""
        with self.lock:
            execution = self._execution
            if execution is not None and execution.run is not None:
                execution.take_back(execution.run)
            self._resources.living.discard(self)

    def soon(self, work: Callable[[], None]) -> None:
        """Queue ``work`` to run where its loop is driven."""
        self._driver.soon(work)

    def listen(self, listener: Listener, since: int = 0) -> None:
        """Call ``listener`` with past and future events, where its loop is driven."""
        self._driver.call(partial(super().listen, listener, since))

    def release(self) -> None:
        """Free its output, and close its pipes even if another process holds them open."""
        with self.lock:
            if self._execution is not None and self._execution.run is not None:
                self._execution.run.cut()
        self.output.close()

    # For the host, at the end of this process and in a fork of it

    def sessions(self) -> list[int]:
        """Return the sessions in which its processes run; this lists the processes, and blocks."""
        execution = self._execution
        run = None if execution is None else execution.run
        if run is None or run.session.is_empty:
            return []
        return [run.pid] if run.status is None or run.session.may_be_ended() else []

    def reap(self, seconds: float) -> None:
        """Wait for the exit of its process without the loop, for ``seconds`` at most."""
        if self._execution is not None and self._execution.run is not None:
            self._execution.run.reap(seconds)

    def lose(self) -> None:
        """Let go of its pipes in a fork of the process, whose they are not."""
        self.lock = threading.RLock()
        if (execution := self._execution) is not None:
            execution.lock = self.lock
            if execution.run is not None:
                execution.run.lose()

    # Its lives

    @property
    def _life(self) -> Life | Rested:
        """The facts of its current or last life."""
        execution = self._execution
        if execution is not None:
            return execution.life
        assert self._last_life is not None
        return self._last_life

    def _make_execution(self) -> Execution:
        return Execution(
            self.spec,
            self._resources,
            self._driver,
            self.output,
            self.lock,
            publish=self.publish,
            wrote=self.wrote,
            settled=self._go_on,
        )

    def _stop(self, asked: StopAsked) -> None:
        with self.lock:
            if asked.grace is not None:
                self._again = False
            if self._execution is not None:
                self._execution.tell(asked)

    def _go_on(self) -> None:
        """Start it anew where that was asked for; else rest, once nothing more can be told."""
        if self.ending is None:
            return  # It lives anew, and it was the life before of which something was told yet.
        if self._again and not self._driver.closed:
            if not self.left:
                self._live_again()
            return
        self._again = False
        if not self.lingers:
            self._rest()

    def _live_again(self) -> None:
        self._pid = self.pid
        if self._execution is not None:
            self._execution.rest()
        # In this order: see `status`.
        self._execution = execution = self._make_execution()
        self._lives += 1
        self._again = False
        try:
            self.start()
        except Exception as error:
            execution.fail(error)

    def _rest(self) -> None:
        """Drop all that an ended job does not need to be shown and to be started again."""
        execution = self._execution
        if execution is None:
            return
        execution.rest()
        if self._history is not None:
            self._history.rest()
        self.output.settle()
        for given in self.spec.inputs:
            given.let_go()
        self._pid = self.pid
        self._last_exits, self._last_error = execution.exits, execution.error
        self._last_ending, self._last_life = execution.ending, Rested.of(execution.life)
        self._execution = None
        self._resources.at_rest(self)
