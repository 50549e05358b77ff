"""Send what one view shows of an output to its cell: lines as a stream, and below them rows that change."""

from __future__ import annotations

import uuid
from itertools import groupby
from typing import TYPE_CHECKING

from ipyproc.safe import SafeText, joined
from ipyproc.views.cell import Medium
from ipyproc.views.transcript import NO_ROWS, without_links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipyproc.spool.output import StreamName
    from ipyproc.views.cell import Bundle, Cell
    from ipyproc.views.transcript import Lines, LiveRows

__all__ = ["Outlet", "new_display_id"]

# An update sends the whole of a display, so one that has grown to this is left, and another begun.
_LARGEST_DRAWING = 4000


def new_display_id() -> str:
    """Return a new, unique id for a display."""
    return f"ipyproc-{uuid.uuid4()}"


class Outlet:
    """The way of one view's output to its cell, and of the live tail after it.

    Finished lines go out as stream text. A front end appends stream text below everything else in the cell,
    and nothing can be put above a display. So while rows change, they stand in a display, the *drawing*, and
    lines that are finished meanwhile go into it, above the rows. A drawing that has grown is left as it is,
    with its finished lines, and another one is begun below it.

    Args:
        cell: the cell of the output, until `move` is called.
    """

    __slots__ = ("_cell", "_drawing", "_left", "_partial", "_tail_id")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._left: _LeftDisplay | None = None
        self._tail_id: str | None = None
        self._drawing: _Drawing | _RowsBelow | None = None
        # The rows that stand without a newline at the end of the stream text.
        self._partial: dict[StreamName, SafeText] = {}

    @property
    def lasting(self) -> bool:
        """True if output also arrives between the cells of a batch run."""
        return self._cell.lasting

    @property
    def is_drawing(self) -> bool:
        """True if the drawing is shown, which takes the lines that come."""
        return self._drawing is not None

    def is_live_in(self, cell: Cell) -> bool:
        """Return True if output that is sent next appears in this cell."""
        return self._left is None and self._cell.key == cell.key

    def send(self, lines: Iterable[Lines], live: LiveRows, *, draw: bool) -> int:
        """Send finished lines, and the rows below them.

        Args:
            lines: the finished lines.
            live: the rows that may still change.
            draw: whether to draw them now. Lines that come while a drawing is shown wait for the next time.

        Returns:
            The number of characters sent.
        """
        if self._left is not None:
            self._leave_behind(self._left, lines, live)
            return 0
        if self._drawing is not None:
            self._drawing.add(lines)
            if self._cell.is_drawable:
                return self._draw(live) if draw else 0
            return self.end(()) + self.send((), live, draw=draw)
        texts = [(piece.stream, self._continued(piece.stream, piece.text)) for piece in lines]
        if live.is_drawn and self._cell.is_drawable:
            sent = self._stream(texts)
            if draw:
                sent += self._stream(self._erasures())
                self._drawing = self._new_drawing()
                sent += self._draw(live)
            return sent
        if live.straight and draw:
            for stream, row in live.rows:
                row = without_links(row)
                if self._partial.get(stream) != row:
                    texts.append((stream, self._continued(stream, row)))
                    self._partial[stream] = row
        return self._stream(texts)

    def end(self, lines: Iterable[Lines]) -> int:
        """End the output with its last lines; return the number of characters sent."""
        if self._drawing is None:
            return self.send(lines, NO_ROWS, draw=False)
        self._drawing.add(lines)
        sent = self._drawing.settle()
        self._drawing = None
        return sent

    def begin_tail(self, bundle: Bundle) -> None:
        """Show the live tail after the output."""
        self._tail_id = new_display_id()
        if self._left is None:
            self._cell.display(bundle, self._tail_id)

    def update_tail(self, bundle: Bundle, carrier: Cell | None) -> None:
        """Update the live tail, through ``carrier`` if its own cell has ended."""
        if self._left is not None:
            self._left.tail = bundle["text/plain"]
        elif self._tail_id is not None:
            (carrier or self._cell).update(bundle, self._tail_id)

    # Batch runs, in which output of a cell that has ended is discarded

    def leave(self) -> None:
        """Send later output into a display that the cell leaves behind; call it before the cell ends."""
        if self._left is None and not self._cell.lasting:
            self._left = _LeftDisplay()
            self._left.open(self._cell)

    def show_left(self, carrier: Cell) -> None:
        """Update the display that the cell has left behind, if there is one."""
        if self._left is not None:
            self._left.show(carrier)

    def move(self, cell: Cell, tail: Bundle | None) -> None:
        """Send later output to another cell.

        Args:
            cell: the other cell.
            tail: the live tail, which gets a display of its own in the other cell; None if there is none.
        """
        if self._left is not None:
            self._left.rows = []
            self._left.show(cell)
            if self._tail_id is not None and tail is not None:
                cell.display(tail, self._tail_id)
        self._cell = cell
        self._left = None
        self._partial.clear()

    # Stream text

    def _stream(self, texts: list[tuple[StreamName, SafeText]]) -> int:
        """Send text, in as few messages as there are changes of the stream; return its size."""
        for stream, group in groupby(texts, key=lambda text: text[0]):
            if text := joined(part for _, part in group):
                self._cell.stream(stream, text)
        return sum(len(text) for _, text in texts)

    def _continued(self, name: StreamName, text: SafeText) -> SafeText:
        """Return lines without what is shown of the first of them."""
        if not text or name not in self._partial:
            return without_links(text)
        row, newline, rest = without_links(text).partition("\n")
        return SafeText(_after(self._partial.pop(name), row) + newline + rest)

    def _erasures(self) -> list[tuple[StreamName, SafeText]]:
        """Return what erases the rows without a newline, which are forgotten then."""
        rows, self._partial = self._partial, {}
        return [(stream, SafeText(f"\r{' ' * len(row)}\r")) for stream, row in rows.items()]

    def _leave_behind(self, left: _LeftDisplay, lines: Iterable[Lines], live: LiveRows) -> None:
        left.text.extend(self._continued(piece.stream, piece.text) for piece in lines)
        left.rows = [
            SafeText(_after(self._partial[stream], without_links(row)))
            if stream in self._partial
            else without_links(row)
            for stream, row in live.rows
        ]

    # The drawing

    def _new_drawing(self) -> _Drawing | _RowsBelow:
        return (_RowsBelow if self._cell.medium is Medium.TERMINAL else _Drawing)(self._cell)

    def _draw(self, live: LiveRows) -> int:
        drawing = self._drawing
        assert drawing is not None
        if drawing.size < _LARGEST_DRAWING:
            return drawing.show(live)
        sent = drawing.settle()
        self._drawing = None
        if live.is_drawn:
            self._drawing = drawing = self._new_drawing()
            return sent + drawing.show(live)
        return sent + self.send((), live, draw=True)


