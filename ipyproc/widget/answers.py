"""Whether pages answer: a front end without widgets never does."""

from __future__ import annotations

import time

__all__ = ["Answers"]

_SECONDS = 60.0


class Answers:
    """What is known of the pages' answers to live views.

    While a view is waited for, its job's status stands still. After one that nobody answered none is expected
    for a minute, until a page is heard, or the patience is set to another value.
    """

    __slots__ = ("_patience", "_until")

    def __init__(self) -> None:
        self._until = 0.0
        self._patience = 0.0

    def are_expected(self, patience: float) -> bool:
        """Return True if a view that is shown now may be answered within so many seconds."""
        return time.monotonic() >= self._until or patience != self._patience

    def none_came(self, patience: float) -> None:
        """Note that no page has answered within so many seconds."""
        if self.are_expected(patience):
            self._until = time.monotonic() + _SECONDS
            self._patience = patience

    def came(self) -> bool:
        """Note that a page was heard; return True if none was expected."""
        until, self._until = self._until, 0.0
        return time.monotonic() < until
