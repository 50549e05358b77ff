"""Limits on what goes to the page, and the budget that all views of a kernel share."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Budget", "Limits"]

_MESSAGE_COST = 1000


class Limits(Protocol):
    """How much views show, and how fast. Views read the values each time, since a user may change them."""

    @property
    def cell_bytes(self) -> int:
        """The bytes of a job's output that its cell shows, before a live tail."""

    @property
    def batch_bytes(self) -> int:
        """The bytes of a job's output that its cell shows in a file that a batch run saves."""

    @property
    def tail_lines(self) -> int:
        """The lines of the live tail."""

    @property
    def messages_per_second(self) -> float:
        """The messages per second of one view."""

    @property
    def bytes_per_second(self) -> int:
        """The bytes of output per second that all views together send to the page."""


class Budget:
    """A token bucket of the bytes that may go to the page.

    It has no lock: the caller allows one thread at a time.

    Args:
        limits: has the rate in bytes per second, which is read each time.
        now: the time in seconds on a monotonic clock; None for that of `time.monotonic`.
    """

    def __init__(self, limits: Limits, now: float | None = None) -> None:
        self._limits = limits
        self._left = limits.bytes_per_second / 2
        self._at = time.monotonic() if now is None else now

    def available(self, now: float) -> int:
        """Return the number of bytes that may be sent at ``now``; 0 while too few for a message."""
        rate = self._limits.bytes_per_second
        self._left = min(rate / 2, self._left + (now - self._at) * rate)
        self._at = now
        return int(self._left) if self._left >= self._least else 0

    def free_at(self, now: float) -> float:
        """Return the time from which `available` is above 0."""
        self.available(now)
        return now + max(0.0, (self._least - self._left) / self._limits.bytes_per_second)

    def spend(self, size: int) -> None:
        """Subtract the bytes that were sent in a message, and the cost of the message itself."""
        # A page handles a thousand messages per second, however short. Forced output may overdraw the
        # budget, by one second's worth at most.
        self._left = max(self._left - size - _MESSAGE_COST, -float(self._limits.bytes_per_second))

    @property
    def _least(self) -> float:
        return min(2048.0, self._limits.bytes_per_second / 4)
