"""The lines that scrolled off a screen, kept for snapshots of it."""

from __future__ import annotations

from collections import deque

from ipyproc.screen.row import Row, line_of

__all__ = ["Scrollback"]

_LINE = 200


class Scrollback:
    """The last lines that scrolled off a screen, as text with colours and links.

    Args:
        keep: the number of lines; they have ``200 * keep`` characters at most, or the older ones are dropped.
    """

    __slots__ = ("_count", "_keep", "_pieces", "_size")

    def __init__(self, keep: int) -> None:
        self._keep = keep
        # A line begins with a newline, so that a row is added before it is known what follows it.
        self._pieces: deque[str] = deque()
        self._count = self._size = 0

    def add_row(self, row: Row, below: Row, columns: int) -> None:
        """Add the row that follows, above row ``below``."""
        whole = row
        if below.wrapped:
            # The blanks at its end count, since the line goes on behind them.
            row.fill_for(below, columns)
            whole = Row()
            whole.cells, whole.styles = row.cells, row.styles
        text = line_of([whole], columns, links=True)
        self._add(text if row.wrapped else "\n" + text)

    def add_lines(self, lines: str) -> None:
        """Add whole lines, each with its newline."""
        if lines:
            self._add("\n" + lines[:-1])

    def drop_rows(self, count: int) -> None:
        """Drop the last ``count`` rows, which were added one by one, as far as they are kept."""
        for _ in range(min(count, len(self._pieces))):
            self._drop(self._pieces.pop())

    def clear(self) -> None:
        """Drop all."""
        self._pieces.clear()
        self._count = self._size = 0

    def last(self, count: int) -> str | None:
        """Return the last ``count`` lines, with newlines between them, or None if there are none.

        The first may be the end of a line.
        """
        if count <= 0 or not self._pieces:
            return None
        text = "".join(self._pieces)
        if len(text) > (room := _LINE * self._keep):
            text = text[max(text.find("\n", len(text) - room), 0) :]
        found = text.count("\n")
        return text.split("\n", found - count + 1)[-1] if found > count else text.removeprefix("\n")

    def _add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._count += piece.count("\n")
        self._size += len(piece)
        while len(self._pieces) > 1 and self._can_spare(self._pieces[0]):
            self._drop(self._pieces.popleft())

    def _can_spare(self, piece: str) -> bool:
        if self._size - len(piece) >= _LINE * self._keep:
            return True
        # A row without its newline goes on with the line that is dropped before it.
        return self._count - piece.count("\n") >= self._keep

    def _drop(self, piece: str) -> None:
        self._count -= piece.count("\n")
        self._size -= len(piece)
