"""Bring an emulated screen up to the end of a job's output, a slice at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipyproc.model.spec import DEFAULT_COLUMNS, DEFAULT_ROWS
from ipyproc.screen.screen import Screen

if TYPE_CHECKING:
    from ipyproc.job.job import Job

__all__ = ["Replay"]

# 8 kB of drawing take up to 4 ms.
_SLICE = 8 << 10
# Of more output than this only the end is emulated.
_LARGEST_BACKLOG = 4 << 20
_KEPT = 1 << 20
_KEPT_LINES = 5000


class Replay:
    """The screen of a job, as a text that draws it.

    Args:
        job: the job.

    Attributes:
        position: the offset up to which output has been emulated.
    """

    def __init__(self, job: Job) -> None:
        self.position = 0
        self._job = job
        self._screen: Screen | None = None
        self._end: int | None = None

    def advance(self, until: float) -> bool:
        """Emulate on, up to where the output ended at the first call; return True if that is done.

        Args:
            until: the time on the monotonic clock at which to stop.
        """
        # A flood would outrun an end that moves.
        end = self._end = self._job.size if self._end is None else self._end
        start = max(self.position, self._job.hosted.output.start)
        if self._screen is None or end - start > _LARGEST_BACKLOG or start > self.position:
            start = max(start, end - _KEPT)
            if start > 0:
                start += self._job.read(start, end).find(b"\n") + 1
            self.position = start
            self._screen = self._new_screen()
        self._resize(self._screen)
        while self.position < end:
            if time.monotonic() >= until:
                return False
            stop = min(end, self.position + _SLICE)
            self._screen.feed(self._job.read(self.position, stop))
            self.position = stop
        self._end = None
        return True

    def size(self) -> tuple[int, int]:
        """Return the rows and columns of the screen."""
        return self._job.terminal or (DEFAULT_ROWS, DEFAULT_COLUMNS)

    @property
    def undecoded(self) -> int:
        """The number of bytes at the end that the picture lacks: the beginning of a character."""
        return 0 if self._screen is None else self._screen.undecoded

    def picture(self) -> bytes:
        """Return what draws the screen in an empty terminal of its size, in UTF-8."""
        screen = self._screen
        return b"" if screen is None else screen.snapshot().encode("utf-8", "replace")

    def _new_screen(self) -> Screen:
        newline = self._job.terminal is None
        return Screen(*self.size(), self._job.encoding, newline=newline, links=True, keep=_KEPT_LINES)

    def _resize(self, screen: Screen) -> None:
        screen.resize(*self.size())
