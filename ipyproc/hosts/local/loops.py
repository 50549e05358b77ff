"""The event loops on which the jobs of the local host live, and their drivers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

from tornado.ioloop import IOLoop

from ipyproc.errors import NoLoopError
from ipyproc.hosts.local.driver import Driver
from ipyproc.process.loops import asyncio_loop

__all__ = ["Loops"]


class Loops:
    """Find the loop for a new job. Any thread may call any method.

    Args:
        on_change: called with the loop when it differs from the one before.
    """

    def __init__(self, on_change: Callable[[IOLoop], None]) -> None:
        self._on_change = on_change
        self._drivers: WeakKeyDictionary[object, Driver] = WeakKeyDictionary()
        self._lock = threading.RLock()
        self._current: IOLoop | None = None
        self._settled = False

    @property
    def current(self) -> IOLoop | None:
        """The loop of the last job; None before the first."""
        return self._current

    def settle(self, io_loop: IOLoop) -> None:
        """Let all new jobs live on ``io_loop``, whichever thread and loop starts them."""
        self._current = io_loop
        self._settled = True
        self._on_change(io_loop)

    def find(self) -> IOLoop:
        """Return the loop given to `settle`, or else the one that runs on this thread.

        Raises:
            NoLoopError: there is neither.
        """
        current = self._current
        if current is not None and asyncio_loop(current).is_closed():
            current, self._settled = None, False
        if current is None or not self._settled:
            try:
                asyncio.get_running_loop()
                current = IOLoop.current()
            except RuntimeError:
                pass
        if current is None:
            raise NoLoopError(
                "No event loop runs here, and a job needs one; start it in a coroutine, or in a notebook."
            )
        if current is not self._current:
            self._current = current
            self._on_change(current)
        return current

    def find_driver(self) -> Driver:
        """Return the driver of the loop that `find` returns.

        Raises:
            NoLoopError: there is no loop.
        """
        return self.driver_of(self.find())

    def driver_of(self, io_loop: IOLoop) -> Driver:
        """Return the driver of a loop, always the same one."""
        loop = asyncio_loop(io_loop)
        with self._lock:
            driver = self._drivers.get(loop)
            if driver is None:
                driver = self._drivers[loop] = Driver(io_loop)
            return driver

    def lose(self) -> None:
        """Drop the work of all drivers in a fork of the process."""
        self._lock = threading.RLock()
        for driver in list(self._drivers.values()):
            driver.lose()
