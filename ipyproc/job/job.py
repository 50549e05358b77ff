"""`Job`: a command under a name, with its output, its state and its restart policy."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from typing import cast

from ipyproc.errors import JobFailed, JobStateError, JoinTimeout, NotReadyError, ReadyTimeout, signal_name
from ipyproc.hosts.base import HostedJob
from ipyproc.job.reading import JobOutput
from ipyproc.job.result import Result
from ipyproc.job.waiters import Waiters
from ipyproc.model.event import Event, EventKind
from ipyproc.model.life import stop_ladder
from ipyproc.model.spec import need_seconds, need_signal
from ipyproc.model.state import Ending, describe_status
from ipyproc.model.text import input_bytes

__all__ = ["Announce", "Claim", "Job", "release"]

log = logging.getLogger("ipyproc")

_DETAIL_LINES = 10
_DETAIL_BYTES = 8192

Announce = Callable[["Job", Event], None]
"""Hands on what happened to a job; in any thread for ``WROTE`` and ``AWAITED``."""

Claim = Callable[["Job"], None]
"""Sees to it that a job that is started anew stands in the table under its name, or raises `JobNameError`."""


class Job(JobOutput):
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

    Args:
        hosted: the job, as its host holds it.
        announce: told of everything that happens to it.
        claim: asked before it is started anew.
    """

    def __init__(self, hosted: HostedJob, announce: Announce, claim: Claim) -> None:
        super().__init__(hosted)
        self._announce = announce
        self._claim = claim
        self._changes = Waiters()
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    def begin(self) -> None:
        """Take part in what happens to it from its start on; its table calls this once it stands there."""
        self.hosted.listen(self._happened)

    # What happens to it

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Has ``listener`` called with every event; returns what ends that.

        It is called on the job's loop; for ``WROTE`` and ``AWAITED``, in other threads as well.

        Args:
            listener: takes an `ipyproc.Event`. An exception of its own is logged.
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
        await self._until(lambda: self.done)
        return self._checked(cast(Ending, self.hosted.ending), raise_error)

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
            return self.done or self.hosted.status().ready

        try:
            # Python 3.11's wait_for gives nobody a chance who has no time.
            if not settled():
                await asyncio.wait_for(self._until(settled), timeout)
        except asyncio.TimeoutError:
            late = f"was not ready within {timeout:g} s; it goes on running"
            raise ReadyTimeout(f"Job {self.name!r} {late}{self._tail_of_error()}") from None
        if not self.hosted.status().ready:
            ending = describe_status(cast(int, self.returncode))
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
        if not self.hosted.block_until(lambda: self.done, timeout):
            late = "" if timeout is None else f" within {timeout:g} s"
            raise JoinTimeout(f"Job {self.name!r} has not ended{late}; it goes on running.")
        return self._checked(cast(Ending, self.hosted.ending), raise_error)

    async def stop(self, grace: float = 2.0) -> Result:
        """End it: its stop signal (SIGINT), after ``grace`` seconds SIGTERM, after as many again SIGKILL.

        It is not restarted. Its whole session is empty when this returns, and ``result.ended_by`` says
        which signal ended it. What an ended job has left running is ended likewise. Never raises for the
        exit status.

        Args:
            grace: seconds between the signals.
        """
        need_seconds("grace", grace)
        hosted, lives = self.hosted, self.hosted.status().lives
        endings = [hosted.ending]
        # Somebody else may start it anew before this one comes round.
        unsubscribe = self.subscribe(
            lambda event: endings.append(hosted.ending) if event.kind is EventKind.DONE else None
        )
        # Of a thousand that are stopped together each does in its own time what takes any.
        hosted.soon(lambda: self._tell(EventKind.AWAITED))
        hosted.stop(grace, stop_ladder(self.hosted.spec.stop_signal))
        try:
            await self._until(lambda: (self.done and not hosted.left) or hosted.status().lives > lives)
        finally:
            unsubscribe()
        return self._make_result(cast(Ending, hosted.ending or endings[-1]))

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
        lives = self.hosted.status().lives
        if self.done:
            for given in self.hosted.spec.inputs:
                given.need(self.name)
            self._claim(self)
        self.hosted.restart(grace, stop_ladder(self.hosted.spec.stop_signal))

        def settled() -> bool:
            status = self.hosted.status()
            return status.lives > lives or not status.again

        await self._until(settled)
        status = self.hosted.status()
        if status.lives == lives:
            raise JobStateError(
                f"Job {self.name!r} was stopped before it was started again; restart it once more."
            )
        if status.error is not None and self.done:
            raise status.error
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
        if self.done or not self.hosted.signal(signum):
            raise JobStateError(
                f"Job {self.name!r} has no process now ({self.state.value}), so {signal_name(signum)} "
                "cannot be sent to it; restart it first."
            )

    def kill(self) -> None:
        """End every process of it at once with SIGKILL; it is not restarted. Harmless when it has ended."""
        self.hosted.kill()

    # Its input

    def send(self, text: str | bytes) -> None:
        """Writes to its standard input; what it does not read yet is kept, and blocks nobody.

        Args:
            text: written as it is; a line needs its ``\\n``.

        Raises:
            JobStateError: it has ended, or its standard input has been closed.
            JobSpecError: what was given is neither text nor bytes (a `ValueError`).
        """
        if not self.hosted.takes_input:
            what = "has ended" if self.done else "has its standard input closed"
            raise JobStateError(f"Job {self.name!r} {what}, so nothing can be sent to it; start it again.")
        self.hosted.write(input_bytes(text, self.encoding))

    def close_stdin(self) -> None:
        """Closes its standard input, after what was sent has been written. Harmless when closed."""
        if self.hosted.takes_input:
            self.hosted.write(b"", close=True)

    # Telling of it

    def _happened(self, event: Event) -> None:
        self._hand_on(event)
        if self._reads:
            self._reads.wake()
        if event.kind is not EventKind.WROTE:
            self._changes.wake()

    def _tell(self, kind: EventKind) -> None:
        self._hand_on(Event(kind, time.time()))

    def _hand_on(self, event: Event) -> None:
        self._announce(self, event)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                # It is told in the midst of a job's life, which goes on.
                log.exception("Listener %r of job %r failed at %s.", listener, self.name, event.kind.name)

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

    # Its result

    def _make_result(self, ending: Ending) -> Result:
        return Result(
            returncode=self._status_of(ending),
            elapsed=ending.elapsed,
            ended_by=ending.ended_by,
            timed_out=ending.timed_out,
            notes=ending.notes,
            _output=self.hosted.output,
        )

    def _checked(self, ending: Ending, raise_error: bool) -> Result:
        __tracebackhide__ = True
        result = self._make_result(ending)
        if raise_error and result.returncode != 0:
            notes = "; ".join(result.notes)
            shown = self.hosted.spec.shown_command
            raise JobFailed(result.returncode, self.command, self._detail(), notes, shown)
        return result

    def _detail(self) -> str:
        output = self.hosted.output
        text = output.stderr_tail(_DETAIL_LINES)
        return text or output.tail(_DETAIL_LINES, _DETAIL_BYTES).rstrip("\n")

    def _tail_of_error(self) -> str:
        detail = self._detail()
        return f":\n{detail}" if detail else "."


def release(job: Job) -> None:
    """Give back the output of a job that has ended, after everybody who listens was told; for its table."""
    job._tell(EventKind.RELEASED)
    job.hosted.release()
