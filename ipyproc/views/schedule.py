"""Timers that flush views on the loop: after an event, at the next due time, and to renew elapsed times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ipyproc.process.loops import on_loop

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

__all__ = ["Publishers", "Schedule"]

_TICK_SECONDS = 0.5


class Schedule:
    """The timers of a view manager.

    Args:
        io_loop: the loop on which they run.
        flush: called to flush what is due; returns the time of the next flush.
        age: called to mark old elapsed times for renewal; returns False if no view has any.
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
        """Schedule a flush on the loop; any thread may call it."""
        # One callback is enough for all events that come while the loop is held.
        if not self._poked:
            self._poked = True
            try:
                on_loop(self._io_loop, self._arm_soon)
            except BaseException:
                # An interrupt of the cell may come here.
                self._poked = False
                raise

    def begin_anew(self) -> None:
        """Allow `soon` to schedule again, since a cell begins and an earlier callback may be lost."""
        self._poked = False

    def tick(self) -> None:
        """Flush what is due and set the timer for the next time; call on the loop."""
        if self._timer is not None:
            self._io_loop.remove_timeout(self._timer)
            self._timer = None
        self._arm(self._flush())

    def close(self) -> None:
        """Cancel the timers; call on the loop."""
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


class Publisher(Protocol):
    """An object that shows the output of jobs, on any thread."""

    def flush_due(self) -> float:
        """Show what is due; return the time of the next call on the monotonic clock."""

    def tick(self) -> None:
        """Show what is due; called on the loop."""


class Publishers:
    """Several publishers as one.

    Args:
        publishers: those.
    """

    def __init__(self, publishers: Sequence[Publisher]) -> None:
        self._publishers = publishers

    def flush_due(self) -> float:
        """Show what is due; return the time of the next call on the monotonic clock."""
        return min(publisher.flush_due() for publisher in self._publishers)

    def tick(self) -> None:
        """Show what is due; called on the loop."""
        for publisher in self._publishers:
            publisher.tick()
