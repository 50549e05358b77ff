"""A process's standard input: what is written to it waits until the process takes it, and blocks nobody."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque

from ipyproc.hosts.local.driver import Driver
from ipyproc.process.loops import asyncio_loop, on_loop

__all__ = ["Feed", "put_nothing_at"]

log = logging.getLogger("ipyproc")

_CHUNK = 256 << 10


class Feed:
    """The writing end of the pipe to a process's standard input.

    Args:
        fd: non-blocking; the feed closes it.
        driver: of the loop that writes what the pipe did not take at once.
    """

    _fd: int | None = None

    def __init__(self, fd: int, driver: Driver) -> None:
        self._driver = driver
        self._lock = threading.RLock()
        self._waiting: deque[memoryview] = deque()
        self._ends = False
        self._watched = False
        # Last: one that was not made closes nothing.
        self._fd = fd

    @property
    def open(self) -> bool:
        """Return True until it is closed, or told to close after what waits."""
        return self._fd is not None and not self._ends

    @property
    def pending(self) -> bool:
        """Return True while something waits that the process has not taken."""
        return bool(self._waiting)

    @property
    def unread(self) -> int:
        """Return how many bytes wait that the process has not taken."""
        with self._lock:
            return sum(map(len, self._waiting))

    def fileno(self) -> int | None:
        """Return the fd; None once it is closed."""
        return self._fd

    def write(self, data: bytes, *, close: bool = False) -> None:
        """Write ``data``, and with ``close`` nothing after it; in any thread."""
        with self._lock:
            if not self.open:
                return
            if data:
                self._waiting.append(memoryview(data))
            self._ends = close
            self.push()

    def push(self) -> bool:
        """Write what the pipe takes now; return whether that was anything. In any thread."""
        took = False
        with self._lock:
            while self._waiting and self._fd is not None:
                view = self._waiting[0]
                try:
                    count = os.write(self._fd, view[:_CHUNK])
                except BlockingIOError:
                    self._watch()
                    return took
                except OSError as error:
                    # A child that closed its end, or exited, is no error of the sender's.
                    if error.errno != errno.EPIPE:
                        log.warning("Writing to a job's standard input failed: %s", error)
                    self.close()
                    return took
                took = True
                self._waiting[0] = view[count:]
                if count == len(view):
                    self._waiting.popleft()
            if self._ends:
                self.close()
            elif self._watched:
                self._unwatch()
        return took

    def close(self) -> None:
        """Close it, and let go of what was not taken; in any thread. Harmless when it is closed."""
        with self._lock:
            fd, self._fd = self._fd, None
            self._waiting.clear()
            self._ends = True
            if fd is None:
                return
            if not self._watched:
                os.close(fd)
                return
            # The loop's poll knows the number. It is to be given to nobody else before the loop has
            # forgotten it; but the process is to see the end of its input now.
            try:
                put_nothing_at(fd)
            except OSError:
                pass  # No fd is left: the process sees it when the loop has come round.
            self._watched = False

        def forget() -> None:
            asyncio_loop(self._driver.io_loop).remove_writer(fd)
            os.close(fd)

        if self._driver.closed:
            os.close(fd)
        else:
            on_loop(self._driver.io_loop, forget)

    def lose(self) -> None:
        """Put nothing in the fd's place, in a fork of the process: there the pipe is nobody's."""
        self._lock = threading.RLock()
        self._waiting.clear()
        if self._fd is not None:
            put_nothing_at(self._fd)

    def _watch(self) -> None:
        if self._watched or self._driver.closed:
            return
        self._watched = True
        self._driver.poke()
        fd = self._fd

        def watch() -> None:
            with self._lock:
                if self._watched and self._fd == fd and fd is not None:
                    asyncio_loop(self._driver.io_loop).add_writer(fd, self.push)

        on_loop(self._driver.io_loop, watch)

    def _unwatch(self) -> None:
        fd, loop = self._fd, self._driver.io_loop
        self._watched = False

        def unwatch() -> None:
            with self._lock:
                if not self._watched and self._fd == fd and fd is not None:
                    asyncio_loop(loop).remove_writer(fd)

        on_loop(loop, unwatch)

    def __del__(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def put_nothing_at(fd: int) -> None:
    """Have ``fd`` refer to /dev/null; what it referred to is closed."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(null, fd, inheritable=False)
    finally:
        os.close(null)
