"""`Job`: a command under a name, with its output, its state and its restart policy."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from typing import Protocol, cast

from ipyproc.errors import JobFailed, JobStateError, JoinTimeout, NotReadyError, ReadyTimeout, signal_name
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.ended import EndedLife, EndedRun, ended_life
from ipyproc.hosts.local.health import Health
from ipyproc.hosts.local.life import LADDER, Life, stop_ladder
from ipyproc.hosts.local.ready import AT_ONCE, AtOnce, Readiness
from ipyproc.hosts.local.run import Home, Run, Watcher
from ipyproc.job.result import Result
from ipyproc.job.waiters import Waiters
from ipyproc.model.event import Event, EventKind
from ipyproc.model.spec import JobSpec, need_seconds, need_signal
from ipyproc.model.state import JobState, Snapshot, describe_status
from ipyproc.model.text import input_bytes
from ipyproc.spool.output import LineReader, Output, Piece, StreamName

__all__ = ["Job", "Table"]

log = logging.getLogger("ipyproc")

_DETAIL_LINES = 10
_DETAIL_BYTES = 8192


class Table(Home, Protocol):
    """What a job needs of the table in which it stands."""

    def find_driver(self) -> Driver:
        """The driver of the loop on which jobs that are started now live."""

    def claim(self, job: Job) -> None:
        """See to it that a job that is started anew stands in the table under its name.

        Raises:
            JobNameError: another job has the name by now.
        """

    def tell(self, job: Job, event: Event) -> None:
        """Hands on what happened to a job; in any thread for ``WROTE`` and ``AWAITED``."""


class Job:
    """A command that runs, or ran; `ipyproc.spawn` makes it.

    Awaiting it gives a `Result`, or raises `JobFailed` (a `subprocess.CalledProcessError`) when its
    exit status is not 0::

        job = ipyproc.spawn("make -j4", name="build")
        result = await job

    Its output is there while it runs, and after its end::

        print(job.tail(5))
        async for line in job:
            print(line)

    Any number of awaits may be made, from any cell, loop and thread, before and after the end;
    cancelling one leaves the job alone. All methods may be called from any thread. The job leads a
    session of its own, so that signals for the kernel's process group do not reach it. A stop, a
    timeout, `kill` and the kernel's end reach every process of that session; `signal` the program.
    """

    def __init__(self, spec: JobSpec, table: Table) -> None:
        self._spec = spec
        self._table = table
        self._lock = threading.RLock()
        self._driver = table.find_driver()
        self._output = Output(spec.max_output, spec.encoding)
        self._changes = Waiters()
        self._reads = Waiters()
        self._readiness: Readiness | AtOnce = AT_ONCE
        if spec.ready is not None:
            self._readiness = Readiness(spec.ready, self._output, table.census, self._became_ready)
        self._listeners: tuple[Callable[[Event], None], ...] = ()
        self._again = False
        self._look_queued = False
        self._health: Health | None = None
        self._last_run: Run | EndedRun | None = None
        self._result: Result | None = None
        self._last_result: Result | None = None
        self._lives = 0
        life = self._new_life()
        self._life: Life | EndedLife = life
        life.start()

    # What it is

    @property
    def name(self) -> str:
        """Its name in the table."""
        return self._spec.name

    @property
    def command(self) -> str | list[str]:
        """The command as it was given."""
        command = self._spec.command
        return command if isinstance(command, str) else list(command)

    @property
    def pid(self) -> int:
        """The process id of its current or last process; also its process group and session."""
        return self._run.pid

    @property
    def state(self) -> JobState:
        """Where it is in its life: "running", "stopping", "waiting to restart", "exited" or "gave up"."""
        return self._life.state

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it."""
        return self._result is not None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None until it has ended."""
        return self._result.returncode if self._result else None

    @property
    def quiet(self) -> bool:
        """Whether its cell shows nothing of it."""
        return self._spec.quiet

    @property
    def encoding(self) -> str:
        """What its bytes are as text."""
        return self._spec.encoding

    def __repr__(self) -> str:
        if self._result is None:
            return f"<Job {self.name!r} {self.state.value}, pid {self.pid}, {self._life.elapsed:.0f} s>"
        status = self._result.returncode
        ending = f"ended by {signal_name(-status)}" if status < 0 else f"exited {status}"
        if self.state is JobState.GAVE_UP:
            ending = f"gave up, {ending}"
        return f"<Job {self.name!r} {ending}>"

    @property
    def left(self) -> int:
        """How many processes it has left running, once it has ended; `stop` ends them."""
        return self._life.left

    @property
    def lingers(self) -> bool:
        """Whether there may be more of it though it has ended: what it left running, and its output."""
        return self.done and self._life.lingers

    def snapshot(self) -> Snapshot:
        """An immutable picture of this moment, for a view."""
        life, run, output = self._life, self._run, self._output
        notes = life.notes
        if output.dropped:
            notes += (f"the oldest {output.dropped:,} bytes of output were dropped (max_output)",)
        if output.lost:
            notes += (f"{output.lost:,} bytes of output could not be kept ({output.lost_because})",)
        return Snapshot(
            name=self.name,
            command=self._spec.shown_command,
            state=life.state,
            pid=run.pid,
            elapsed=life.elapsed,
            uptime=None if run.status is not None else time.monotonic() - run.began,
            returncode=life.exits[-1].status if life.ending else run.status,
            exits=life.exits,
            restarts=life.restarts,
            max_restarts=None if self._spec.restart == "no" else self._spec.max_restarts,
            ready=self._readiness.ready if self._spec.ready is not None else None,
            size=output.end + output.lost,
            dropped=output.dropped,
            lost=output.lost,
            last_line=output.last_line(),
            notes=notes,
            ended_by=life.ending.ended_by if life.ending else None,
            left_running=life.left,
        )

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Has ``listener`` called with every event; returns what ends that.

        It is called on the job's loop; for ``WROTE`` and ``AWAITED``, in other threads as well.

        Args:
            listener: takes an `ipyproc.model.spec.Event`. An exception of its own is logged.
        """
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            # One of them, should it be there twice.
            listeners = list(self._listeners)
            if listener in listeners:
                listeners.remove(listener)
            self._listeners = tuple(listeners)

        return unsubscribe

    # Its end

    def __await__(self) -> Generator[object, None, Result]:
        """Waits for its end, as `wait` does."""
        return self.wait().__await__()

    async def wait(self, raise_error: bool = True) -> Result:
        """Waits for its end: its process has exited, and its pipes are at their end.

        Args:
            raise_error: whether an exit status other than 0 is an error.

        Raises:
            JobFailed: the exit status is not 0; with the last lines of its stderr.
        """
        __tracebackhide__ = True
        self._tell(EventKind.AWAITED)
        await self._until(lambda: self._result is not None)
        return self._checked(cast(Result, self._result), raise_error)

    async def ready(self, timeout: float | None = None) -> Job:
        """Waits until it is ready, as its ``ready=`` says; at once when it has none.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.

        Raises:
            NotReadyError: it ended before it was ready; with the last lines of its output.
            ReadyTimeout: it was not ready in time (a `TimeoutError`); the job goes on.
        """
        __tracebackhide__ = True
        need_seconds("timeout", timeout)

        def settled() -> bool:
            return self._readiness.ready or self._result is not None

        try:
            # Python 3.11's wait_for gives nobody a chance who has no time.
            if not settled():
                await asyncio.wait_for(self._until(settled), timeout)
        except asyncio.TimeoutError:
            late = f"was not ready within {timeout:g} s; it goes on running"
            raise ReadyTimeout(f"Job {self.name!r} {late}{self._tail_of_error()}") from None
        if not self._readiness.ready:
            ending = describe_status(cast(Result, self._result).returncode)
            raise NotReadyError(
                f"Job {self.name!r} ended ({ending}) before it was ready{self._tail_of_error()}"
            )
        return self

    def join(self, timeout: float | None = None, raise_error: bool = True) -> Result:
        """Block until its end, in code that cannot await; what `wait` is in a coroutine.

        Where the loop is held by this very call, the call drives the job: its output is read, its timers
        fire, it is restarted. An interrupt (KeyboardInterrupt) leaves the job running.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.
            raise_error: whether an exit status other than 0 is an error.

        Raises:
            JobFailed: the exit status is not 0; with the last lines of its stderr.
            JoinTimeout: it has not ended in time (a `TimeoutError`); the job goes on.
        """
        __tracebackhide__ = True
        need_seconds("timeout", timeout)
        self._tell(EventKind.AWAITED)
        if not self._driver.block_until(lambda: self._result is not None, timeout):
            late = "" if timeout is None else f" within {timeout:g} s"
            raise JoinTimeout(f"Job {self.name!r} has not ended{late}; it goes on running.")
        return self._checked(cast(Result, self._result), raise_error)

    async def stop(self, grace: float = 2.0) -> Result:
        """End it: its stop signal (SIGINT), after ``grace`` seconds SIGTERM, after as many again SIGKILL.

        It is not restarted. Its whole session is empty when this returns, and ``result.ended_by`` says
        which signal ended it. What an ended job has left running is ended likewise. Never raises for the
        exit status.

        Args:
            grace: seconds between the signals.
        """
        need_seconds("grace", grace)
        lives = self._lives

        # Of a thousand that are stopped together each does in its own time what takes any.
        def begin() -> None:
            self._tell(EventKind.AWAITED)
            with self._lock:
                self._again = False
                self._life.stop(grace, ladder=stop_ladder(self._spec.stop_signal))

        # Somebody else may start it anew before this one comes round.
        def ended() -> bool:
            return self._lives > lives or (self._result is not None and not self.left)

        self._driver.soon(begin)
        await self._until(ended)
        return cast(Result, self._result or self._last_result)

    async def restart(self, grace: float = 2.0) -> Job:
        """Stop it, as `stop` does, and start it anew; when it has ended, just that.

        Its output goes on after the old. Returns when the new process runs.

        Args:
            grace: seconds between the signals.

        Raises:
            OSError: it cannot be started again.
            JobNameError: it has ended, and another job has its name by now.
            JobStateError: it was stopped, by somebody else, before it was started again; or it has ended,
                and its input was so large (over 64 kB) that it was let go of.
        """
        need_seconds("grace", grace)
        lives = self._lives
        if self.done:
            for given in self._spec.inputs:
                given.need(self.name)
            self._table.claim(self)
            if self._driver.closed:
                self._driver = self._table.find_driver()

        def begin() -> None:
            with self._lock:
                if not self.done or self.left:
                    self._life.stop(grace, ladder=stop_ladder(self._spec.stop_signal))
                elif self._again:
                    self._live_again()

        # At once: whoever wants to end it from now on takes it back.
        self._again = True
        self._driver.soon(begin)
        await self._until(lambda: self._lives > lives or not self._again)
        if self._lives == lives:
            raise JobStateError(
                f"Job {self.name!r} was stopped before it was started again; restart it once more."
            )
        if self._life.error is not None and self.done:
            raise self._life.error
        return self

    def signal(self, signum: int) -> None:
        """Send a signal to its program.

        Where a shell runs a script, those programs in it get the signal that handle it, and a signal that
        ends goes to the shell's process group; see `ipyproc.hosts.local.targets`. For every process of the
        job there are `stop` and `kill`.

        Args:
            signum: such as ``signal.SIGHUP``, or its number.

        Raises:
            JobStateError: it has ended.
            JobSpecError: there is no such signal (a `ValueError`).
        """
        need_signal(signum)
        if self.done or not self._run.signal(signum):
            raise JobStateError(
                f"Job {self.name!r} has no process now ({self.state.value}), so {signal_name(signum)} "
                "cannot be sent to it; restart it first."
            )

    def kill(self) -> None:
        """End every process of it at once with SIGKILL; it is not restarted. Harmless when it has ended."""

        def begin() -> None:
            with self._lock:
                self._again = False
                self._life.stop(0.0, ladder=LADDER[-1:])

        if not self.done:
            self._run.kill_now()
        if not self.done or self.left:
            self._driver.soon(begin)

    def interrupt(self, times: int) -> None:
        """Do to it what an interrupt does in the foreground: SIGINT, then SIGTERM, then SIGKILL.

        Args:
            times: which interrupt this is, from 1.
        """
        signum = LADDER[min(times, len(LADDER)) - 1]
        self._driver.soon(lambda: self._life.stop(None, ladder=(signum,)))

    # Its input

    def send(self, text: str | bytes) -> None:
        """Writes to its standard input; what it does not read yet is kept, and blocks nobody.

        Args:
            text: written as it is; a line needs its ``\\n``.

        Raises:
            JobStateError: it has ended, or its standard input has been closed.
            JobSpecError: what was given is neither text nor bytes (a `ValueError`).
        """
        run = self._run
        if self.done or not run.takes_input:
            what = "has ended" if self.done else "has its standard input closed"
            raise JobStateError(f"Job {self.name!r} {what}, so nothing can be sent to it; start it again.")
        run.write(input_bytes(text, self.encoding), close=False)

    def close_stdin(self) -> None:
        """Closes its standard input, after what was sent has been written. Harmless when closed."""
        run = self._run
        if run.takes_input:
            run.end_input()
            run.write(b"", close=True)

    # Its output

    @property
    def output(self) -> str:
        """Its output so far, both streams in the order of their arrival."""
        return self._output.text()

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return self._output.text("stdout")

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return self._output.text("stderr")

    @property
    def size(self) -> int:
        """The offset past the newest byte of its output."""
        return self._output.end

    def tail(self, n: int = 10, max_bytes: int | None = None) -> str:
        """The last ``n`` lines of its output, of its last ``max_bytes`` bytes at most."""
        return self._output.tail(n, max_bytes)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of its output from offset ``start`` to ``stop``, both streams as they came.

        Offsets count all bytes that came, from 0 on; those that went because of ``max_output`` are left out.
        """
        return self._output.read(start, stop)

    def pieces(self, start: int = 0, stop: int | None = None) -> list[Piece]:
        """The pieces of its output from offset ``start`` to ``stop``, each with its stream and its time."""
        return list(self._output.pieces(start, stop))

    def runs(self, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        """The bytes from offset ``start`` to ``stop``, in stretches of one stream each."""
        return [
            (name, self._output.read(first, last)) for name, first, last in self._output.runs(start, stop)
        ]

    async def __aiter__(self) -> AsyncIterator[str]:
        """The lines of its output without their ends: from the beginning, each once, to its end."""
        reader = LineReader(self._output)
        while True:
            future = self._reads.future()
            try:
                done = self.done
                lines = reader.take()
                if lines is None:
                    if done:
                        break
                    await future
                    continue
            finally:
                self._reads.forget(future)
            for line in lines:
                yield line
            # Where lines come faster than they are taken, the loop has other things to do too.
            await asyncio.sleep(0)
        for line in reader.rest():
            yield line

    def release(self) -> None:
        """Gives back the output of a job that has ended; nothing of it can be read after this.

        `JobTable.forget` does it, and takes the job out of the table.

        Raises:
            JobStateError: it has not ended.
        """
        if not self.done:
            raise JobStateError(f"Job {self.name!r} is {self.state.value}; stop it before it is released.")
        if self.left:
            raise JobStateError(
                f"Job {self.name!r} has left {self.left} running; stop it before it is released."
            )
        self._tell(EventKind.RELEASED)
        with self._lock:
            self._run.cut()
        self._output.close()

    def reap(self, seconds: float) -> None:
        """Waits for the exit of its process without the loop, so many seconds; for the kernel's end."""
        self._run.reap(seconds)

    @property
    def sessions(self) -> list[int]:
        """The sessions in which a process of it runs; it looks at what the job has left."""
        run = self._life.run
        if run is None or run.session.is_empty:
            return []
        return [run.pid] if run.status is None or run.session.may_be_ended() else []

    def lose(self) -> None:
        """Lets go of its pipes in a fork of the process, whose they are not."""
        self._lock = threading.RLock()
        if (run := self._life.run) is not None:
            run.lose()

    # What its life tells

    def happened(self, kind: EventKind, detail: str = "") -> None:
        """Takes note of what happened in its life, and tells everybody; called by its life.

        Args:
            kind: what happened.
            detail: for people, such as the signal that was sent.
        """
        if kind is EventKind.WROTE:
            self._tell(kind)
            if self._reads:
                self._reads.wake()
            if self._readiness.wants_output and not self._look_queued:
                # Of many reads while the loop is held, one look is enough.
                self._look_queued = True
                self._driver.call(self._look)
            return
        if kind is EventKind.STARTED:
            self._readiness.begin(self._driver, self._run.pid, self._run.offset)
            if self._spec.is_watched:
                self._health = Health(
                    self._spec, self._table, self._driver, self._lock, self._output, self._life.recycle
                )
                self._health.begin(self._run.pid)
        elif kind is EventKind.EXITED:
            self._readiness.end()
            if self._health is not None:
                self._health.end()
                self._health = None
        elif kind in (EventKind.DONE, EventKind.GAVE_UP):
            self._readiness.finish()
            self._end()
        self._tell(kind, detail)
        if kind is EventKind.GAVE_UP:
            self._tell(EventKind.DONE)
        if self.done and self._again and not self._driver.closed:
            if not self.left:
                self._live_again()
        elif self.done:
            self._again = False
            if not self.lingers:
                self._rest()
        self._reads.wake()
        self._changes.wake()

    def _look(self) -> None:
        with self._lock:
            self._look_queued = False
            self._readiness.look()

    @property
    def _run(self) -> Run | EndedRun:
        # A life has had a process from its start on; one that could not be started again has the
        # last one's.
        run = self._life.run or self._last_run
        assert run is not None
        return run

    def _new_life(self) -> Life:
        self._lives += 1
        return Life(self._spec, self._driver, self._lock, self, self._new_run)

    def _new_run(self, watcher: Watcher) -> Run:
        return Run(self._spec, self._table, self._output, watcher)

    def _live_again(self) -> None:
        self._again = False
        self._last_run, self._last_result = self._run, self._result
        self._result = None
        self._life = life = self._new_life()
        try:
            life.start()
        except Exception as error:
            life.fail(error)

    def _end(self) -> None:
        ending = self._life.ending
        assert ending is not None
        self._result = Result(
            returncode=ending.status,
            elapsed=ending.elapsed,
            ended_by=ending.ended_by,
            timed_out=ending.timed_out,
            notes=ending.notes,
            _output=self._output,
        )

    def _rest(self) -> None:
        """Hold no more than an ended job needs to be looked at, and started again."""
        self._output.settle()
        self._life = ended_life(self._life)
        for given in self._spec.inputs:
            given.let_go()

    def _became_ready(self) -> None:
        self._tell(EventKind.READY)
        self._changes.wake()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Waits, on any loop, until a change makes ``condition`` true."""
        while True:
            future = self._changes.future()
            try:
                if condition():
                    return
                await future
            finally:
                self._changes.forget(future)

    def _checked(self, result: Result, raise_error: bool) -> Result:
        __tracebackhide__ = True
        if raise_error and result.returncode != 0:
            notes = "; ".join(result.notes)
            shown = self._spec.shown_command
            raise JobFailed(result.returncode, self.command, self._detail(), notes, shown)
        return result

    def _detail(self) -> str:
        text = self._output.stderr_tail(_DETAIL_LINES)
        return text or self._output.tail(_DETAIL_LINES, _DETAIL_BYTES).rstrip("\n")

    def _tail_of_error(self) -> str:
        detail = self._detail()
        return f":\n{detail}" if detail else "."

    def _tell(self, kind: EventKind, detail: str = "", worker: int | None = None) -> None:
        event = Event(kind, time.time(), detail, worker)
        self._table.tell(self, event)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                # It is told in the midst of a job's life, which goes on.
                log.exception("Listener %r of job %r failed at %s.", listener, self.name, kind.name)