class _Drawing:
    """A display of rows that change, with the lines above them that were finished since it was begun."""

    __slots__ = ("_cell", "_display_id", "_lines", "_shown", "size")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._display_id = new_display_id()
        self._lines: list[SafeText] = []
        self._shown: SafeText | None = None
        self.size = 0

    def add(self, lines: Iterable[Lines]) -> None:
        for piece in lines:
            self._lines.append(without_links(piece.text))
            self.size += len(piece.text)

    def show(self, live: LiveRows) -> int:
        self._lines = [joined(self._lines)]
        text = SafeText((self._lines[0] + "\n".join(map(without_links, live.texts))).rstrip("\n"))
        if text == self._shown:
            return 0
        first, self._shown = self._shown is None, text
        (self._cell.display if first else self._cell.update)({"text/plain": text}, self._display_id)
        return len(text)

    def settle(self) -> int:
        """Leave it with its finished lines."""
        text = SafeText(joined(self._lines).rstrip("\n"))
        self._cell.settle({"text/plain": text}, self._display_id)
        return len(text)


class _RowsBelow:
    """Rows below the text of a terminal, and the lines that are to be printed above them the next time."""

    __slots__ = ("_cell", "_display_id", "_lines", "_shown")

    # Nothing is sent twice, so it has not grown.
    size = 0

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._display_id = new_display_id()
        self._lines: list[SafeText] = []
        self._shown: list[SafeText] = []

    def add(self, lines: Iterable[Lines]) -> None:
        self._lines += (without_links(piece.text) for piece in lines)

    def show(self, live: LiveRows) -> int:
        return self._draw([without_links(row) for row in live.texts])

    def settle(self) -> int:
        return self._draw([])

    def _draw(self, rows: list[SafeText]) -> int:
        lines = joined(self._lines)
        if not lines and rows == self._shown:
            return 0
        self._lines, self._shown = [], rows
        self._cell.draw(lines, rows, self._display_id)
        return len(lines)


class _LeftDisplay:
    """A display that a cell of a batch run leaves behind for output that comes after it.

    An update replaces the whole of a display, so it is sent when a cell ends, not for every line.
    """

    def __init__(self) -> None:
        self.text: list[SafeText] = []
        self.rows: list[SafeText] = []
        self.tail = SafeText("")
        self._display_id = new_display_id()
        self._shown = ""

    def open(self, cell: Cell) -> None:
        cell.display({"text/plain": SafeText("")}, self._display_id)

    def show(self, carrier: Cell) -> None:
        rows = SafeText("".join(f"{row}\n" for row in self.rows))
        text = joined((*self.text, rows, self.tail))
        if text != self._shown:
            carrier.update({"text/plain": text}, self._display_id)
            self.text, self._shown = [joined(self.text)], text


def _after(before: str, row: str) -> str:
    """Return what turns a row that was shown as ``before``, without its newline, into ``row``."""
    from ipyproc.screen.screen import suffix_of

    suffix = suffix_of(row, before)
    # Pages write over the old row character by character, and count those of its colours.
    return f"\r{row}{' ' * (len(before) - len(row))}" if suffix is None else suffix
