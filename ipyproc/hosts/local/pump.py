"""From a pipe into an output: by the loop, or by another thread while the loop is held."""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Protocol

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.feed import put_nothing_at
from ipyproc.process.loops import asyncio_loop, on_loop
from ipyproc.spool.output import StreamName

__all__ = ["Pipes", "Pump", "Sink"]

_DEFAULT_PIPE = 64 << 10
_LARGE_PIPE = 1 << 20
_BUFFER = 256 << 10
_MOST_BUFFERS = 4
_CUT_READS = 32
_MOST_NEW = 8
_SLOWEST_LOOK = 0.1


class Sink(Protocol):
    """Where the bytes of a pipe go."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held for each read, so that bytes stay in order whichever thread reads."""

    def append(self, stream: StreamName, data: bytes | memoryview, at: float) -> None:
        """Takes bytes that came at the time ``at``; a view is good for the length of the call only."""


_buffers: list[bytearray] = []
"""What pipes are read into, lent for one read: no job has one of its own, and none is allocated anew."""


class Pump:
    """The reading end of one pipe of a job.

    The loop's selector holds the only lasting reference: when the loop is closed under the job, the
    fd goes with it.

    Args:
        fd: a pipe's reading end, non-blocking; the pump closes it.
        stream: what the pipe is to the job.
        output: where the bytes go.
        driver: of the loop that reads, as long as it comes round.
        pipes: where the pump is entered, for whoever stands in for the loop.
        on_read: called after each read, in the thread that read.
        on_end: called where the loop is driven, when the pipe is at its end.
    """

    fd: int | None = None

    def __init__(
        self,
        fd: int,
        stream: StreamName,
        output: Sink,
        driver: Driver,
        pipes: Pipes,
        on_read: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self.reads = 0
        self._stream = stream
        self._output = output
        self._driver = driver
        self._on_read = on_read
        self._on_end = on_end
        self._large = False
        self._at_end = False
        self._ended = False
        self._watched = False
        self._pipes = pipes
        # Last: one that was not made closes nothing.
        self.fd = fd

    def start(self) -> None:
        """Begins to read on the loop; to be called there."""
        if self.fd is not None and not self._ended:
            self._watched = True
            asyncio_loop(self._driver.io_loop).add_reader(self.fd, self._readable)

    def read(self) -> bool:
        """Reads what is there, 1 MiB at most, in any thread; whether there was anything."""
        with self._output.lock:
            if self.fd is None or self._at_end or self._ended:
                return False
            size = self._read_into_output(self.fd)
            if not size and not self._at_end:
                return False
            self.reads += 1
        if size >= _DEFAULT_PIPE and not self._large:
            self._enlarge()
        if size:
            self._on_read()
        if self._at_end:
            self._driver.call(self._end)
        return True

    def cut(self) -> None:
        """Takes what is there and closes, though a writer may live on; where the loop is driven."""
        self.drain()
        self._end()

    def drop(self) -> None:
        """Close it and tell nobody: what was to write into it has not been started, or is over."""
        self._ended = True
        if self._watched and not self._driver.closed:
            on_loop(self._driver.io_loop, self._give_back)
        else:
            self._give_back()

    @property
    def at_end(self) -> bool:
        """Whether nothing more can be read."""
        return self._at_end or self._ended

    def drain(self) -> None:
        """Takes what is there, though not for ever where a writer lives on."""
        for _ in range(_CUT_READS):
            if not self.read() or self._at_end:
                break

    def _read_into_output(self, fd: int) -> int:
        """Hands on what is there, up to a few buffers full; returns how many bytes that were."""
        # Taken out of the list for the time: a collection may read other pipes in the midst of this.
        buffer = _buffers.pop() if _buffers else bytearray(_BUFFER)
        size = 0
        try:
            while size < _MOST_BUFFERS * _BUFFER:
                count = os.readv(fd, [buffer])
                if not count:
                    self._at_end = True
                    break
                self._output.append(self._stream, memoryview(buffer)[:count], time.time())
                size += count
                if count < _BUFFER:
                    break
        except BlockingIOError:
            pass
        finally:
            _buffers.append(buffer)
        return size

    def _readable(self) -> None:
        # Of thousands that end together some wait for the loop's next turn: it polls again then.
        if not self._driver.is_spent():
            self.read()

    def _end(self) -> None:
        with self._output.lock:
            ended, self._ended = self._ended, True
        if ended:
            return
        if self._driver.closed:
            self._give_back()
        else:
            # The loop's poll knows the fd: nobody else may get its number before the loop forgets it.
            on_loop(self._driver.io_loop, self._give_back)
        self._on_end()

    def _give_back(self) -> None:
        with self._output.lock:
            fd, self.fd = self.fd, None
        if fd is not None:
            if self._watched and not self._driver.closed:
                asyncio_loop(self._driver.io_loop).remove_reader(fd)
            self._close(fd)

    def _enlarge(self) -> None:
        # One read a wake-up: a larger pipe is fewer of them. Past the user's share of pipe memory
        # (/proc/sys/fs/pipe-user-pages-soft) the system refuses, and a small pipe serves as well.
        self._large = True
        try:
            fd = self.fd
            if fd is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _LARGE_PIPE)
        except OSError:
            pass

    def lose(self) -> None:
        """Put nothing in the fd's place, in a fork of the process: there the pipe is nobody's."""
        # Where the fork's copy of the loop still turns, it has nothing to read there.
        self._ended = True
        if self.fd is not None:
            put_nothing_at(self.fd)

    def _close(self, fd: int) -> None:
        self._pipes.discard(fd)
        os.close(fd)

    def __del__(self) -> None:
        fd, self.fd = self.fd, None
        if fd is not None:
            self._close(fd)


