"""The rows of a screen and its cursor: writing, moving, scrolling, and which rows are finished.

Rows and columns count from 0. The behaviour at the edges is that of xterm.js.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

from ipyproc.screen.finished import FinishedLines
from ipyproc.screen.row import Row, line_of
from ipyproc.screen.scrollback import Scrollback
from ipyproc.screen.style import background_of
from ipyproc.screen.width import is_narrow, width_of

__all__ = ["Grid"]

_LONGEST_CELL = 32
_MOST_ROWS = 200


class Grid:
    """The rows of a screen, and its cursor.

    Rows are *finished* from the top down: the first `taken` rows of the screen were given to `finished`. They
    are not given again when they scroll off the screen; any other row is given then.

    Args:
        rows: the height.
        columns: the width.
        links: keep links in lines, as OSC 8 sequences.
        keep: keep so many lines that scrolled off, in place of those that are finished; None keeps none.

    Attributes:
        screen: the rows.
        finished: the finished lines.
        history: the rows that scrolled off last.
        scrollback: the lines that scrolled off before those rows; None if they are not kept.
        x: the cursor's column; it is `columns` if the row is full, and the next character wraps.
        y: the cursor's row.
        style: the style of what is written.
        plain: in plain mode, where the newline that leaves a row finishes it.
        wraps: what is written past the end of a row goes on in the next.
        inserts: what is written moves the rest of the row.
        origin: rows are addressed from the top margin.
        top: the first row that scrolls.
        bottom: the last row that scrolls.
        taken: the number of rows, from the top, that are finished.
        alternate: this is the alternate screen, of which nothing scrolls off.
    """

    def __init__(self, rows: int, columns: int, *, links: bool = False, keep: int | None = None) -> None:
        self.rows = rows
        self.columns = columns
        self.links = links
        self.screen = [Row() for _ in range(rows)]
        self.finished = FinishedLines(links=links, dropped=keep is not None)
        self.scrollback = None if keep is None else Scrollback(keep)
        self.history = self.history_of((), rows)
        self.x = self.y = 0
        self.style = ""
        self.plain = True
        self.wraps = True
        self.inserts = False
        self.origin = False
        self.top, self.bottom = 0, rows - 1
        self.taken = 0
        self.alternate = False

    # Writing

    def write(self, text: str) -> None:
        """Write printable text at the cursor."""
        if is_narrow(text):
            if self.x + len(text) <= self.columns:
                self._put(text)
            else:
                self._write_narrow(text)
            return
        start = 0
        for position, character in enumerate(text):
            width = width_of(character)
            if width == 1:
                continue
            self._write_narrow(text[start:position])
            start = position + 1
            if width:
                self._write_wide(character)
            else:
                self._join(character)
        self._write_narrow(text[start:])

    def _write_narrow(self, text: str) -> None:
        position, size = 0, len(text)
        while position < size:
            if self.x >= self.columns:
                if self.wraps:
                    self._wrap()
                else:
                    # Each character overwrites the one before, in the last column.
                    self.x, position = self.columns - 1, size - 1
            count = min(size - position, self.columns - self.x)
            self._put(text[position : position + count])
            position += count

    def _write_wide(self, character: str) -> None:
        if self.x + 2 > self.columns:
            if not self.wraps or self.columns < 2:
                return
            self.screen[self.y].cut(self.x)
            self._wrap()
        self._put((character, ""))
        self.screen[self.y].has_wide = True

    def _put(self, cells: Sequence[str]) -> None:
        if self.y < self.taken:
            self.touch(self.y)
        row, x, count = self.screen[self.y], self.x, len(cells)
        if self.inserts and x < len(row.cells):
            row.insert(x, count, "", self.columns)
        if x == len(row.cells):
            row.cells.extend(cells)
            row.styles.extend([self.style] * count)
        else:
            row.put(x, cells, self.style)
        self.x = x + count

    def _join(self, character: str) -> None:
        """Add a character that has no width to the one before the cursor."""
        row = self.screen[self.y]
        x = min(self.x, len(row.cells)) - 1
        if x > 0 and not row.cells[x]:
            x -= 1
        if x >= 0 and len(row.cells[x]) < _LONGEST_CELL:
            self.touch(self.y)
            row.cells[x] += character

    def _wrap(self) -> None:
        straight = self.screen[self.y].straight
        self.x = 0
        if self.y == self.bottom:
            self.scroll_up(wrapped=True)
        elif self.y < self.rows - 1:
            self.y += 1
            self.touch(self.y)
            self.screen[self.y].wrapped = True
        row = self.screen[self.y]
        row.straight = straight and row.straight and not row.cells

    # Moving

    def line_feed(self) -> None:
        """Move the cursor down; scroll at the bottom margin. In plain mode finish the line that it leaves."""
        if self.plain:
            self._leave_line()
        if self.y == self.bottom:
            self.scroll_up()
        elif self.y < self.rows - 1:
            self.y += 1
            self.screen[self.y].wrapped = False
        if self.x >= self.columns:
            self.x = self.columns - 1

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor by rows and columns; a margin stops it."""
        self.clamp()
        if rows < 0:
            self.y = max(self.y + rows, self.top if self.y >= self.top else 0)
        elif rows > 0:
            self.y = min(self.y + rows, self.bottom if self.y <= self.bottom else self.rows - 1)
        if columns:
            self.to_column(self.x + columns)

    def to_column(self, column: int) -> None:
        """Move the cursor in its row, which is no longer straight if something was written there."""
        self.x = column
        self.clamp()
        row = self.screen[self.y]
        if self.x < len(row.cells):
            row.straight = False

    def to_row(self, row: int) -> None:
        """Move the cursor to a row, counted from the margin in origin mode."""
        self.y = row + self.top if self.origin else row
        self.clamp()

    def clamp(self) -> None:
        """Bring the cursor into the screen, or between the margins in origin mode."""
        self.x = min(max(self.x, 0), self.columns - 1)
        low, high = (self.top, self.bottom) if self.origin else (0, self.rows - 1)
        self.y = min(max(self.y, low), high)

    def scroll_up(self, *, wrapped: bool = False) -> None:
        """Move the rows between the margins up by one; the first row of the screen goes to the history."""
        if self.top:
            self.touch(self.top)
        elif self.taken > self.bottom + 1:
            self.touch(self.bottom + 1)
        gone = self.screen.pop(self.top)
        self.screen.insert(self.bottom, self.new_row(wrapped=wrapped))
        if self.top or self.alternate:
            return
        self._remember(gone)
        if self.taken:
            self.taken -= 1
        elif not self.finished.give([gone], self.columns, self.screen[0].wrapped):
            self.screen[0].wrapped = False

    def history_of(self, rows: Iterable[Row], height: int) -> deque[Row]:
        """Return the history of a screen of another height, of these rows.

        It has as many rows as may come back when the height grows: without a scrollback, few.
        """
        return deque(rows, maxlen=height if self.scrollback is None else _MOST_ROWS)

    def _remember(self, gone: Row) -> None:
        if self.scrollback is not None and len(self.history) == self.history.maxlen:
            self.scrollback.add_row(self.history[0], self.history[1], self.columns)
        self.history.append(gone)

    def scroll_all(self) -> None:
        """Move the rows above the cursor's to the scrollback, and the cursor, in a blank row, to the top."""
        if self.scrollback is not None:
            for row in self.screen[: self.y]:
                self._remember(row)
            rows = [*self.history, self.screen[self.y]]
            for row, below in pairwise(rows):
                self.scrollback.add_row(row, below, self.columns)
            self.history.clear()
            self.screen = [Row() for _ in range(self.rows)]
            self.y = self.taken = 0

    def forget(self) -> None:
        """Drop the scrollback, if it is kept."""
        if self.scrollback is not None:
            self.scrollback.clear()
            self.history.clear()

    def new_row(self, *, wrapped: bool = False) -> Row:
        """Return a row that is blank, in the colour of the background."""
        return Row(background_of(self.style) if self.style else "", wrapped=wrapped)

    # Finishing

    def touch(self, y: int) -> None:
        """Take finished rows back, since row ``y`` changes; lines that its owner has taken stay taken."""
        if y < self.taken:
            first = self.first_of_line(y)
            lines = sum(not row.wrapped for row in self.screen[first : self.taken])
            self.finished.take_back(lines)
            self.taken = first

    def edit(self) -> None:
        """Note that the cursor's row is changed otherwise than by appending."""
        self.touch(self.y)
        self.screen[self.y].straight = False

    def finish(self, end: int) -> None:
        """Finish the rows above row ``end``."""
        if end > self.taken:
            goes_on = end < self.rows and self.screen[end].wrapped
            rows, self.taken = self.screen[self.taken : end], end
            if not self.finished.give(rows, self.columns, goes_on):
                self.screen[end].wrapped = False

    def first_of_line(self, y: int) -> int:
        """Return the row in which the line begins that goes over row ``y``."""
        while y > 0 and self.screen[y].wrapped:
            y -= 1
        return y

    def seen_rows(self) -> int:
        """Return the number of rows, without the blank ones at the end that are not finished."""
        count = self.rows
        while count > self.taken and self.screen[count - 1].is_blank:
            count -= 1
        return count

    def live_lines(self) -> tuple[str, ...]:
        """Return the rows that are not finished; a line that wraps is one, except on the alternate screen."""
        # A line that begins above the screen is shown whole.
        groups = [list(self.finished.begun)] if self.finished.begun else []
        for row in self.screen[self.taken : self.seen_rows()]:
            if row.wrapped and groups and not self.alternate:
                groups[-1].append(row)
            else:
                groups.append([row])
        return tuple(line_of(group, self.columns, links=self.links) for group in groups)

    @property
    def is_straight(self) -> bool:
        """True if no row is live, or one line that was only appended to."""
        first = self.first_of_line(self.y)
        rows = self.finished.begun + self.screen[first : self.y + 1]
        return self.plain and first == self.taken and all(row.straight for row in rows)

    def _leave_line(self) -> None:
        """Finish the line that a newline leaves, if it was written straight and is not blank."""
        if self.y < self.taken:
            return
        rows = self.screen[self.first_of_line(self.y) : self.y + 1]
        if all(row.straight for row in rows) and not all(row.is_blank for row in rows):
            if self.y + 1 < self.rows:
                self.screen[self.y + 1].wrapped = False
            self.finish(self.y + 1)
