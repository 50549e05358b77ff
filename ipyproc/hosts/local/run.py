"""One process of a job: started, fed, read and signalled, until its exit is seen and its pipes end."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from signal import SIGCONT, SIGKILL
from typing import TYPE_CHECKING, Protocol, TypeVar

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.feed import Feed
from ipyproc.hosts.local.session import Session
from ipyproc.hosts.local.start import start_process
from ipyproc.hosts.local.stream import Sink, SpoolStream
from ipyproc.hosts.local.targets import program_targets
from ipyproc.hosts.local.warden import end_sessions
from ipyproc.model.spec import JobSpec
from ipyproc.spool.output import Output, StreamName

if TYPE_CHECKING:
    from ipyproc.hosts.local.resources import Resources

__all__ = ["Run", "RunListener", "Side"]

log = logging.getLogger("ipyproc")

Made = TypeVar("Made")

_STREAMS: tuple[StreamName, StreamName] = ("stdout", "stderr")


class RunListener(Protocol):
    """Who is told what becomes of a process: the job."""

    lock: threading.RLock

    @property
    def driver(self) -> Driver:
        """Of the loop on which the job lives."""

    def run_wrote(self) -> None:
        """It wrote something; in whichever thread read it."""

    def run_exited(self, run: Run) -> None:
        """Its exit has been seen; where the loop is driven."""

    def run_piped_out(self, run: Run) -> None:
        """The last of its pipes is at its end; where the loop is driven."""

    def run_members_changed(self, run: Run) -> None:
        """A look at what is left of its session has found something new; where the loop is driven."""


class Side(Sink, Protocol):
    """Where the bytes of a third pipe go, beside standard output and error."""

    def arrived(self) -> None:
        """Bytes were appended; in the thread that read them, which does not hold the lock any more."""


class Run:
    """One process of a job, which leads a session of its own.

    Made by the constructor, started by `start`, in any thread, so that errors reach the caller; `begin`
    has the loop read its pipes.

    Args:
        spec: what runs, and how.
        resources: the host's.
        output: where its output goes.
        listener: who is told.
        side: where the bytes of a third pipe go, whose number the process has as its last argument.

    Attributes:
        started: when, in seconds since the epoch; for showing only.
        began: when, on the monotonic clock.
        offset: where its output begins in the job's.
        status: the exit status, negative for a signal; None until the exit has been seen.
    """

    def __init__(
        self,
        spec: JobSpec,
        resources: Resources,
        output: Output,
        listener: RunListener,
        side: Side | None = None,
    ) -> None:
        self._resources = resources
        self._driver = listener.driver
        self._output = output
        self._listener = listener
        self._spec = spec
        self._streams: list[SpoolStream] = []
        self._side = side
        self._open = len(_STREAMS) + (side is not None)
        self._begun = False
        self._takes_input = spec.stdin is None
        self._early_status: int | None = None
        self.status: int | None = None
        self.offset = output.end
        self.started = 0.0
        self.began = 0.0

    @property
    def pid(self) -> int:
        """The process id; also that of its process group and its session."""
        return self._process.pid

    @property
    def piping(self) -> bool:
        """Whether a pipe of it is not at its end."""
        return self._open > 0

    @property
    def feeding(self) -> bool:
        """Whether input waits that it has not taken."""
        return self._feed.pending

    @property
    def unread_input(self) -> int:
        """Return how many bytes of input wait that it has not taken."""
        return self._feed.unread

    @property
    def takes_input(self) -> bool:
        """Whether there may be more for its standard input."""
        return self._takes_input and self._feed.open

    def start(self) -> None:
        """Start the process, in any thread.

        Raises:
            OSError: it cannot be started. Nothing is left of it by then, whatever was raised.
        """
        shared = self._resources
        with ExitStack() as undo, ExitStack() as theirs:
            childs_stdin, stdin = os.pipe()
            theirs.callback(os.close, childs_stdin)
            self._feed = _owning(stdin, lambda: Feed(stdin, self._driver))
            undo.callback(self._feed.close)
            os.set_blocking(stdin, False)
            write_ends: list[int] = []
            for name in (*_STREAMS, "stdout")[: self._open]:
                read_end, write_end = os.pipe()
                theirs.callback(os.close, write_end)
                beside = len(write_ends) == len(_STREAMS)
                stream = _owning(read_end, partial(self._stream, read_end, name, beside=beside))
                undo.callback(stream.drop)
                write_ends.append(write_end)
                self._streams.append(stream)
            undo.callback(self._streams.clear)
            inodes = [os.fstat(fd).st_ino for fd in write_ends]
            # Before the process runs: a kernel that is killed at this very moment leaves nothing.
            undo.callback(shared.warden.cancel, inodes[0])
            shared.warden.expect(inodes)
            self._launch(childs_stdin, write_ends)
            undo.callback(self._undo_launch)
            undo.callback(shared.warden.release, self.pid)
            shared.warden.guard(self.pid, inodes[0])
            for stream in self._streams:
                # Before `begin`, since a loop that is held does not come to that.
                shared.pipes.add(stream)
            self.session = Session(
                self.pid, self._driver, shared.census, self._listener.lock, self._members_changed
            )
            self._driver.add(self)
            undo.callback(self._driver.discard, self)
            self._process.set_exit_callback(self._exited)
            undo.pop_all()

    def begin(self) -> None:
        """Have its pipes read and its input written; on the loop, or where it is driven."""
        self._begun = True
        for stream in self._streams:
            stream.start()
        if self._spec.stdin is not None:
            self.write(self._spec.stdin.data, close=True)
        if self._early_status is not None:
            self._note_exit(self._early_status)

    # Its input

    def end_input(self) -> None:
        """Take no more for its standard input; what was taken is still written. In any thread."""
        self._takes_input = False

    def write(self, data: bytes, *, close: bool) -> None:
        """Write to its standard input, and close it after that; in any thread."""
        self._feed.write(data, close=close)

    # Signals

    def signal(self, signum: int) -> bool:
        """Signal the program; return whether there was one. See `ipyproc.hosts.local.targets`."""
        if self.status is not None:
            return False
        reached = False
        for pid in program_targets(self.pid, self._spec.command, signum):
            try:
                os.kill(pid, signum)
                reached = True
            except PermissionError:
                reached = True  # It is somebody else's (setuid).
            except ProcessLookupError:
                pass
        return reached

    def signal_session(self, signum: int) -> None:
        """Signal every process of its session; where the loop is driven."""
        self.session.signal(signum)
        # What is stopped takes its signal only when it goes on.
        if signum != SIGKILL and self.status is None:
            try:
                os.killpg(self.pid, SIGCONT)
            except (ProcessLookupError, PermissionError):
                pass

    def kill_now(self) -> None:
        """Send SIGKILL to its first process group, in any thread, ahead of everything else."""
        if self.status is None:
            try:
                os.killpg(self.pid, SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    # Its end

    def look(self) -> None:
        """See whether it has exited, and write what waits for it; for who stands in for the loop."""
        if self.status is None:
            self._process.look()
        self._feed.push()

    def read(self) -> bool:
        """Read what its pipes have; return whether there was anything. In any thread."""
        found = False
        for stream in self._streams:
            found |= stream.read()
        return found

    def fds(self) -> list[int]:
        """The fds that can be read when there is output of it."""
        return [stream.fileno() for stream in self._streams if not stream.at_end]

    def cut(self) -> None:
        """Close its pipes, though another process may still hold them; where the loop is driven."""
        for stream in self._streams:
            stream.cut()

    def drain(self) -> None:
        """Take what its pipes have, though not for ever where a writer lives on."""
        for stream in self._streams:
            stream.drain()

    def abandon(self) -> int | None:
        """End it with SIGKILL, and take what it wrote: its loop has been closed, or cannot look after it.

        Returns:
            The exit status; None when it is not to be had.
        """
        self._driver.discard(self)
        if self.status is None:
            self.kill_now()
        if self.status is None or self.session.may_be_ended():
            end_sessions([self.pid], 0.0)
        self.session.close()
        status = self.reap(1.0) if self.status is None else self.status
        self._takes_input = False
        self._feed.close()
        for stream in self._streams:
            stream.drain()
            stream.drop()
        self._streams = []
        self._open = 0
        self._resources.warden.release(self.pid)
        # Whatever is told of it from now on, it has no process any more.
        self.status = -SIGKILL if status is None else status
        return status

    def reap(self, seconds: float) -> int | None:
        """Wait for its exit without the loop, for a moment; for when there is no loop any more."""
        try:
            return self._process.proc.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def lose(self) -> None:
        """Let go of its pipes in a fork of the process, whose they are not."""
        self._feed.lose()
        for stream in self._streams:
            stream.lose()
        # Or Popen would warn that it still runs; in a fork it is nobody's child.
        if self._process.proc.returncode is None:
            self._process.proc.returncode = 0

    # How it is started

    def _launch(self, stdin: int, write_ends: list[int]) -> None:
        self.started, self.began = time.time(), time.monotonic()
        beside = write_ends[len(_STREAMS) :]
        self._process = start_process(
            self._spec,
            self._driver.io_loop,
            stdin=stdin,
            stdout=write_ends[0],
            stderr=write_ends[1],
            pass_fds=beside,
            arguments=[str(end) for end in beside],
        )

    def _undo_launch(self) -> None:
        end_sessions([self.pid], 0.0)
        self.kill_now()
        self._process.proc.wait()

    def _stream(self, fd: int, stream: str, *, beside: bool) -> SpoolStream:
        sink: Sink = self._output
        on_read: Callable[[], None] = self._listener.run_wrote
        if beside and self._side is not None:
            sink, on_read = self._side, self._side.arrived
        name: StreamName = "stderr" if stream == "stderr" else "stdout"
        return SpoolStream(fd, name, sink, self._driver, self._resources.pipes, on_read, self._ended)

    def _ended(self) -> None:
        with self._listener.lock:
            self._open -= 1
            # Not changed in place: another thread may be going through it.
            self._streams = [stream for stream in self._streams if not stream.told]
            self._look_no_more()
            if not self._open:
                self._listener.run_piped_out(self)

    def _exited(self, status: int) -> None:
        if self._driver.is_spent():
            # Of thousands that exit together some wait for the loop's next turn.
            self._driver.soon(lambda: self._note_exit(status))
        else:
            self._driver.call(lambda: self._note_exit(status))

    def _note_exit(self, status: int) -> None:
        with self._listener.lock:
            if not self._begun:
                # Another thread is starting it, and nobody knows of it yet.
                self._early_status = status
                return
            if self.status is not None:
                return  # It was abandoned.
            self.status = status
            self._look_no_more()
            self._feed.close()
            self.session.leader_exited()
            self._let_go()
            self._listener.run_exited(self)

    def _members_changed(self) -> None:
        self._let_go()
        self._listener.run_members_changed(self)

    def _look_no_more(self) -> None:
        if self.status is not None and not self._open:
            self._driver.discard(self)

    def _let_go(self) -> None:
        # What a job left behind is ended with the kernel; but once it has gone, its number may be given
        # to a stranger.
        if self.session.is_empty:
            self._resources.warden.release(self.pid)


def _owning(fd: int, make: Callable[[], Made]) -> Made:
    """Return what is made of an fd and closes it from then on; it is closed where that fails."""
    try:
        return make()
    except BaseException:
        os.close(fd)
        raise
