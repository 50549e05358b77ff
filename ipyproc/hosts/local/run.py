"""One process of a job: start it, write its input, read its output, signal it, see its exit."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from signal import SIGCONT, SIGKILL
from typing import TYPE_CHECKING, Protocol

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.ends import STREAMS, Ends, open_pipes, open_terminal
from ipyproc.hosts.local.session import Session
from ipyproc.hosts.local.start import start_process
from ipyproc.hosts.local.stream import Sink, SpoolStream
from ipyproc.hosts.local.targets import program_targets
from ipyproc.hosts.local.terminal import Terminal
from ipyproc.hosts.local.warden import end_sessions
from ipyproc.model.spec import JobSpec
from ipyproc.spool.output import Output, StreamName

if TYPE_CHECKING:
    from ipyproc.hosts.local.resources import Resources

__all__ = ["Run", "RunListener", "Side"]

log = logging.getLogger("ipyproc")


class RunListener(Protocol):
    """The listener of a process: the job."""

    lock: threading.RLock

    @property
    def driver(self) -> Driver:
        """The driver of the job's loop."""

    def run_wrote(self) -> None:
        """Called when there is new output, on the thread that read it."""

    def run_exited(self, run: Run) -> None:
        """Called when the exit of the process was seen, where the loop is driven."""

    def run_piped_out(self, run: Run) -> None:
        """Called when the last pipe is at its end, where the loop is driven."""

    def run_members_changed(self, run: Run) -> None:
        """Called when the number of processes left in the session has changed, where the loop is driven."""


class Side(Sink, Protocol):
    """The sink of a third pipe, beside standard output and error."""

    def arrived(self) -> None:
        """Called after bytes were appended, on the thread that read them, without the lock."""


