"""`Job`: a command under a name, with its output, its state and its restart policy."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, cast

from ipyproc.errors import JobFailed, JobStateError, JoinTimeout, NotReadyError, ReadyTimeout, signal_name
from ipyproc.hosts.base import HostedJob
from ipyproc.job.plot import plot_usage
from ipyproc.job.result import Result
from ipyproc.job.talking import JobTalk
from ipyproc.job.waiters import Waiters
from ipyproc.model.event import Event, EventKind
from ipyproc.model.life import stop_ladder
from ipyproc.model.spec import need_seconds, need_signal
from ipyproc.model.state import Ending, describe_status
from ipyproc.spool.copy import CopyFile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Announce", "Claim", "Job", "log_to", "release"]

log = logging.getLogger("ipyproc")

_DETAIL_LINES = 10
_DETAIL_BYTES = 8192
_PIECE = 1 << 20

Announce = Callable[["Job", Event], None]
"""Called with each event of a job; for ``WROTE`` and ``AWAITED``, on any thread."""

Claim = Callable[["Job"], None]
"""Called before a job is started anew: enters it in its table, or raises `JobNameError`."""


class Job(JobTalk):
    """A command that runs, or has run; `ipyproc.spawn` creates it.

    Awaiting it returns a `Result`, or raises `JobFailed` (a `subprocess.CalledProcessError`) if its exit
    status is not 0::

        job = ipyproc.spawn("make -j4", name="build")
        result = await job

    Its output can be read while it runs, and after its end::

        print(job.tail(5))
        async for line in job:
            print(line)

    A job may be awaited any number of times, on any loop and thread, before and after its end; cancelling
    an await does not affect the job. Any thread may call any method. The job leads a session of its own, so
    that signals to the kernel's process group do not reach it. `stop`, a timeout, `kill` and the kernel's
    end reach every process of that session; `signal` reaches the program.

    Args:
        hosted: the job, as its host holds it.
        announce: called with each event of the job.
        claim: called before the job is started anew.
    """

    def __init__(self, hosted: HostedJob, announce: Announce, claim: Claim) -> None:
        super().__init__(hosted)
        self._announce = announce
        self._claim = claim
        self._changes = Waiters()
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    def begin(self) -> None:
        """Subscribe to the events of the job from its start; the table calls this once it has entered it."""
        self.hosted.listen(self._on_event)

    def plot(self) -> Figure:
        """Plot its `usage` by matplotlib: CPU and memory over its life.

        Raises:
            MissingPackageError: matplotlib is not installed (an `ImportError`).
        """
        return plot_usage(self.usage)

    # Events

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``listener`` with each event from now on; return a function that ends that.

        It is called where the job's loop is driven; for ``WROTE`` and ``AWAITED``, on any thread.

        Args:
            listener: called with an `ipyproc.Event`; an exception that it raises is logged.
        """
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            # A listener that was added twice is removed once.
            listeners = list(self._listeners)
            if listener in listeners:
                listeners.remove(listener)
            self._listeners = tuple(listeners)

        return unsubscribe

    # Waiting and stopping

    def __await__(self) -> Generator[object, None, Result]:
        """Wait for its end, as `wait` does."""
        return self.wait().__await__()

    async def wait(self, raise_error: bool = True) -> Result:
        """Wait until its process has exited and its pipes are at their end; return the result.

        Args:
            raise_error: whether to raise if the exit status is not 0.

        Raises:
            JobFailed: the exit status is not 0; with the last lines of its stderr.
        """
        __tracebackhide__ = True
        self._tell(EventKind.AWAITED)
        await self._until(lambda: self.done)
        return self._checked(cast(Ending, self.hosted.ending), raise_error)

    async def ready(self, timeout: float | None = None) -> Job:
        """Wait until it is ready, as its ``ready=`` says, and return it; without ``ready=``, at once.

        Args:
            timeout: the seconds to wait at most; None for no limit.

        Raises:
            NotReadyError: it ended before it was ready; with the last lines of its output.
            ReadyTimeout: it was not ready within the timeout (a `TimeoutError`); it continues to run.
        """
        __tracebackhide__ = True
        need_seconds("timeout", timeout)

        def settled() -> bool:
            return self.done or self.hosted.status().ready

        try:
            # In Python 3.11, wait_for with a timeout of 0 does not run the coroutine at all.
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
        """Block until its end and return the result; the synchronous form of `wait`.

        On the thread of the job's loop, which it blocks, this call drives the job: it reads the output,
        fires timers, restarts the job. An interrupt (KeyboardInterrupt) leaves the job running.

        Args:
            timeout: the seconds to wait at most; None for no limit.
            raise_error: whether to raise if the exit status is not 0.

        Raises:
            JobFailed: the exit status is not 0; with the last lines of its stderr.
            JoinTimeout: it did not end within the timeout (a `TimeoutError`); it continues to run.
        """
        __tracebackhide__ = True
        need_seconds("timeout", timeout)
        self._tell(EventKind.AWAITED)
        if not self.hosted.block_until(lambda: self.done, timeout):
            late = "" if timeout is None else f" within {timeout:g} s"
            raise JoinTimeout(f"Job {self.name!r} has not ended{late}; it goes on running.")
        return self._checked(cast(Ending, self.hosted.ending), raise_error)

    async def stop(self, grace: float = 2.0) -> Result:
        """Stop it: send its stop signal (SIGINT), then SIGTERM and SIGKILL, ``grace`` seconds apart.

        The job is not restarted. When this returns, its whole session is empty, and ``result.ended_by`` is
        the signal that ended it. If the job has ended, the processes that it left are stopped in the same
        way. An exit status other than 0 raises no error.

        Args:
            grace: the seconds between the signals.
        """
        need_seconds("grace", grace)
        hosted, lives = self.hosted, self.hosted.status().lives
        endings = [hosted.ending]
        # Another caller may start the job anew before this coroutine runs again.
        unsubscribe = self.subscribe(
            lambda event: endings.append(hosted.ending) if event.kind is EventKind.DONE else None
        )
        # Announced in a later callback, so that stopping a thousand jobs together does not hold the loop.
        hosted.soon(lambda: self._tell(EventKind.AWAITED))
        hosted.stop(grace, stop_ladder(self.hosted.spec.stop_signal))
        try:
            await self._until(lambda: (self.done and not hosted.left) or hosted.status().lives > lives)
        finally:
            unsubscribe()
        return self._make_result(cast(Ending, hosted.ending or endings[-1]))

    async def restart(self, grace: float = 2.0) -> Job:
        """Stop it, as `stop` does, unless it has ended, and start it again; return when the process runs.

        New output is appended to the old.

        Args:
            grace: the seconds between the signals.

        Raises:
            OSError: it could not be started again.
            JobNameError: it has ended, and another job has its name by now.
            JobStateError: another caller stopped it before it was started again; or it has ended, and its
                input was released then, since it was larger than 64 KiB.
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
                f"Job {self.name!r} was stopped before it was started again; call restart() again."
            )
        if status.error is not None and self.done:
            raise status.error
        return self

    def signal(self, signum: int) -> None:
        """Send a signal to its program.

        If a shell runs a script, the signal goes to the programs in it that handle it, and a signal that
        would end the shell goes to its process group; see `ipyproc.hosts.local.targets`. `stop` and `kill`
        reach every process of the job.

        Args:
            signum: the signal, such as ``signal.SIGHUP``.

        Raises:
            JobStateError: it has no process now.
            JobSpecError: there is no such signal (a `ValueError`).
        """
        need_signal(signum)
        if self.done or not self.hosted.signal(signum):
            raise JobStateError(
                f"Job {self.name!r} has no process now ({self.state.value}), so {signal_name(signum)} "
                "was not sent; restart it first."
            )

    def kill(self) -> None:
        """Send SIGKILL to every process of the session; do not restart the job. Do nothing after its end."""
        self.hosted.kill()

    # Events

    def _on_event(self, event: Event) -> None:
        self._publish(event)
        if self._reads:
            self._reads.wake()
        if event.kind is not EventKind.WROTE:
            self._changes.wake()

    def _tell(self, kind: EventKind) -> None:
        self._publish(Event(kind, time.time()))

    def _publish(self, event: Event) -> None:
        self._announce(self, event)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                # A listener that fails must not stop the job's life, in the middle of which it is called.
                log.exception("Listener %r of job %r failed at %s.", listener, self.name, event.kind.name)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait, on any loop, until a change makes ``condition`` true."""
        while True:
            future = self._changes.future()
            try:
                if condition():
                    return
                await future
            finally:
                self._changes.forget(future)

    # The result

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
    """Publish that a job that has ended is released, and free its output; for the table only."""
    job._tell(EventKind.RELEASED)
    job.hosted.release()


def log_to(job: Job, file: CopyFile) -> None:
    """Append the output of a job to a file too, whose fd is closed while the job has ended; for the table."""

    def follow(event: Event) -> None:
        if event.kind is EventKind.DONE:
            with job.hosted.output.lock:
                file.rest()
        elif event.kind is EventKind.STARTED:
            file.wake()

    output = job.hosted.output
    with output.lock:
        # Another thread drives the job, and may have read its first bytes.
        for start in range(output.start, output.end, _PIECE):
            file.append(output.read(start, start + _PIECE))
        output.copy = file
    job.subscribe(follow)
