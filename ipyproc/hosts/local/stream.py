"""Read a pipe into a job's output: a Tornado stream on the job's loop, which other threads may read too."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol
from weakref import ReferenceType, WeakKeyDictionary, ref

from tornado.ioloop import IOLoop
from tornado.iostream import BaseIOStream, PipeIOStream

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.feed import put_nothing_at
from ipyproc.hosts.local.pipes import Pipes
from ipyproc.process.loops import asyncio_loop, current_as, on_loop
from ipyproc.spool.named import NamedOutput
from ipyproc.spool.output import StreamName

__all__ = ["Sink", "SpoolStream"]

log = logging.getLogger("ipyproc")

_DEFAULT_PIPE = 64 << 10
_LARGE_PIPE = 1 << 20
_BUFFER = 256 << 10
# A terminal gives 4 kB at once, and while that is read, the next. Where others need the processors, 64 kB
# take up to 10 ms, and a cell needs several turns of the loop.
_FILLED = 64 << 10
_FILL_SECONDS = 0.001
_MOST_BUFFERS = 4
_CUT_READS = 32
_NEVER = 1e9

_ErrorInfo = (
    bool
    | BaseException
    | tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
    | None
)


class Sink(Protocol):
    """The destination of a pipe's bytes."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock to hold for each read and append, so that bytes stay in order whichever thread reads."""

    def append(self, stream: StreamName, data: bytes | memoryview, at: float) -> None:
        """Append bytes that came at the time ``at``; copy a view, which is invalid after the call."""


_buffers: list[bytearray] = []
"""Buffers for reads, shared by all jobs and borrowed for one read each."""


