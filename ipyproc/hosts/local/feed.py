"""A process's standard input: bytes wait here until the process reads them, and no write blocks."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from ipyproc.hosts.local.driver import Driver
from ipyproc.process.loops import asyncio_loop, on_loop
from ipyproc.process.platform.pty import GONE

__all__ = ["Feed", "put_nothing_at"]

log = logging.getLogger("ipyproc")

_CHUNK = 256 << 10
_LINE_ENDS = (b"\n", b"\r")


class Feed:
    """The writing end of the pipe to a process's standard input.

    Args:
        fd: the writing end, non-blocking; the feed closes it.
        driver: the driver of the loop that writes what the pipe did not accept at once.
        end_of_file: for a terminal, returns the character that ends its input at the start of a line. It is
            written where a pipe would be closed, and the terminal takes more after that. None for a pipe.

    Attributes:
        on_close: called when it is closed, once; None for nothing.
    """

    _fd: int | None = None

    def __init__(self, fd: int, driver: Driver, end_of_file: Callable[[], bytes] | None = None) -> None:
        self._driver = driver
        self._end_of_file = end_of_file
        self._at_line_start = True
        self._lock = threading.RLock()
        self._waiting: deque[memoryview] = deque()
        self._ends = False
        self._watched = False
        self.on_close: Callable[[], None] | None = None
        # Set last, so that a failed constructor closes nothing.
        self._fd = fd

    @property
    def open(self) -> bool:
        """True until it is closed, or set to close after the bytes that wait."""
        return self._fd is not None and not self._ends

    @property
    def pending(self) -> bool:
        """True while bytes wait that the pipe has not accepted."""
        return bool(self._waiting)

    @property
    def unread(self) -> int:
        """The number of bytes that the pipe has not accepted."""
        with self._lock:
            return sum(map(len, self._waiting))

    def fileno(self) -> int | None:
        """Return the fd; None once it is closed."""
        return self._fd

    def write(self, data: bytes, *, close: bool = False) -> None:
        """Write ``data``, and close the pipe after it if ``close``; any thread may call it."""
        with self._lock:
            if not self.open:
                return
            if self._end_of_file is not None:
                data, close = self._typed(data, close), False
            if data:
                self._waiting.append(memoryview(data))
            self._ends = close
            self.push()

    def push(self) -> bool:
        """Write what the pipe accepts now; return True if that was any. Any thread may call it."""
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
                    # The child may close its end, or exit: that is not an error.
                    if error.errno not in GONE:
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
        """Close the pipe and drop the bytes that wait; any thread may call it, more than once."""
        with self._lock:
            fd, self._fd = self._fd, None
            self._waiting.clear()
            self._ends = True
            if fd is None:
                return
            if self.on_close is not None:
                self.on_close()
            if not self._watched:
                os.close(fd)
                return
            # The loop polls this fd, so its number must not be reused before the loop removes it; but the
            # process must see the end of its input now. Hence /dev/null takes the pipe's place.
            # Not of a terminal: that has no end of input, and the poll would keep its other fd's entry.
            try:
                if self._end_of_file is None:
                    put_nothing_at(fd)
            except OSError:
                pass  # No fd is left: the process sees the end once the loop has run.
            self._watched = False

        def forget() -> None:
            asyncio_loop(self._driver.io_loop).remove_writer(fd)
            os.close(fd)

        if self._driver.closed:
            os.close(fd)
        else:
            on_loop(self._driver.io_loop, forget)

    def lose(self) -> None:
        """Replace the pipe by /dev/null in a fork of the process, where it must not keep the pipe open."""
        self._lock = threading.RLock()
        self._waiting.clear()
        if self._fd is not None:
            put_nothing_at(self._fd)

    def _typed(self, data: bytes, close: bool) -> bytes:
        """Return what to type for ``data``, and for the end of the input after it if ``close``."""
        if data:
            self._at_line_start = data[-1:] in _LINE_ENDS
        if close and self._end_of_file is not None:
            # Within a line the first one hands over what there is of it.
            data += self._end_of_file() * (1 if self._at_line_start else 2)
            self._at_line_start = True
        return data

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
    """Make ``fd`` refer to /dev/null; this closes what it referred to."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(null, fd, inheritable=False)
    finally:
        os.close(null)
