"""Decide what a view shows next, and when, from sizes and times that are handed in; without I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ipyproc.views.cell import Medium

if TYPE_CHECKING:
    from ipyproc.views.budget import Limits
    from ipyproc.views.kinds import Freshness

__all__ = ["LARGEST_MESSAGE", "Pace"]

LARGEST_MESSAGE = 100_000
_LARGEST_UNPACED = 1_000_000
_DISPLAY_PAUSE = 0.25
# Between two turns of reading that have shown nothing: others have two thirds of the time.
_READING_PAUSE = 0.012
# Rows that are overwritten or finished within this time are not drawn, nor lines held longer than this.
_SETTLING = 0.15


class Pace:
    """How far one view of a job has got, and when it continues.

    All times are in seconds on a monotonic clock.

    Args:
        medium: the medium of the view, which sets how much is shown, and how fast.
        limits: the limits for that, which are read each time.
        output: whether to show the output, or the status only.

    Attributes:
        limits: the limits; a caller may replace them.
        output: whether the output is shown.
        shown: the number of characters of finished lines shown.
        is_tailing: whether the live tail replaces all output that follows.
        status_changed: whether the status must be shown again.
    """

    __slots__ = (
        *("is_tailing", "limits", "output", "shown", "status_changed"),
        *("_draw_from", "_look_due", "_medium", "_opened", "_output_due", "_rows_due", "_status_due"),
        *("_read_due", "_tail_due", "_tail_old"),
    )

    def __init__(self, medium: Medium, limits: Limits, *, output: bool) -> None:
        self.limits = limits
        self.output = output
        self.shown = 0
        self.is_tailing = False
        self.status_changed = True
        self._medium = medium
        self._opened = 0.0
        self._output_due = 0.0
        self._read_due = 0.0
        self._tail_due = 0.0
        self._tail_old = False
        self._rows_due = math.inf
        self._draw_from = 0.0
        self._status_due = 0.0
        self._look_due = 0.0

    @property
    def is_paced(self) -> bool:
        """True if output counts against the page's budget."""
        return self._medium is Medium.PAGE

    @property
    def shows_prompts(self) -> bool:
        """True if a row without a newline is shown as soon as lines are."""
        return self._medium is not Medium.FILE

    # The output

    def allowed(self, now: float, allowance: int, *, force: bool) -> int:
        """Return how many characters of finished lines may go out now; 0 if output is not due.

        Args:
            now: the time.
            allowance: the number of characters that may go to the page.
            force: whether to send output that is not due.
        """
        if self.is_tailing:
            return LARGEST_MESSAGE if force or now >= self._read_due else 0
        if not self.is_paced:
            return _LARGEST_UNPACED
        if force:
            return LARGEST_MESSAGE
        return min(allowance, LARGEST_MESSAGE) if now >= self._output_due and allowance > 0 else 0

    @property
    def room(self) -> float:
        """The number of characters of finished lines for which the cell has room, before a live tail."""
        if self._medium is Medium.TERMINAL:
            return math.inf
        return max(0.0, (self.limits.cell_bytes if self.is_paced else self.limits.batch_bytes) - self.shown)

    def sent(self, now: float, size: int) -> None:
        """Record that finished lines were sent."""
        self.shown += size
        self._output_due = now + 1 / self.limits.messages_per_second

    def fell_behind(self, now: float) -> None:
        """Record that a turn of reading has sent nothing and has left output: it continues in a moment."""
        self._output_due = self._read_due = now + _READING_PAUSE

    # The rows that may still change

    def rows_changed(self, now: float, *, drawn: bool) -> None:
        """Record that rows are not shown as they are now.

        Args:
            now: the time.
            drawn: whether rows are drawn already; others may be finished in a moment, and need no drawing.
        """
        if self._rows_due == math.inf:
            self._rows_due = max(now if drawn else now + _SETTLING, self._draw_from)

    def are_rows_due(self, now: float, *, force: bool) -> bool:
        """Return True if rows that have changed are due."""
        return self._rows_due < math.inf and (force or now >= self._rows_due)

    def rows_went(self, now: float, *, drawn: bool) -> None:
        """Record that the rows are shown as they are; after a drawing the next one is a while later."""
        self._rows_due = math.inf
        if drawn:
            self._draw_from = now + _DISPLAY_PAUSE

    # The live tail

    def begin_tail(self, now: float) -> None:
        """Record that the live tail was shown for the first time."""
        self.is_tailing = True
        self._rows_due = math.inf
        self.tail_went(now)

    def tail_changed(self) -> None:
        """Record that the live tail is not shown as it is now."""
        self._tail_old = True
        self._read_due = self._tail_due

    def is_tail_due(self, now: float, allowance: int, *, force: bool) -> bool:
        """Return True if the live tail is due; the arguments are those of `allowed`."""
        if not self.is_tailing or not self._tail_old:
            return False
        return force or (now >= self._tail_due and (allowance > 0 or not self.is_paced))

    def tail_went(self, now: float) -> None:
        """Record that the tail was sent."""
        self._tail_old = False
        self._tail_due = self._read_due = now + _DISPLAY_PAUSE

    # The status

    def is_status_due(self, now: float, *, force: bool) -> bool:
        """Return True if a changed status is due."""
        return self.status_changed and (force or now >= self._status_due)

    def status_opened(self, now: float) -> None:
        """Record that the status was shown for the first time."""
        self._opened = now

    def status_went(self, now: float) -> None:
        """Record that the status was rendered, and sent if it differed."""
        self._status_due = now + _DISPLAY_PAUSE

    def is_look_due(self, now: float, freshness: Freshness) -> bool:
        """Return True if a check of the job's figures is due, and schedule the next one."""
        if freshness.look is None or now < self._look_due:
            return False
        self._look_due = now + freshness.look
        return True

    def is_status_old(self, now: float, freshness: Freshness) -> bool:
        """Return True if the elapsed time is due; the longer the job runs, the rarer it is."""
        if freshness.moves:
            return now >= self._status_due
        now -= freshness.patience
        return now >= self._status_due + min(60.0, max(0.75, (now - self._opened) / 20))

    # All of it

    def due(self, now: float, page_free_at: float, *, has_caught_up: bool, over: bool) -> float:
        """Return the time of the next flush; infinity if nothing is new.

        Args:
            now: the time.
            page_free_at: the time from which the budget allows output to the page.
            has_caught_up: whether all output was read.
            over: whether the job has ended for good.
        """
        due = self._rows_due if self.output else math.inf
        free_at = page_free_at if self.is_paced else now
        if self.is_tailing:
            if self._tail_old:
                due = max(self._tail_due, free_at)
            if not has_caught_up:
                due = min(due, max(self._read_due, free_at))
        elif not has_caught_up:
            due = min(due, max(self._output_due, free_at))
        if self.status_changed:
            due = min(due, self._status_due)
        return min(due, now) if over and has_caught_up else due
