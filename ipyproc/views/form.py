"""The form in which a view shows output: one stream or both, each line after its time or a tag."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipyproc.job.job import Job
    from ipyproc.model.state import Snapshot
    from ipyproc.spool.output import Piece, StreamName
    from ipyproc.views.shown import Shown

__all__ = ["Form", "start_of_last"]

_CHUNK = 64 << 10
_MOST_SEGMENTS = 100_000


@dataclass(frozen=True)
class Form:
    """How output is shown.

    Attributes:
        stream: the only stream that is shown; None for both.
        times: whether the time at which a line began to arrive stands before it.
        tag: a text before each line, such as the job's name; empty for none.
        colour: the number of the colour of the tag.
    """

    stream: StreamName | None = None
    times: bool = False
    tag: str = ""
    colour: int = 0

    def of(self, job: Job) -> Shown:
        """Return the job as this form shows it."""
        return job if self.stream is None else _OneStream(job, self.stream)


class _OneStream:
    """One stream of a job, with offsets of its own, as views read a job.

    Args:
        job: the job.
        stream: the stream.
    """

    def __init__(self, job: Job, stream: StreamName) -> None:
        self._job = job
        self._stream = stream
        self._lock = job.hosted.output.lock
        # (offset in the stream, offset in the output, size), joined where they touch.
        self._segments: deque[tuple[int, int, int]] = deque()
        self._scanned = self._end = 0

    @property
    def name(self) -> str:
        return self._job.name

    @property
    def done(self) -> bool:
        return self._job.done

    @property
    def lingers(self) -> bool:
        return self._job.lingers

    @property
    def encoding(self) -> str:
        return self._job.encoding

    @property
    def terminal(self) -> tuple[int, int] | None:
        return self._job.terminal

    @property
    def size(self) -> int:
        with self._lock:
            end = self._job.size
            for name, start, stop in self._job.hosted.output.runs(self._scanned, end):
                if name == self._stream:
                    self._add(start, stop - start)
            self._scanned = end
            return self._end

    def snapshot(self) -> Snapshot:
        return self._job.snapshot()

    def runs(self, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        data = self.read(start, stop)
        return [(self._stream, data)] if data else []

    def read(self, start: int, stop: int | None) -> bytes:
        return b"".join(self._job.read(first, last) for _, first, last in self._within(start, stop))

    def pieces(self, start: int, stop: int | None) -> list[Piece]:
        found = []
        for own, first, last in self._within(start, stop):
            for piece in self._job.pieces(first, last):
                shift = own - first
                found.append(replace(piece, start=piece.start + shift, stop=piece.stop + shift))
        return found

    def _add(self, start: int, size: int) -> None:
        if self._segments and sum(self._segments[-1][1:]) == start:
            own, first, before = self._segments.pop()
            self._segments.append((own, first, before + size))
        else:
            self._segments.append((self._end, start, size))
            if len(self._segments) > _MOST_SEGMENTS:
                self._segments.popleft()
        self._end += size

    def _within(self, start: int, stop: int | None) -> list[tuple[int, int, int]]:
        """Return what is between two offsets: its own offset, and where it is in the output of the job."""
        with self._lock:
            stop = self.size if stop is None else stop
            found: list[tuple[int, int, int]] = []
            for own, at, size in reversed(self._segments):
                if own + size <= start:
                    break
                first, last = max(start, own), min(stop, own + size)
                if first < last:
                    found.append((first, at + first - own, at + last - own))
            return found[::-1]


def start_of_last(job: Shown, lines: int) -> int:
    """Return the offset at which the last ``lines`` lines of a job begin."""
    end = position = job.size
    if lines <= 0:
        return end
    left = lines + (job.read(end - 1, end) == b"\n" if end else 0)
    while position > 0:
        start = max(0, position - _CHUNK)
        data = job.read(start, position)
        if len(data) < position - start:
            # Older bytes were dropped (max_output).
            start = position - len(data)
        count = data.count(b"\n")
        if count >= left:
            at = len(data)
            for _ in range(left):
                at = data.rindex(b"\n", 0, at)
            return start + at + 1
        if not data:
            break
        left -= count
        position = start
    return position
