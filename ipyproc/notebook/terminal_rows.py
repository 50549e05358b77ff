"""Rows at the bottom of the terminal that are drawn anew in place, while a cell waits for jobs."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ipyproc.safe import SafeText

__all__ = ["TerminalRows", "terminal_rows"]

_ERASE = "\r\x1b[J"


class TerminalRows:
    """The rows below the text of the terminal, those of all views, and the text above them.

    Rows are shown while the running cell waits for a job and nobody else shows a prompt. The cursor stands at
    the beginning of the first of them, so that erasing all below it erases them, whatever the size of the
    terminal has become. Meanwhile ``sys.stdout`` and ``sys.stderr`` are replaced by streams that put text
    above the rows; the real ones come back when the last row goes, at the cell's end at the latest.

    Any thread may call any method.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, Sequence[SafeText]] = {}
        self._is_shown = False
        self._is_line_open = False
        self._cell_runs = False
        self._waits = False
        # The streams that were replaced: their names in sys, and the real ones.
        self._real: dict[str, TextIO] = {}

    @property
    def is_free(self) -> bool:
        """True if rows can be shown: a cell waits for a job, and standard output is a terminal."""
        return self._waits and os.environ.get("TERM") != "dumb" and self._stdout.isatty()

    # The running cell

    def cell_begins(self, _info: object = None) -> None:
        """Record that a cell begins to run."""
        self._cell_runs = True

    def job_is_awaited(self) -> None:
        """Record that the running cell waits for a job, and not for its user."""
        self._waits = self._cell_runs

    def cell_ends(self, _result: object = None) -> None:
        """Erase the rows, since a prompt follows."""
        with self._lock:
            self._cell_runs = self._waits = False
            self._rows.clear()
            if self._is_shown or self._real:
                self._put(self._stdout, "")

    # Text and rows

    def print(self, text: SafeText) -> None:
        """Print text above the rows."""
        with self._lock:
            self._put(self._stdout, text)

    def draw(self, lines: SafeText, rows: Sequence[SafeText], key: str) -> None:
        """Print lines, and show rows below them in place of the earlier ones of the same key.

        Args:
            lines: the lines, each with its newline; may be empty.
            rows: the rows, without newlines; none to erase the earlier ones.
            key: identifies the rows.
        """
        with self._lock:
            if rows and self.is_free:
                self._rows[key] = rows
            else:
                self._rows.pop(key, None)
            self._put(self._stdout, lines)

    @property
    def _stdout(self) -> TextIO:
        # While prompt_toolkit shows a prompt, sys.stdout is its proxy, which prints above the prompt.
        return self._real.get("stdout", sys.stdout)

    def _put(self, stream: TextIO, text: str) -> None:
        """Print text above the rows, in one write, so that nothing flickers."""
        parts = [_ERASE] if self._is_shown else []
        self._is_shown = False
        if text:
            parts.append(text)
            self._is_line_open = not text.endswith("\n")
        rows = [row for rows in self._rows.values() for row in rows]
        if not rows:
            self._put_streams_back()
        elif not self._is_line_open:
            size = shutil.get_terminal_size()
            if not self._real:
                self._replace_streams()
                if not text:
                    # What was printed before may have left the cursor within a line: then these wrap.
                    parts.append(" " * (size.columns - 1) + "\r")
            parts.append(_drawn(rows[-max(1, size.lines - 1) :]))
            self._is_shown = True
        if parts:
            stream.write("".join(parts))
            stream.flush()

    def _replace_streams(self) -> None:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream.isatty():
                self._real[name] = stream
                setattr(sys, name, _Above(stream, self))

    def _put_streams_back(self) -> None:
        for name, stream in self._real.items():
            if isinstance(getattr(sys, name), _Above):
                setattr(sys, name, stream)
        self._real = {}

    def put_above(self, stream: TextIO, text: str) -> None:
        """Print text of others above the rows."""
        with self._lock:
            self._put(stream, text)


class _Above:
    """A stream of the terminal that puts its text above the rows; all else is done by the real stream."""

    def __init__(self, stream: TextIO, rows: TerminalRows) -> None:
        self._stream = stream
        self._rows = rows

    def write(self, text: str) -> int:
        self._rows.put_above(self._stream, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _drawn(rows: Sequence[str]) -> str:
    """Return what draws rows, cut at the right margin, and puts the cursor at their beginning."""
    up = f"\x1b[{len(rows) - 1}A" if len(rows) > 1 else ""
    return "\x1b[?7l" + "\r\n".join(rows) + "\x1b[?7h\r" + up


terminal_rows = TerminalRows()
"""Those of this process's terminal."""
