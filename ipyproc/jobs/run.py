"""One process of a job: started, fed, read and signalled, until its exit is seen and its pipes end."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from signal import SIGKILL
from typing import TYPE_CHECKING, Protocol, cast
from weakref import WeakSet

from tornado.ioloop import IOLoop
from tornado.iostream import PipeIOStream, StreamClosedError

from ipyproc.jobs.model import JobSpec
from ipyproc.jobs.output import Output, StreamName
from ipyproc.jobs.pump import Pipes, Pump, Sink
from ipyproc.jobs.start import start_process
from ipyproc.jobs.warden import session_members

if TYPE_CHECKING:
    from ipyproc.jobs.warden import Warden

__all__ = ["Home", "Run", "Side", "Watcher", "has_group"]

log = logging.getLogger("ipyproc")

_STREAMS: tuple[StreamName, StreamName] = ("stdout", "stderr")


class Home(Protocol):
    """What a process of a job needs of the table in which the job stands."""

    pipes: Pipes
    warden: Warden

    @property
    def io_loop(self) -> IOLoop:
        """The loop on which jobs that are started now live."""


class Watcher(Protocol):
    """Who is told what becomes of a process."""

    io_loop: IOLoop

    def wrote(self) -> None:
        """It wrote something; in whichever thread read it."""

    def exited(self, run: Run) -> None:
        """Its exit has been seen; on the loop."""

    def piped_out(self, run: Run) -> None:
        """One of its pipes is at its end; on the loop."""


class Side(Sink, Protocol):
    """Where the bytes of a third pipe go, beside standard output and error."""

    def arrived(self) -> None:
        """Bytes were appended; in the thread that read them, which does not hold the lock any more."""


class Run:
    """One process of a job, which leads a session of its own.

    It is started by the constructor, in any thread, so that errors reach the caller; `begin` has the
    loop read its pipes.

    Args:
        spec: what runs, and how.
        home: the table.
        output: where its output goes.
        watcher: who is told.
        side: where the bytes of a third pipe go, whose number the process has as its last argument.

    Attributes:
        started: when, in seconds since the epoch.
        offset: where its output begins in the job's.
        status: the exit status, negative for a signal; None until the exit has been seen.

    Raises:
        OSError: it cannot be started. Nothing is left of it by then.
    """

    def __init__(
        self, spec: JobSpec, home: Home, output: Output, watcher: Watcher, side: Side | None = None
    ) -> None:
        self._home = home
        self._io_loop = watcher.io_loop
        self._output = output
        self._watcher = watcher
        self._spec = spec
        # From `begin` on the loop alone holds the pumps, and lets go of them when it is closed.
        self._pumps: WeakSet[Pump] = WeakSet()
        self._unread: list[Pump] = []
        self._side = side
        self._open = len(_STREAMS) + (side is not None)
        self._gone = False
        self._begun = False
        self._takes_input = spec.stdin is None
        self._early_status: int | None = None
        self.status: int | None = None
        self.offset = output.end
        self.started = time.time()
        self._start()

    @property
    def pid(self) -> int:
        """The process id; also that of its process group and its session."""
        return self._process.pid

    @property
    def over(self) -> bool:
        """Whether its exit has been seen, and its pipes are at their end."""
        return self._begun and self.status is not None and not self._open

    @property
    def held_open(self) -> bool:
        """Whether it has exited, and another process still holds one of its pipes."""
        return self.status is not None and self._open > 0

    @property
    def takes_input(self) -> bool:
        """Whether there may be more for its standard input."""
        return self._takes_input and not self._stdin.closed()

    def begin(self) -> None:
        """Has its pipes read and its input written; to be called on the loop."""
        self._begun = True
        while self._unread:
            self._unread.pop(0).start()
        if self._spec.stdin is not None:
            self.write(self._spec.stdin, close=True)
        if self._early_status is not None:
            self._exited(self._early_status)

    def end_input(self) -> None:
        """Takes no more for its standard input; what was taken is still written. In any thread."""
        self._takes_input = False

    def write(self, data: bytes, *, close: bool) -> None:
        """Writes to its standard input, and closes it after that; to be called on the loop."""
        stdin = self._stdin
        if stdin.closed():
            return
        try:
            written = stdin.write(data)
        except StreamClosedError:
            return

        def finished(future: asyncio.Future[None]) -> None:
            # A child that closed its end, or exited, is no error of the sender's.
            error = None if future.cancelled() else future.exception()
            if error is not None and not isinstance(error, StreamClosedError):
                log.warning("Writing to process %d failed: %s", self.pid, error)
            if close:
                stdin.close()

        written.add_done_callback(finished)

    def signal(self, signum: int) -> bool:
        """Signals its process group; whether there was one."""
        if self._gone:
            return False
        try:
            os.killpg(self.pid, signum)
        except ProcessLookupError:
            # Once it has been reaped too, the next to have its number is a stranger.
            self._gone = self.status is not None
            return False
        except PermissionError:
            # All that is left of the group are processes of somebody else (setuid).
            return False
        return True

    def has_members(self) -> bool:
        """Whether any process of its session still runs."""
        return self.signal(0) and bool(session_members(self.pid))

    def cut(self) -> None:
        """Closes its pipes, though another process may still hold them; to be called on the loop."""
        for pump in list(self._pumps):
            pump.cut()

    def abandon(self) -> int | None:
        """Ends it with SIGKILL, and takes what it wrote, now that its loop has been closed.

        Returns:
            The exit status; None when it is not to be had.
        """
        self.signal(SIGKILL)
        status = self.reap(1.0) if self.status is None else self.status
        # Not close(): that would wake writers, on a loop that is no more.
        self._takes_input = False
        self._stdin.close_fd()
        for pump in [*self._pumps]:
            pump.drain()
        self._unread.clear()
        return status

    def reap(self, seconds: float) -> int | None:
        """Waits for its exit without the loop, for a moment; for when there is no loop any more."""
        try:
            return self._process.proc.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    @property
    def _stdin(self) -> PipeIOStream:
        return cast(PipeIOStream, self._process.stdin)

    def _start(self) -> None:
        spec, home, output, watcher = self._spec, self._home, self._output, self._watcher
        with ExitStack() as ours, ExitStack() as theirs:
            read_ends, write_ends = [], []
            for _ in range(self._open):
                read_end, write_end = os.pipe()
                ours.callback(os.close, read_end)
                theirs.callback(os.close, write_end)
                os.set_blocking(read_end, False)
                read_ends.append(read_end)
                write_ends.append(write_end)
            self._process = start_process(
                spec,
                self._io_loop,
                stdout=write_ends[0],
                stderr=write_ends[1],
                pass_fds=write_ends[len(_STREAMS) :],
                arguments=[str(end) for end in write_ends[len(_STREAMS) :]],
            )
            home.warden.guard(self.pid)
            try:
                self._process.set_exit_callback(self._exited)
            except OSError:
                self._undo()
                raise
            ours.pop_all()
        self._unread = [
            self._pump(name, fd, output, watcher.wrote) for name, fd in zip(_STREAMS, read_ends, strict=False)
        ]
        if (side := self._side) is not None:
            self._unread.append(self._pump("stdout", read_ends[-1], side, side.arrived))
        self._pumps.update(self._unread)
        for pump in self._unread:
            # Before `begin`, since a loop that is held does not come to that.
            home.pipes.add(pump)

    def _undo(self) -> None:
        self.signal(SIGKILL)
        self._process.proc.wait()
        self._stdin.close()
        self._home.warden.release(self.pid)

    def _pump(self, stream: StreamName, fd: int, sink: Sink, on_read: Callable[[], None]) -> Pump:
        return Pump(fd, stream, sink, self._io_loop, self._home.pipes, on_read, self._ended)

    def _ended(self) -> None:
        self._open -= 1
        self._watcher.piped_out(self)

    def _exited(self, status: int) -> None:
        if not self._begun:
            # Another thread is starting it, and nobody knows of it yet.
            self._early_status = status
            return
        self.status = status
        self.signal(0)
        self._stdin.close()
        self._watcher.exited(self)


def has_group(pgid: int) -> bool:
    """Whether any process of a process group, a zombie perhaps, is still there."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
