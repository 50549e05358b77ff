"""One view's reading of an output: from the bytes of the job to lines and rows."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from ipyproc.safe import SafeText, joined
from ipyproc.views.kinds import has_marks
from ipyproc.views.marks import with_coloured_marks
from ipyproc.views.transcript import NO_ROWS, Lines, Transcript

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ipyproc.spool.output import StreamName
    from ipyproc.views.form import Form
    from ipyproc.views.shown import Shown
    from ipyproc.views.transcript import LiveRows

__all__ = ["Reading"]

# A turn ends after a slice, and 8 kB of drawing take up to 4 ms.
_SLICE = 8 << 10
_TURN_SECONDS = 0.004
# Of a flood that only the tail is shown of, more than this is not read.
_LARGEST_BACKLOG = 1 << 20
_KEPT_OF_FLOOD = 128 << 10
_MOST_RUNS = 4
_TAIL_CHARACTERS = 8192


class Reading:
    """The output of one job as lines and rows, from an offset on, for one view.

    Args:
        start: the offset to begin at.
        form: the form in which lines are shown; None for as they are.

    Attributes:
        position: the offset up to which the output was read.
        hidden: the number of bytes that were read for the tail only, or not at all.
        gap: whether bytes were missing, since ``max_output`` had dropped them before they were read.
    """

    __slots__ = ("_form", "_last", "_transcript", "gap", "hidden", "position")

    def __init__(self, start: int, form: Form | None) -> None:
        self.position = start
        self.hidden = 0
        self.gap = False
        self._form = form
        self._transcript: Transcript | None = None
        # The last lines while a tail is shown.
        self._last: deque[SafeText] | None = None

    def read(self, job: Shown, most: int) -> list[Lines]:
        """Read on, for a few milliseconds at most; return the lines that were finished.

        Args:
            job: the job.
            most: the number of characters of lines after which to stop.
        """
        transcript = self._begun(job)
        transcript.resize(job.terminal)
        found: list[Lines] = []
        size, until = 0, time.monotonic() + _TURN_SECONDS
        self.gap = False
        while self.position < job.size and size < most and time.monotonic() < until:
            stop = min(job.size, self.position + min(_SLICE, max(most, 1)))
            runs = job.runs(self.position, stop)
            left = sum(len(data) for _, data in runs)
            if left < stop - self.position:
                self._leap(stop - left)
                break
            for stretch, at in self._timed(job, runs, stop):
                lines = transcript.feed(stretch, at)
                found += lines
                size += sum(len(piece.text) for piece in lines)
            self.position = stop
        return found

    def rest(self) -> None:
        """Release what only more output would need, since the job has ended."""
        self._transcript = self._last = None

    def read_tail(self, job: Shown) -> None:
        """Read on for the tail, up to the end: of a flood its last part only."""
        if job.size - self.position > _LARGEST_BACKLOG:
            end = job.size
            start = end - _KEPT_OF_FLOOD
            start += job.read(start, end).find(b"\n") + 1
            self.hidden += start - self.position
            self.position = start
            self._transcript = None
        before = self.position
        self.keep(self.read(job, _LARGEST_BACKLOG))
        self.hidden += self.position - before

    def keep(self, lines: Iterable[Lines]) -> None:
        """Keep lines for the tail, the last of them."""
        if self._last is None:
            self._last = deque()
        found: list[list[SafeText]] = []
        room = _TAIL_CHARACTERS
        # From the end: to split all of a flood would take as long as to read it.
        for piece in reversed(list(lines)):
            if room <= 0:
                break
            found.append(piece.last(room))
            room -= sum(map(len, found[-1]))
        for split in reversed(found):
            self._last.extend(split)
        size = sum(map(len, self._last))
        while len(self._last) > 1 and size > _TAIL_CHARACTERS:
            size -= len(self._last.popleft())

    def tail(self, count: int) -> SafeText:
        """Return the last ``count`` lines and rows; all rows of a screen that a program draws on."""
        rows = [joined((row, SafeText("\n"))) for row in self.live.texts]
        lines = [*(self._last or ()), *rows]
        return joined(lines[-max(count, len(rows)) :])

    @property
    def live(self) -> LiveRows:
        """The rows that may still change."""
        return NO_ROWS if self._transcript is None else self._transcript.live

    @property
    def is_full_screen(self) -> bool:
        """True while a full-screen program draws, such as an editor."""
        return self._transcript is not None and self._transcript.is_full_screen

    def settle(self) -> list[Lines]:
        """Return lines that were held back, in case they would still be overwritten."""
        return [] if self._transcript is None else self._transcript.settle()

    def finish(self) -> list[Lines]:
        """End the output: return all rows as finished lines."""
        if self._transcript is None:
            return []
        transcript, self._transcript = self._transcript, None
        return transcript.finish()

    def _begun(self, job: Shown) -> Transcript:
        if self._transcript is None:
            self._transcript = Transcript(job.terminal, job.encoding, self._form)
        return self._transcript

    def _leap(self, position: int) -> None:
        """Go on behind bytes that were dropped, on a screen of their own: what was begun has no end."""
        self.gap = True
        if self._last is None:
            self.hidden += position - self.position
        self.position = position
        self._transcript = None

    def _timed(
        self, job: Shown, runs: list[tuple[StreamName, bytes]], stop: int
    ) -> Iterator[tuple[list[tuple[StreamName, bytes]], float]]:
        """Yield the output up to an offset, in stretches of one stream each, and when it came."""
        if self._form is not None and self._form.times:
            for piece in job.pieces(self.position, stop):
                yield [(piece.stream, job.read(piece.start, piece.stop))], piece.at
            return
        if len(runs) > _MOST_RUNS:
            # The order between two pipes is only as fine as the reads, so the stretches may be joined.
            names: tuple[StreamName, ...] = ("stdout", "stderr")
            runs = [(name, b"".join(data for other, data in runs if other == name)) for name in names]
        if has_marks(job.snapshot()):
            before = job.read(self.position - 1, self.position) if self.position else b""
            runs = with_coloured_marks(runs, before)
        yield runs, 0.0
