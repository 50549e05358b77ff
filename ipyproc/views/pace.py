"""Decide what a view shows next, and when, from sizes and times that are handed in; without I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipyproc.views.cell import Medium

if TYPE_CHECKING:
    from ipyproc.views.budget import Limits
    from ipyproc.views.kinds import Freshness

__all__ = ["LARGEST_MESSAGE", "Pace", "Step"]

LARGEST_MESSAGE = 100_000
_LARGEST_UNPACED = 1_000_000
_DISPLAY_PAUSE = 0.25


@dataclass(frozen=True)
class Step:
    """The next piece of output to send.

    Attributes:
        size: the number of bytes; an upper bound if ``is_last``.
        is_last: whether the cell has no room for more. The piece is then cut after its last line end, if it
            has one, and the live tail follows.
    """

    size: int
    is_last: bool


class Pace:
    """How far one view of a job has got, and when it continues.

    All times are in seconds on a monotonic clock.

    Args:
        medium: the medium of the view, which sets how much is shown, and how fast.
        limits: the limits for that, which are read each time.
        output: whether to show the output, or the status only.
        start: the offset in the output to begin at.

    Attributes:
        limits: the limits; a caller may replace them.
        output: whether the output is shown.
        position: the offset up to which the output has been shown.
        shown: the number of bytes of output shown.
        is_tailing: whether the live tail replaces all output from ``position`` on.
        status_changed: whether the status must be shown again.
    """

    __slots__ = (
        *("is_tailing", "limits", "output", "position", "shown", "status_changed"),
        *("_look_due", "_medium", "_opened", "_output_due", "_status_due", "_tail_due", "_tail_end"),
    )

    def __init__(self, medium: Medium, limits: Limits, *, output: bool, start: int) -> None:
        self.limits = limits
        self.output = output
        self.position = start
        self.shown = 0
        self.is_tailing = False
        self.status_changed = True
        self._medium = medium
        self._opened = 0.0
        self._output_due = 0.0
        self._tail_due = 0.0
        self._tail_end = -1
        self._status_due = 0.0
        self._look_due = 0.0

    @property
    def is_paced(self) -> bool:
        """True if output counts against the page's budget."""
        return self._medium is Medium.PAGE

    def has_caught_up(self, end: int) -> bool:
        """Return True if all output up to the offset ``end`` is shown, or belongs to the live tail."""
        return not self.output or self.is_tailing or self.position >= end

    # The output

    def next_step(self, now: float, end: int, allowance: int, *, force: bool) -> Step | None:
        """Return the piece of output to send now; None if none is due.

        Args:
            now: the time.
            end: the offset past the newest byte.
            allowance: the number of bytes that may go to the page.
            force: whether to send a piece that is not due.
        """
        if self.has_caught_up(end):
            return None
        if self.is_paced and not force and (now < self._output_due or allowance <= 0):
            return None
        size = end - self.position
        if self.is_paced:
            step = min(size, LARGEST_MESSAGE if force else min(allowance, LARGEST_MESSAGE))
        else:
            step = min(size, _LARGEST_UNPACED)
        room = max(0.0, self._room() - self.shown)
        if size > room and step >= room:
            return Step(int(room), True)
        return Step(step, False)

    def went(self, now: float, size: int, *, is_last: bool) -> None:
        """Record that a piece was sent, and whether the live tail follows it."""
        self.position += size
        self.shown += size
        self.is_tailing = is_last
        self._output_due = now + 1 / self.limits.messages_per_second

    # The live tail

    def is_tail_due(self, now: float, end: int, allowance: int, *, force: bool) -> bool:
        """Return True if the live tail is due; the arguments are those of `next_step`."""
        if not self.is_tailing or end == self._tail_end:
            return False
        return force or (now >= self._tail_due and (allowance > 0 or not self.is_paced))

    def tail_went(self, now: float, end: int) -> None:
        """Record that the tail was sent, up to the offset ``end``."""
        self._tail_end, self._tail_due = end, now + _DISPLAY_PAUSE

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

    def due(self, now: float, page_free_at: float, end: int, *, over: bool) -> float:
        """Return the time of the next flush; infinity if nothing is new.

        Args:
            now: the time.
            page_free_at: the time from which the budget allows output to the page.
            end: the offset past the newest byte of the output.
            over: whether the job has ended for good.
        """
        due = math.inf
        if self.is_tailing:
            if self.output and end != self._tail_end:
                due = max(self._tail_due, page_free_at) if self.is_paced else self._tail_due
        elif self.output and self.position < end:
            due = max(self._output_due, page_free_at if self.is_paced else now)
        if self.status_changed:
            due = min(due, self._status_due)
        return min(due, now) if over and self.has_caught_up(end) else due

    def _room(self) -> float:
        """Return the number of bytes of output that are shown before the live tail."""
        if self._medium is Medium.TERMINAL:
            return math.inf
        return float(self.limits.cell_bytes if self.is_paced else self.limits.batch_bytes)
