"""Whether pages answer: a front end without widgets never does."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Answers"]

_SECONDS = 60.0


class Answers:
    """What is known of the pages' answers to live views.

    While a view is waited for, its job's status stands still. After one that nobody answered none is expected
    for a minute, until a page is heard, or the patience is set to another value.

    Args:
        again: called when a page is heard while none was expected; on any thread.
    """

    __slots__ = ("_again", "_patience", "_until")

    def __init__(self, again: Callable[[], object]) -> None:
        self._again = again
        self._until = 0.0
        self._patience = 0.0

    def are_expected(self, patience: float) -> bool:
        """Return True if a view that is shown now may be answered within so many seconds."""
        return time.monotonic() >= self._until or patience != self._patience

    def may_come(self, since: float, now: float, patience: float, *, was_asked: bool) -> bool:
        """Return True if the first answer to a view may still come.

        Args:
            since: when the view was shown.
            now: the time now.
            patience: how long an answer may take, in seconds.
            was_asked: whether pages have been asked to show it; if so, and it is too late, none is expected
                by other views either.
        """
        if now < since + patience:
            return True
        if was_asked and self.are_expected(patience):
            self._until = time.monotonic() + _SECONDS
            self._patience = patience
        return False

    def came(self) -> None:
        """Note that a page was heard."""
        until, self._until = self._until, 0.0
        if time.monotonic() < until:
            self._again()