class Pipes:
    """All pipes that are being read, for a thread that stands in for a loop that is held."""

    def __init__(self) -> None:
        self._pumps: dict[int, weakref.ref[Pump]] = {}
        self._new: deque[weakref.ref[Pump]] = deque(maxlen=_MOST_NEW)
        self._owner = os.getpid()
        self._lock = threading.RLock()

    @cached_property
    def _epoll(self) -> select.epoll | None:
        if not hasattr(select, "epoll"):
            return None
        epoll = select.epoll()
        epoll.register(self._alarm[0], select.EPOLLIN)
        return epoll

    @cached_property
    def _alarm(self) -> tuple[int, int]:
        alarm, bell = os.pipe()
        os.set_blocking(alarm, False)
        return alarm, bell

    def open(self) -> None:
        """Takes the fds that it needs itself.

        Raises:
            OSError: no more may be opened.
        """
        _ = self._epoll, self._alarm

    def __del__(self) -> None:
        for fd in self.__dict__.pop("_alarm", ()):
            os.close(fd)

    def add(self, pump: Pump) -> None:
        """Takes in a pump that can be read from now on."""
        fd = pump.fd
        if fd is None:
            return
        with self._lock:
            self._pumps[fd] = weakref.ref(pump)
            self._new.append(self._pumps[fd])
            if self._epoll is not None:
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def discard(self, fd: int) -> None:
        """Forgets a pipe that is about to be closed."""
        with self._lock:
            # A fork shares the epoll with the kernel, whose pipe goes on being read.
            if self._pumps.pop(fd, None) is None or os.getpid() != self._owner:
                return
            if self._epoll is not None:
                self._epoll.unregister(fd)

    def wait(self, timeout: float | None) -> list[Pump]:
        """Waits until pipes can be read, and returns their pumps, each once until `rearm`.

        Args:
            timeout: seconds to wait at most; None for as long as it takes, or until `wake`.
        """
        fds = self._readable(timeout)
        if self._alarm[0] in fds:
            self._hush()
        return self._pumps_of(fds)

    def ready(self) -> list[Pump]:
        """The pumps of the pipes that can be read now, each once until `rearm`; waits for nothing."""
        return self._pumps_of(self._readable(0.0))

    def rearm(self, pump: Pump) -> None:
        """Has `wait` return the pump again when it can be read."""
        fd = pump.fd
        if fd is None:
            return
        with self._lock:
            if self._epoll is not None and fd in self._pumps:
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def all(self) -> list[Pump]:
        """All pumps that read."""
        with self._lock:
            found = [ref() for ref in self._pumps.values()]
        return [pump for pump in found if pump is not None]

    def take_new(self) -> list[Pump]:
        """The pumps that were taken in since this was last called, the last few of them."""
        with self._lock:
            new = [*self._new]
            self._new.clear()
        return [pump for ref in new if (pump := ref()) is not None]

    def wake(self) -> None:
        """Ends a `wait` that goes on in another thread."""
        os.write(self._alarm[1], b"\0")

    def _readable(self, timeout: float | None) -> list[int]:
        if self._epoll is not None:
            return [fd for fd, _ in self._epoll.poll(timeout)]
        # Not select(2): it takes no fd above 1023, and none that another thread has closed just now.
        poll = select.poll()
        with self._lock:
            for fd in (*self._pumps, self._alarm[0]):
                poll.register(fd, select.POLLIN)
        return [fd for fd, _ in poll.poll(1000 * (_SLOWEST_LOOK if timeout is None else timeout))]

    def _pumps_of(self, fds: list[int]) -> list[Pump]:
        with self._lock:
            found = [ref() for fd in fds if (ref := self._pumps.get(fd)) is not None]
        return [pump for pump in found if pump is not None]

    def _hush(self) -> None:
        try:
            os.read(self._alarm[0], 64)
        except BlockingIOError:
            pass
