"""One row of a screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from ipyproc.screen.style import codes_in, is_seen_on_blanks, link_of, sgr

__all__ = ["Row", "line_of"]


class Row:
    """One row: a text and a style for each cell, as far as something was written.

    Attributes:
        cells: the text of each cell: a character and those that join it; "" in the right half of a wide one.
        styles: the style of each cell.
        wrapped: True if it goes on the line that filled the row above.
        straight: True if it was only appended to.
        has_wide: True if it may have a wide character.
        back: the style of the blanks past the last cell.
    """

    __slots__ = ("back", "cells", "has_wide", "straight", "styles", "wrapped")

    def __init__(self, background: str = "", *, wrapped: bool = False) -> None:
        self.cells: list[str] = []
        self.styles: list[str] = []
        self.back = background
        self.wrapped = wrapped
        self.straight = True
        self.has_wide = False

    @property
    def is_blank(self) -> bool:
        """True if nothing can be seen in it."""
        return not self.back and not self._seen_length()

    def put(self, column: int, cells: Sequence[str], style: str) -> None:
        """Overwrite the cells from ``column``, which are all inside the row."""
        end = column + len(cells)
        self.prepare(column, end)
        self.cells[column:end] = cells
        self.styles[column:end] = [style] * len(cells)

    def prepare(self, start: int, end: int) -> None:
        """Fill the row with blanks up to ``start``; blank a wide character of which an end is overwritten."""
        if start > len(self.cells):
            self.pad(start)
        if self.has_wide:
            cells = self.cells
            if 0 < start < len(cells) and not cells[start]:
                cells[start - 1] = " "
            if end < len(cells) and not cells[end]:
                cells[end] = " "

    def pad(self, length: int) -> None:
        """Append blanks up to a length."""
        more = length - len(self.cells)
        self.cells.extend([" "] * more)
        self.styles.extend([self.back] * more)

    def erase(self, start: int, end: int, background: str, columns: int) -> None:
        """Erase the cells from ``start`` to ``end``."""
        if end < columns:
            self.put(start, [" "] * (end - start), background)
        else:
            self.prepare(start if self.back else min(start, len(self.cells)), end)
            del self.cells[start:], self.styles[start:]
            self.back = background

    def insert(self, column: int, count: int, background: str, columns: int) -> None:
        """Insert blanks; what is moved out of the row is lost."""
        self.prepare(column, column)
        self.cells[column:column] = [" "] * count
        self.styles[column:column] = [background] * count
        self.cut(columns)

    def delete(self, column: int, count: int, background: str, columns: int) -> None:
        """Delete cells; those after them move to the left."""
        if background or self.back:
            self.pad(columns)
        self.prepare(min(column, len(self.cells)), column + count)
        gone = len(self.cells[column : column + count])
        del self.cells[column : column + count], self.styles[column : column + count]
        if background or self.back:
            self.cells.extend([" "] * gone)
            self.styles.extend([background] * gone)

    def cut(self, columns: int) -> None:
        """Cut the row to a width."""
        if self.has_wide and columns < len(self.cells) and not self.cells[columns]:
            self.cells[columns - 1] = " "
        del self.cells[columns:], self.styles[columns:]

    def fill_for(self, below: Row | None, columns: int) -> None:
        """Fill the row, which goes on below, up to the width, unless a wide character had no room there."""
        cells = self.cells
        if len(cells) == columns - 1 and below is not None and below.has_wide and below.cells[1:2] == [""]:
            return
        if len(cells) < columns:
            self.pad(columns)

    def content(self, columns: int) -> tuple[list[str], list[str]]:
        """Return cells and styles; a row that was rewritten ends before its blanks."""
        if self.back and len(self.cells) < columns:
            self.pad(columns)
        if self.straight:
            return self.cells, self.styles
        length = self._seen_length()
        return self.cells[:length], self.styles[:length]

    def _seen_length(self) -> int:
        cells, styles = self.cells, self.styles
        length = len(cells)
        while length and cells[length - 1] == " " and not is_seen_on_blanks(styles[length - 1]):
            length -= 1
        return length


def line_of(rows: Sequence[Row], columns: int, *, links: bool = False) -> str:
    """Return the line that wraps over some rows, as text with its colours, which are reset at the end.

    Args:
        rows: the rows.
        columns: the width of the screen.
        links: keep links, as OSC 8 sequences.
    """
    cells, styles = rows[-1].content(columns)
    if len(rows) > 1:
        for row, below in pairwise(rows):
            row.fill_for(below, columns)
        cells = [cell for row in rows[:-1] for cell in row.cells] + cells
        styles = [style for row in rows[:-1] for style in row.styles] + styles
    if not any(styles):
        return "".join(cells)
    text: list[str] = []
    codes = link = ""
    position = 0
    for style, run in groupby(styles):
        end = position + sum(1 for _ in run)
        if links and link_of(style) != link:
            link = link_of(style)
            text.append(f"\x1b]8;;{link}\x1b\\")
        text.append(sgr(codes, codes_in(style)))
        codes = codes_in(style)
        text += cells[position:end]
        position = end
    if link:
        text.append("\x1b]8;;\x1b\\")
    text.append(sgr(codes, ""))
    return "".join(text)
