"""How long one turn of a loop may take: of thousands of things that happen at once, some are to wait."""

from __future__ import annotations

import asyncio
import time
from weakref import WeakKeyDictionary

__all__ = ["Turn", "turn_of"]

_SECONDS = 0.008


class Turn:
    """The time that a loop's present turn has had. It is asked on the loop, by callbacks that can wait.

    A callback that is told to wait returns: what its poll has found is found again in the next turn, after
    whatever else the loop has to do.
    """

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began: float | None = None

    def is_spent(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether the turn has had its time.

        Args:
            loop: the loop, which runs in this thread.
        """
        began, now = self._began, time.monotonic()
        if began is None:
            self._began = now
            # The next turn runs this before anything that its poll finds.
            loop.call_soon(self._begin)
            return False
        return now - began > _SECONDS

    def _begin(self) -> None:
        self._began = None


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = WeakKeyDictionary()


def turn_of(loop: asyncio.AbstractEventLoop) -> Turn:
    """Return the one turn of a loop."""
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = Turn()
    return turn
