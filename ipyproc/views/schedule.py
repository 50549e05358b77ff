"""When views are flushed on the loop: soon after an event, when one is due, and as clocks grow old."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ipyproc.process.loops import on_loop

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

__all__ = ["Schedule"]

_TICK_SECONDS = 0.5


class Schedule:
    """The timers of a screen.

    Args:
        io_loop: where they run.
        flush: flushes what is due, and returns when the next is.
        age: has clocks that have grown old shown anew; returns whether there are any that go on.
    """

    def __init__(self, io_loop: IOLoop, flush: Callable[[], float], age: Callable[[], bool]) -> None:
        self._io_loop = io_loop
        self._flush = flush
        self._age = age
        self._timer: object | None = None
        self._timer_due = 0.0
        self._poked = False
        self._ticker: object | None = None
        self._closed = False

    def soon(self) -> None:
        """Have the loop look at what is due; in any thread."""
        # Of many events while the loop is held, one callback is enough.
        if not self._poked:
            self._poked = True
            try:
                on_loop(self._io_loop, self._arm_soon)
            except BaseException:
                # An interrupt of the cell, for one.
                self._poked = False
                raise

    def begin_anew(self) -> None:
        """Take it that the loop has come round: what was handed to it may have got lost."""
        self._poked = False

    def tick(self) -> None:
        """Flush what is due and see to the next time; on the loop."""
        if self._timer is not None:
            self._io_loop.remove_timeout(self._timer)
            self._timer = None
        self._arm(self._flush())

    def close(self) -> None:
        """End the timers; on the loop."""
        self._closed = True
        for handle in (self._timer, self._ticker):
            if handle is not None:
                self._io_loop.remove_timeout(handle)
        self._timer = self._ticker = None

    def _arm_soon(self) -> None:
        self._poked = False
        now = time.monotonic()
        if self._closed or (self._timer is not None and self._timer_due <= now):
            return
        self._arm(self._flush())
        if self._ticker is None:
            self._ticker = self._io_loop.call_later(_TICK_SECONDS, self._tick_clocks)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._io_loop.remove_timeout(self._timer)
            self._timer = None
        if due != float("inf") and not self._closed:
            self._timer_due = due
            self._timer = self._io_loop.call_later(max(0.0, due - time.monotonic()), self.tick)

    def _tick_clocks(self) -> None:
        self._ticker = None
        if self._age():
            self._ticker = self._io_loop.call_later(_TICK_SECONDS, self._tick_clocks)
        self._arm(self._flush())
