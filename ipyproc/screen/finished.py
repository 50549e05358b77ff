"""The finished lines of a screen."""

from __future__ import annotations

from ipyproc.screen.row import Row, line_of

__all__ = ["FinishedLines"]

_LONGEST = 1 << 16


class FinishedLines:
    """Lines that nothing on the screen will change any more, until their owner takes them.

    Args:
        links: keep links in them, as OSC 8 sequences.
        dropped: keep none; nobody takes them.

    Attributes:
        begun: the rows of a line of which the rest still stands on the screen.
    """

    __slots__ = ("_dropped", "_lines", "_links", "begun")

    def __init__(self, *, links: bool = False, dropped: bool = False) -> None:
        self._links = links
        self._dropped = dropped
        self._lines: list[str] = []
        self.begun: list[Row] = []

    def take(self) -> str:
        """Return the lines since the last call, each with its newline."""
        lines, self._lines = self._lines, []
        return "".join(lines)

    def append(self, lines: str) -> None:
        """Append lines, each with its newline."""
        if not self._dropped:
            self._lines.append(lines)

    def give(self, rows: list[Row], columns: int, goes_on: bool) -> bool:
        """Append the lines of some rows.

        Args:
            rows: the rows, which follow each other.
            columns: the width of the screen.
            goes_on: the last line goes on in the row below these; it is appended with its last row.

        Returns:
            False if the line does not go on since it would be too long.
        """
        for row in rows:
            if self.begun and not row.wrapped:
                self.flush(columns)
            self.begun.append(row)
        if goes_on and len(self.begun) * columns >= _LONGEST:
            self.flush(columns)
            return False
        if not goes_on:
            self.flush(columns)
        return True

    def flush(self, columns: int) -> None:
        """End the line that was begun."""
        if self.begun:
            if not self._dropped:
                self._lines.append(line_of(self.begun, columns, links=self._links) + "\n")
            self.begun = []

    def take_back(self, count: int) -> None:
        """Remove the last ``count`` lines, or as many as were not taken."""
        while count and self._lines:
            last = self._lines[-1]
            size = last.count("\n")
            if size <= count:
                self._lines.pop()
                count -= size
            else:
                self._lines[-1] = last.rsplit("\n", count + 1)[0] + "\n"
                return