class SpoolStream(PipeIOStream):
    """The reading end of a job's pipe: a Tornado stream that hands its bytes to a sink.

    The loop reads it from `start` to the end of the pipe. Any thread may read it at the same time (`read`):
    each read and its append hold the sink's lock. The stream's own buffer stays empty, so that the one read
    that is pending all that time, `read_until_close`, returns no bytes. Any thread may create it.

    Args:
        fd: a pipe's reading end; the stream closes it.
        name: the name of the stream, "stdout" or "stderr".
        sink: the destination of the bytes.
        driver: the driver of the loop.
        pipes: the pipes in which the stand-in finds the stream, once the caller has added it.
        on_read: called after each read, on the thread that read.
        on_end: called with the stream, where the loop is driven, after the last read; not after `drop`. Two
            threads that drive the loop may both call it: `take_end` says which is the first.
        terminal: whether the fd is the master of a pseudo-terminal.

    Attributes:
        reads: the number of reads that returned bytes or the end.
        at_end: whether the pipe is at its end, or the stream was closed.
        through: a pipe through which a terminal's bytes go into named files; the stream closes it.
    """

    _is_open = False

    def __init__(
        self,
        fd: int,
        name: StreamName,
        sink: Sink,
        driver: Driver,
        pipes: Pipes,
        on_read: Callable[[], None],
        on_end: Callable[[SpoolStream], None],
        *,
        terminal: bool = False,
    ) -> None:
        self.reads = 0
        self.at_end = False
        self._name = name
        self._sink = sink
        self._driver = driver
        self._pipes = pipes
        self._on_read = on_read
        self._on_end: Callable[[SpoolStream], None] | None = on_end
        self._started = False
        # A terminal is read by 4 kB whatever the buffer, and cannot be made larger.
        self._in_bits = self._large = terminal
        self.through: tuple[int, int] | None = None
        os.set_blocking(fd, False)
        # Past PipeIOStream's own, whose file object would own the fd, and is not needed: we read and close.
        # Tornado allocates a buffer of the chunk's size for each read, in which nothing is put.
        with current_as(driver.io_loop):
            BaseIOStream.__init__(self, read_chunk_size=1)
        self.io_loop = driver.io_loop
        self.fd = fd
        # Last: a stream that was not made closes nothing.
        self._is_open = True

    def start(self) -> None:
        """Begin to read on the loop; where the loop is driven.

        Raises:
            OSError: the loop's poll may watch no more.
        """
        if self.at_end:
            return
        _hold(self._driver, self._pipes)
        with current_as(self.io_loop):
            self.read_until_close()
        self._started = True

    def read(self) -> bool:
        """Read at most 1 MiB; return True if bytes or the end came. Any thread may call it."""
        found = self._pass_on()
        if found and self.at_end:
            self._driver.call(self._end)
        return found

    def drain(self) -> None:
        """Read what the pipe holds, up to a bound, since a writer may run; call where the loop is driven."""
        for _ in range(_CUT_READS):
            if not self.read() or self.at_end:
                break
        if self.at_end:
            # Another thread may have read the end, and its queued call may not have run yet.
            self._driver.call(self._end)

    def cut(self) -> None:
        """Read what the pipe holds and close it, even if a writer runs; call where the loop is driven."""
        self.drain()
        self._end()

    def drop(self) -> None:
        """Close the pipe without a call of ``on_end``; any thread may call it."""
        with self._sink.lock:
            self.at_end, self._on_end = True, None
        if self._started:
            self._close_on_loop()
        else:
            self.close()

    def lose(self) -> None:
        """Replace the pipe by /dev/null in a fork of the process."""
        # Without the lock, whose holder may not exist in the fork.
        self.at_end, self._on_end = True, None
        if self._is_open:
            put_nothing_at(self.fd)

    @property
    def sink(self) -> Sink:
        """The destination of the bytes."""
        return self._sink

    @property
    def name(self) -> StreamName:
        """The name of the stream."""
        return self._name

    @property
    def told(self) -> bool:
        """True when the end was taken, or is not to be told any more."""
        return self._on_end is None

    def take_end(self) -> bool:
        """Return True to the first caller; ``on_end`` calls it once it has the lock of what it changes."""
        with self._sink.lock:
            on_end, self._on_end = self._on_end, None
        return on_end is not None

    # What Tornado calls

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read what is there into the sink; return 0 at the end, else None, as if nothing had been there."""
        # `start` reads nothing, since it may run amid other work. And of thousands of pipes that are
        # written together some wait for the loop's next turn: it polls again then.
        if self._started and not self._driver.is_spent():
            try:
                self._pass_on()
            except Exception:
                # Otherwise Tornado would close the stream, and a SIGPIPE would end the writer.
                log.exception("Output of a job could not be passed on.")
        return 0 if self.at_end else None

    def close(self, exc_info: _ErrorInfo = False) -> None:
        """Close it, and say that it is at its end; on the loop. Tornado does it at the end of the pipe."""
        super().close(exc_info)
        self._tell()

    def close_fd(self) -> None:
        """Close the pipe, when no thread reads it; the loop has forgotten it by then."""
        with self._sink.lock:
            self.at_end = True
            self._close_fd()

    # Helpers

    def _pass_on(self) -> bool:
        """Read what is there into the sink; return whether that was anything, or the end."""
        with self._sink.lock:
            if self.at_end:
                return False
            size = self._read_into_sink()
            if not size and not self.at_end:
                return False
            self.reads += 1
            if size >= _DEFAULT_PIPE and not self._large:
                self._enlarge()
        if size:
            self._on_read()
        return True

    def _read_into_sink(self) -> int:
        """Read up to a few buffers full into the sink; return the number of bytes."""
        if isinstance(self._sink, NamedOutput):
            return self._take_into(self._sink)
        # Removed from the list meanwhile, since garbage collection may read other pipes during this call.
        buffer = _buffers.pop() if _buffers else bytearray(_BUFFER)
        size = 0
        try:
            while size < _MOST_BUFFERS * _BUFFER:
                count = self._fill(buffer) if self._in_bits else self._read_into(buffer)
                if not count:
                    self.at_end = count is not None
                    break
                self._sink.append(self._name, memoryview(buffer)[:count], time.time())
                size += count
                if count < _BUFFER or self._in_bits:
                    break
        finally:
            _buffers.append(buffer)
        return size

    def _take_into(self, sink: NamedOutput) -> int:
        """Move what is there into named files, past this process; return the number of bytes."""
        size = 0
        while size < _MOST_BUFFERS * _BUFFER:
            try:
                count = sink.take(self._name, self.fd, time.time(), self.through)
            except OSError as error:
                self._note_error(error)
                count = 0
            if not count:
                self.at_end = count is not None
                break
            size += count
        return size

    def _fill(self, buffer: bytearray) -> int | None:
        """Read until the terminal is empty, at most 64 kB, for about 1 ms; return as `_read_into` does."""
        filled, until = 0, time.monotonic() + _FILL_SECONDS
        with memoryview(buffer) as view:
            while filled < _FILLED:
                count = self._read_into(view[filled:_FILLED])
                if not count:
                    # The end is found again by the next read.
                    return filled or count
                filled += count
                if time.monotonic() > until:
                    break
        return filled

    def _read_into(self, buffer: bytearray | memoryview) -> int | None:
        """Read once; return the number of bytes, None if the pipe is empty, 0 at its end."""
        try:
            return os.readv(self.fd, [buffer])
        except BlockingIOError:
            return None
        except OSError as error:
            self._note_error(error)
            return 0

    def _note_error(self, error: OSError) -> None:
        # A terminal whose other end was closed raises EIO.
        if error.errno != errno.EIO:
            self.error = error
            if error.errno != errno.EBADF:
                log.warning("Reading a job's output failed: %s", error)

    def _enlarge(self) -> None:
        # One read a wake-up: a larger pipe is fewer of them. Past the user's share of pipe memory
        # (/proc/sys/fs/pipe-user-pages-soft) the system refuses, and a small pipe serves as well.
        self._large = True
        try:
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _LARGE_PIPE)
        except OSError:
            pass

    def _end(self) -> None:
        self._close_on_loop()
        self._tell()

    def _tell(self) -> None:
        # Not taken here: the thread that decides what follows has the job's lock, and must be able to tell
        # the end while another waits in ``on_end`` for that lock.
        on_end = self._on_end
        if on_end is not None:
            on_end(self)

    def _close_on_loop(self) -> None:
        with self._sink.lock:
            self.at_end = True
        if self._driver.closed:
            self.close()
        else:
            # The loop polls the fd, or is about to (`start`): its number must not be reused before the loop
            # removes it.
            on_loop(self.io_loop, self.close)

    def _close_fd(self) -> None:
        if self._is_open:
            self._is_open = False
            self._pipes.discard(self.fd)
            through, self.through = self.through, None
            for fd in through or ():
                os.close(fd)
            try:
                os.close(self.fd)
            except OSError as error:
                # IOLoop.close(all_fds=True) has closed it.
                if error.errno != errno.EBADF:
                    raise

    def __del__(self) -> None:
        # Without the lock: no thread reads the pipe any more, and garbage collection may run where taking
        # the lock would deadlock.
        if self._is_open:
            self._close_fd()


class _Hold:
    """An object that only the loop refers to, and that removes the loop's streams when it is deleted.

    The streams are then deleted, unless something else refers to them. Tornado's list of handlers would keep
    them, since it outlives a loop that was closed through asyncio.
    """

    def __init__(self, io_loop: IOLoop, pipes: Pipes) -> None:
        self._io_loop = io_loop
        # Held weakly, since a table without streams may be deleted before the loop.
        self._pipes = ref(pipes)

    def __call__(self) -> None:
        """Do nothing: for the loop this is a timer that is never due."""

    def __del__(self) -> None:
        pipes = self._pipes()
        for end in () if pipes is None else pipes.all():
            if end.io_loop is self._io_loop:
                self._io_loop.remove_handler(end.fileno())


_holds: WeakKeyDictionary[Driver, ReferenceType[_Hold]] = WeakKeyDictionary()


def _hold(driver: Driver, pipes: Pipes) -> None:
    """See to it that the loop lets go of its streams when it is closed."""
    reference = _holds.get(driver)
    if reference is not None and reference() is not None:
        return
    hold, loop = _Hold(driver.io_loop, pipes), asyncio_loop(driver.io_loop)
    _holds[driver] = ref(hold)

    def hang() -> None:
        loop.call_later(_NEVER, hold)

    on_loop(driver.io_loop, hang)
