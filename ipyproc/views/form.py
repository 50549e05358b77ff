"""The form in which a view shows output: one stream or both, each line after its time or a tag."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ipyproc import safe

if TYPE_CHECKING:
    from ipyproc.job.job import Job
    from ipyproc.model.state import Snapshot
    from ipyproc.spool.output import Piece, StreamName
    from ipyproc.views.shown import Shown

__all__ = ["Form", "Prefixes", "start_of_last"]

_CHUNK = 64 << 10
_MOST_SEGMENTS = 10_000
_LINE_BEGIN = re.compile(rb"(?:\n|\r(?!\n))(?!\Z)")
_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


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

    @property
    def has_prefixes(self) -> bool:
        """True if something stands before each line."""
        return self.times or bool(self.tag)


class Prefixes:
    """Puts the prefixes of a form before the lines of output that comes in pieces.

    Args:
        form: the form.
        encoding: the encoding of the output.
    """

    __slots__ = ("_encoding", "_form", "_inside", "_rests", "_tag")

    def __init__(self, form: Form, encoding: str) -> None:
        self._form = form
        self._encoding = encoding
        self._inside: set[StreamName] = set()
        self._rests: dict[StreamName, bytes] = {}
        colour = _COLOURS[form.colour % len(_COLOURS)]
        self._tag = f"\x1b[{colour}m{safe.line(form.tag)} |\x1b[0m " if form.tag else ""

    def put(self, job: Shown, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        """Return the output between two offsets with its prefixes."""
        if not self._form.times:
            tag = self._encoded(self._tag)
            return [(name, self._prefixed(name, data, tag)) for name, data in job.runs(start, stop)]
        painted = []
        for piece in job.pieces(start, stop):
            data = job.read(piece.start, piece.stop)
            prefix = self._encoded(f"\x1b[2m{_clock(piece.at)}\x1b[0m {self._tag}")
            painted.append((piece.stream, self._prefixed(piece.stream, data, prefix)))
        return painted

    def _prefixed(self, name: StreamName, data: bytes, prefix: bytes) -> bytes:
        # A lone CR goes back to the beginning of the line, and what follows overwrites the prefix. At the end
        # of a piece it may be the beginning of a CR LF.
        data = self._rests.pop(name, b"") + data
        if data.endswith(b"\r"):
            data, self._rests[name] = data[:-1], b"\r"
        if not data:
            return b""
        begun = b"" if name in self._inside else prefix
        (self._inside.discard if data.endswith(b"\n") else self._inside.add)(name)
        return begun + _LINE_BEGIN.sub(lambda end: end[0] + prefix, data)

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, "replace")


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

    def tail(self, n: int, max_bytes: int | None) -> str:
        end = self.size
        first = start_of_last(self, n)
        if max_bytes is not None:
            first = max(first, end - max_bytes)
        return self.read(first, end).decode(self.encoding, "replace")

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


def _clock(at: float) -> str:
    """Return a time of today, or with its date if it is of another day."""
    local, today = time.localtime(at), time.localtime()
    date = "" if local[:3] == today[:3] else time.strftime("%Y-%m-%d ", local)
    return f"{date}{time.strftime('%H:%M:%S', local)}.{int(at % 1 * 1000):03d}"
