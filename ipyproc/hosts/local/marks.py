"""Merge the output of several workers: whole lines, each marked with the task id of its worker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol

from ipyproc.spool.output import StreamName

__all__ = ["Appendable", "Marker"]

HELD_SECONDS = 0.2
"""The seconds for which the beginning of a line waits for its end."""

_HELD_BYTES = 32 << 10
_RETURN = re.compile(rb"\r(?=[^\r\n])")

_Key = tuple[int, StreamName]


class Appendable(Protocol):
    """What takes output, such as an `Output`."""

    def append(self, stream: StreamName, data: bytes | memoryview, at: float) -> None:
        """Append bytes that came at the time ``at``."""


class Marker:
    """Append the output of workers to one output, line by line.

    Half a line is held back for a moment. If its end does not come, it is appended as it is, and a line of
    another worker then begins on a new line.

    Args:
        output: the output to append to; the caller holds its lock.
        clock: returns seconds, and is monotonic.
    """

    def __init__(self, output: Appendable, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._held: dict[_Key, tuple[bytes, float]] = {}
        self._unfinished: _Key | None = None

    def __bool__(self) -> bool:
        """Return True while text is held back."""
        return bool(self._held)

    def state(self) -> tuple[dict[_Key, tuple[bytes, float]], _Key | None]:
        """Return the text that is held back, with its time on the clock, and whose last line is not ended."""
        return self._held, self._unfinished

    def restore(self, held: dict[_Key, tuple[bytes, float]], unfinished: _Key | None) -> None:
        """Go on with what `state` has returned, maybe in another process."""
        self._held, self._unfinished = held, unfinished

    def write(self, task_id: int, stream: StreamName, data: bytes, at: float) -> bool:
        """Add bytes that a worker wrote; return True if any were appended to the output."""
        key, now = (task_id, stream), self._clock()
        held, since = self._held.pop(key, (b"", now))
        text = held + data
        cut = text.rfind(b"\n") + 1
        if len(text) - cut > _HELD_BYTES:
            cut = len(text)
        if cut < len(text):
            self._held[key] = (text[cut:], now if cut else since)
        if cut:
            self._show(key, text[:cut], at)
        return cut > 0

    def flush(self, at: float) -> bool:
        """Append text that was held back for long enough; return True if there was any."""
        now = self._clock()
        due = [key for key, (_, since) in self._held.items() if now - since >= HELD_SECONDS]
        for key in due:
            text, _ = self._held.pop(key)
            cut = _whole_characters(text)
            if text[cut:]:
                self._held[key] = (text[cut:], now)
            if cut:
                self._show(key, text[:cut], at)
        return bool(due)

    def end(self, task_id: int, at: float) -> None:
        """Append all text of a worker that has ended, and end its last line."""
        for key in [key for key in self._held if key[0] == task_id]:
            self._show(key, self._held.pop(key)[0], at)
        if self._unfinished is not None and self._unfinished[0] == task_id:
            self._break(at)

    def end_all(self, at: float) -> None:
        """Append all text, of all workers."""
        for task_id in sorted({task_id for task_id, _ in self._held}):
            self.end(task_id, at)

    def _show(self, key: _Key, text: bytes, at: float) -> None:
        if self._unfinished is not None and self._unfinished != key:
            self._break(at)
        mark = b"[%d] " % key[0]
        ended = text.endswith(b"\n")
        lines = text[:-1] if ended else text
        marked = _RETURN.sub(b"\r" + mark, lines.replace(b"\n", b"\n" + mark))
        if self._unfinished is None:
            marked = mark + marked
        self._output.append(key[1], marked + b"\n" if ended else marked, at)
        self._unfinished = None if ended else key

    def _break(self, at: float) -> None:
        assert self._unfinished is not None
        self._output.append(self._unfinished[1], b"\n", at)
        self._unfinished = None


def _whole_characters(text: bytes) -> int:
    """Return the number of bytes that whole characters of UTF-8 take at the beginning of a text."""
    for back in range(1, min(4, len(text)) + 1):
        byte = text[-back]
        if byte & 0xC0 != 0x80:
            size = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
            return len(text) - back if size > back else len(text)
    return len(text)
