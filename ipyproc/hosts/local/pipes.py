"""Wait for readable pipes of jobs, for the thread that stands in for a loop that is held."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from functools import cached_property
from typing import Protocol
from weakref import ReferenceType, ref

from tornado.ioloop import IOLoop

__all__ = ["Pipes", "ReadingEnd"]

_MOST_NEW = 8
_SLOWEST_LOOK = 0.1


class ReadingEnd(Protocol):
    """The reading end of a pipe.

    Attributes:
        io_loop: the loop that reads it.
        reads: the number of reads that returned bytes or the end.
        at_end: whether the pipe is at its end.
    """

    io_loop: IOLoop
    reads: int
    at_end: bool

    def fileno(self) -> int:
        """Return the number of the fd, also after it was closed."""

    def closed(self) -> bool:
        """Return True if the fd was closed."""

    def read(self) -> bool:
        """Read what the pipe holds; return True if that was any. Any thread may call it."""


class Pipes:
    """The reading ends of all pipes that are being read, held weakly. Any thread may call any method."""

    def __init__(self) -> None:
        self._ends: dict[int, ReferenceType[ReadingEnd]] = {}
        self._new: deque[ReferenceType[ReadingEnd]] = deque(maxlen=_MOST_NEW)
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
        """Open the fds of this object, unless they are open.

        Raises:
            OSError: the process may open no more fds.
        """
        _ = self._epoll, self._alarm

    def __del__(self) -> None:
        for fd in self.__dict__.pop("_alarm", ()):
            os.close(fd)

    def add(self, end: ReadingEnd) -> None:
        """Add a reading end."""
        if end.closed():
            return
        fd = end.fileno()
        with self._lock:
            self._ends[fd] = ref(end)
            self._new.append(self._ends[fd])
            if self._epoll is not None:
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def discard(self, fd: int) -> None:
        """Remove a pipe that is about to be closed."""
        with self._lock:
            # A fork shares the epoll with the kernel, which still reads the pipe.
            if self._ends.pop(fd, None) is None or os.getpid() != self._owner:
                return
            if self._epoll is not None:
                try:
                    self._epoll.unregister(fd)
                except OSError:
                    pass  # The fd was closed without its stream, as IOLoop.close(all_fds=True) does.

    def wait(self, timeout: float | None) -> list[ReadingEnd]:
        """Wait until pipes are readable; return their ends, each one once until `rearm`.

        Args:
            timeout: the seconds to wait at most; None to wait until a pipe is readable or `wake` is called.
        """
        fds = self._readable(timeout)
        if self._alarm[0] in fds:
            self._hush()
        return self._ends_of(fds)

    def ready(self) -> list[ReadingEnd]:
        """Return the ends that are readable now, each one once until `rearm`; do not wait."""
        return self._ends_of(self._readable(0.0))

    def rearm(self, end: ReadingEnd) -> None:
        """Let `wait` return this end again once it is readable, unless the pipe is at its end."""
        # That stays readable until the loop closes it, and a thread that stands in for the loop would spin.
        if end.at_end:
            return
        with self._lock:
            fd = end.fileno()
            reference = self._ends.get(fd)
            # The number may belong to another pipe by now.
            if self._epoll is not None and reference is not None and reference() is end:
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def all(self) -> list[ReadingEnd]:
        """Return all reading ends."""
        with self._lock:
            found = [reference() for reference in self._ends.values()]
        return [end for end in found if end is not None]

    def take_new(self) -> list[ReadingEnd]:
        """Return the last few of the ends that were added since the previous call."""
        with self._lock:
            new = [*self._new]
            self._new.clear()
        return [end for reference in new if (end := reference()) is not None]

    def wake(self) -> None:
        """End a `wait` in another thread."""
        os.write(self._alarm[1], b"\0")

    def _readable(self, timeout: float | None) -> list[int]:
        if self._epoll is not None:
            return [fd for fd, _ in self._epoll.poll(timeout)]
        # Not select(2): it takes no fd above 1023, and none that another thread has closed just now.
        poll = select.poll()
        poll.register(self._alarm[0], select.POLLIN)
        for end in self.all():
            if not end.at_end:
                poll.register(end.fileno(), select.POLLIN)
        return [fd for fd, _ in poll.poll(1000 * (_SLOWEST_LOOK if timeout is None else timeout))]

    def _ends_of(self, fds: list[int]) -> list[ReadingEnd]:
        with self._lock:
            found = [reference() for fd in fds if (reference := self._ends.get(fd)) is not None]
        return [end for end in found if end is not None]

    def _hush(self) -> None:
        try:
            os.read(self._alarm[0], 64)
        except BlockingIOError:
            pass