class Run:
    """One process of a job, which leads a session of its own.

    The constructor starts nothing. `start` starts the process, on any thread, so that errors reach the
    caller; `begin` then lets the loop read its pipes.

    Args:
        spec: what runs, and how.
        resources: the resources of the host.
        output: the output of the job.
        listener: the listener to notify.
        side: the sink of a third pipe, whose fd the process gets as its last argument; None for no pipe.

    Attributes:
        started: when it was started, in seconds since the epoch; for display only.
        began: when it was started, on the monotonic clock.
        offset: the offset at which its output begins in that of the job.
        status: the exit status, negative for a signal; None before the exit was seen.
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
        self._terminal: Terminal | None = None
        self._open = 1 if spec.tty else len(STREAMS) + (side is not None)
        self._begun = False
        self._takes_input = spec.stdin is None
        self._early_status: int | None = None
        self.status: int | None = None
        self.offset = output.end
        self.started = 0.0
        self.began = 0.0

    @property
    def pid(self) -> int:
        """The pid, which is also that of its process group and its session."""
        return self._process.pid

    @property
    def piping(self) -> bool:
        """True while one of its pipes is not at its end."""
        return self._open > 0

    @property
    def feeding(self) -> bool:
        """True while input waits that the pipe has not accepted."""
        return self._feed.pending

    @property
    def unread_input(self) -> int:
        """Return how many bytes of input wait that it has not taken."""
        return self._feed.unread

    @property
    def takes_input(self) -> bool:
        """True while its standard input accepts more."""
        return self._takes_input and self._feed.open

    def start(self) -> None:
        """Start the process; any thread may call it.

        On any exception, the process has been killed and reaped, and all fds are closed.

        Raises:
            OSError: it could not be started.
        """
        shared = self._resources
        with ExitStack() as undo, ExitStack() as theirs:
            ends = self._open_ends(undo, theirs)
            # The warden is told before the process runs, in case the kernel is killed right after the fork.
            undo.callback(shared.warden.cancel, ends.marks[0])
            shared.warden.expect(ends.marks)
            self._launch(ends)
            undo.callback(self._undo_launch)
            undo.callback(shared.warden.release, self.pid)
            shared.warden.guard(self.pid, ends.marks[0])
            if ends.gate is not None:
                ends.gate.open()
            # Not before the process runs: it need not wait for them.
            self._take_streams(ends)
            undo.callback(self._drop_streams)
            for stream in self._streams:
                # Added before `begin`, which a loop that is held does not reach.
                shared.pipes.add(stream)
            self.session = Session(
                self.pid, self._driver, shared.census, self._listener.lock, self._members_changed
            )
            self._driver.add(self)
            undo.callback(self._driver.discard, self)
            self._process.set_exit_callback(self._exited)
            undo.pop_all()

    def begin(self) -> None:
        """Begin to read its pipes and to write its input; call where the loop is driven."""
        self._begun = True
        for stream in self._streams:
            stream.start()
        if self._spec.stdin is not None:
            self.write(self._spec.stdin.data, close=True)
        if self._early_status is not None:
            self._note_exit(self._early_status)

    # Input

    def end_input(self) -> None:
        """Accept no more for its standard input, unless that is a terminal; any thread may call it."""
        self._takes_input = self._spec.reads_terminal

    def write(self, data: bytes, *, close: bool) -> None:
        """Write to its standard input, and close it after that if ``close``; any thread may call it."""
        self._feed.write(data, close=close)

    # The terminal

    @property
    def hides_input(self) -> bool:
        """True if it has a terminal that reads a line and does not echo it."""
        return self._terminal is not None and self._terminal.hides_input

    def resize(self, spec: JobSpec) -> None:
        """Give its terminal the size of ``spec``."""
        if self._terminal is not None:
            self._terminal.resize(spec.rows, spec.columns)

    # Signals

    def signal(self, signum: int) -> bool:
        """Signal the program, as in `ipyproc.hosts.local.targets`; return False if it has exited."""
        if self.status is not None:
            return False
        reached = False
        for pid in program_targets(self.pid, self._spec.command, signum):
            try:
                os.kill(pid, signum)
                reached = True
            except PermissionError:
                reached = True  # It runs as another user (setuid).
            except ProcessLookupError:
                pass
        return reached

    def signal_session(self, signum: int) -> None:
        """Signal every process of its session; call where the loop is driven."""
        self.session.signal(signum)
        # A stopped process handles the signal only when it is continued.
        if signum != SIGKILL and self.status is None:
            try:
                os.killpg(self.pid, SIGCONT)
            except (ProcessLookupError, PermissionError):
                pass

    def kill_now(self) -> None:
        """Send SIGKILL to its process group at once; any thread may call it."""
        if self.status is None:
            try:
                os.killpg(self.pid, SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    # Exit

    def look(self) -> None:
        """Check for its exit, and write the input that waits; for a thread that stands in for the loop."""
        if self.status is None:
            self._process.look()
        self._feed.push()

    def read(self) -> bool:
        """Read what its pipes hold; return True if bytes came. Any thread may call it."""
        found = False
        for stream in self._streams:
            found |= stream.read()
        return found

    def fds(self) -> list[int]:
        """Return the fds of its pipes that are not at their end."""
        return [stream.fileno() for stream in self._streams if not stream.at_end]

    def cut(self) -> None:
        """Close its pipes, even if another process holds them open; call where the loop is driven."""
        for stream in self._streams:
            stream.cut()

    def drain(self) -> None:
        """Read what its pipes hold, up to a bound, since a writer may still run."""
        for stream in self._streams:
            stream.drain()

    def abandon(self) -> int | None:
        """End it with SIGKILL and read what it wrote, since its loop was closed or failed to take it over.

        Returns:
            The exit status; None if it did not exit in time.
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
        self._close_terminal()
        for stream in self._streams:
            stream.drain()
            stream.drop()
        self._streams = []
        self._open = 0
        self._resources.warden.release(self.pid)
        # Set even if the exit was not seen: there is no process to signal from now on.
        self.status = -SIGKILL if status is None else status
        return status

    def reap(self, seconds: float) -> int | None:
        """Wait for its exit without the loop, for ``seconds`` at most; return the status, or None."""
        try:
            return self._process.proc.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def lose(self) -> None:
        """Replace its pipes by /dev/null in a fork of the process."""
        self._feed.lose()
        if self._terminal is not None:
            self._terminal.lose()
        for stream in self._streams:
            stream.lose()
        # Otherwise Popen would warn that it still runs; it is not a child of the fork.
        if self._process.proc.returncode is None:
            self._process.proc.returncode = 0

    # Helpers

    def _open_ends(self, undo: ExitStack, theirs: ExitStack) -> Ends:
        if self._spec.tty:
            ends = open_terminal(self._spec, self._driver, undo, theirs)
        else:
            ends = open_pipes(self._driver, undo, theirs, beside=self._side is not None)
        self._feed, self._terminal = ends.feed, ends.terminal
        return ends

    def _take_streams(self, ends: Ends) -> None:
        self._streams = ends.take_streams(self._stream)

    def _drop_streams(self) -> None:
        for stream in self._streams:
            stream.drop()
        self._streams = []

    def _launch(self, ends: Ends) -> None:
        self.started, self.began = time.time(), time.monotonic()
        self._process = start_process(
            self._spec,
            self._driver.io_loop,
            stdin=ends.stdin,
            stdout=ends.stdout,
            stderr=ends.stderr,
            pass_fds=ends.beside,
            arguments=[str(end) for end in ends.beside],
            gate=ends.gate,
        )

    def _undo_launch(self) -> None:
        end_sessions([self.pid], 0.0)
        self.kill_now()
        self._process.proc.wait()

    def _stream(self, fd: int, name: StreamName, *, beside: bool = False) -> SpoolStream:
        sink: Sink = self._output
        on_read: Callable[[], None] = self._listener.run_wrote
        if beside and self._side is not None:
            sink, on_read = self._side, self._side.arrived
        pipes, is_terminal = self._resources.pipes, self._spec.tty
        return SpoolStream(fd, name, sink, self._driver, pipes, on_read, self._ended, terminal=is_terminal)

    def _ended(self, stream: SpoolStream) -> None:
        with self._listener.lock:
            if not stream.take_end():
                return
            self._open -= 1
            # A new list, since another thread may be iterating over the old one.
            self._streams = [stream for stream in self._streams if not stream.told]
            self._look_no_more()
            if not self._open:
                self._listener.run_piped_out(self)

    def _exited(self, status: int) -> None:
        if self._driver.is_spent():
            # If thousands exit together, some wait for the next turn of the loop.
            self._driver.soon(lambda: self._note_exit(status))
        else:
            self._driver.call(lambda: self._note_exit(status))

    def _note_exit(self, status: int) -> None:
        with self._listener.lock:
            if not self._begun:
                # Another thread is still starting it: `begin` reports the exit.
                self._early_status = status
                return
            if self.status is not None:
                return  # It was abandoned.
            self.status = status
            self._look_no_more()
            self._feed.close()
            # Before its end is decided on: the terminal is at its end unless another process holds it.
            self._close_terminal()
            self.session.leader_exited()
            self._let_go()
            self._listener.run_exited(self)

    def _members_changed(self) -> None:
        self._let_go()
        self._listener.run_members_changed(self)

    def _look_no_more(self) -> None:
        if self.status is not None and not self._open:
            self._driver.discard(self)

    def _close_terminal(self) -> None:
        if self._terminal is not None:
            self._terminal.close()

    def _let_go(self) -> None:
        # The warden ends what a job left. Once the session is empty, its number may go to another process.
        if self.session.is_empty:
            self._resources.warden.release(self.pid)
