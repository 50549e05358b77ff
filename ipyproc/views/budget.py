"""How much may go to the page: the limits, and the budget that all views of a kernel share."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Budget", "Limits"]

_MESSAGE_COST = 1000


class Limits(Protocol):
    """How much views show, and how fast. The values are read anew each time: a user may change them."""

    @property
    def cell_bytes(self) -> int:
        """Bytes of a job's output that its cell shows; then a live tail."""

    @property
    def batch_bytes(self) -> int:
        """Bytes of a job's output that its cell shows in a file that a batch run saves."""

    @property
    def tail_lines(self) -> int:
        """Lines of the live tail."""

    @property
    def messages_per_second(self) -> float:
        """Messages a second that one view sends."""

    @property
    def bytes_per_second(self) -> int:
        """Bytes of output a second that all views together send to the page."""


class Budget:
    """How many bytes may go to the page now: a token bucket.

    Args:
        limits: has the rate, bytes a second; read anew each time.
        now: the time, in seconds on a clock that only goes forward.
    """

    def __init__(self, limits: Limits, now: float | None = None) -> None:
        self._limits = limits
        self._left = limits.bytes_per_second / 2
        self._at = time.monotonic() if now is None else now

    def available(self, now: float) -> int:
        """Return how many bytes may be sent at the time ``now``; 0 until a message is worth its cost."""
        rate = self._limits.bytes_per_second
        self._left = min(rate / 2, self._left + (now - self._at) * rate)
        self._at = now
        return int(self._left) if self._left >= self._least else 0

    def free_at(self, now: float) -> float:
        """Return when something may be sent."""
        self.available(now)
        return now + max(0.0, (self._least - self._left) / self._limits.bytes_per_second)

    def spend(self, size: int) -> None:
        """Take off bytes that were sent in a message, and what the message itself costs."""
        # A page takes a thousand messages a second, however short. What was forced may overdraw the
        # account, by a second's worth at most.
        self._left = max(self._left - size - _MESSAGE_COST, -float(self._limits.bytes_per_second))

    @property
    def _least(self) -> float:
        return min(2048.0, self._limits.bytes_per_second / 4)
