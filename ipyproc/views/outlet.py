"""Send the output of one view: as safe text to a cell, or into a display that the cell leaves behind."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ipyproc.safe import SafeText, StreamFilter, joined
from ipyproc.spool.output import decoders_of

if TYPE_CHECKING:
    import codecs

    from ipyproc.spool.output import StreamName
    from ipyproc.views.cell import Bundle, Cell

__all__ = ["Outlet", "new_display_id"]

_MOST_RUNS = 4
_NO_DECODERS: Mapping[StreamName, codecs.IncrementalDecoder] = {}
_NO_FILTERS: Mapping[StreamName, StreamFilter] = {}


def new_display_id() -> str:
    """Return a new, unique id for a display."""
    return f"ipyproc-{uuid.uuid4()}"


class Outlet:
    """The way of one view's output to its cell, and of the live tail after it.

    Args:
        cell: the cell of the output, until `move` is called.
        encoding: the encoding of the output.
    """

    __slots__ = ("_cell", "_decoders", "_encoding", "_filters", "_left", "_tail_id")

    def __init__(self, cell: Cell, encoding: str) -> None:
        self._cell = cell
        self._encoding = encoding
        self._left: _LeftDisplay | None = None
        self._tail_id: str | None = None
        # Empty before the first output and after its end.
        self._decoders = _NO_DECODERS
        self._filters = _NO_FILTERS

    @property
    def lasting(self) -> bool:
        """True if output also arrives between the cells of a batch run."""
        return self._cell.lasting

    def is_live_in(self, cell: Cell) -> bool:
        """Return True if output that is sent next appears in this cell."""
        return self._left is None and self._cell.key == cell.key

    def send(self, runs: list[tuple[StreamName, bytes]]) -> None:
        """Send output, given as stretches of one stream each."""
        if len(runs) > _MOST_RUNS:
            # The order between two pipes is only as fine as the reads, so the stretches may be joined.
            names: tuple[StreamName, ...] = ("stdout", "stderr")
            runs = [(name, b"".join(data for other, data in runs if other == name)) for name in names]
        if not self._decoders:
            self._decoders = decoders_of(self._encoding)
            self._filters = {"stdout": StreamFilter(), "stderr": StreamFilter()}
        for name, data in runs:
            self._write(name, self._decoders[name].decode(data))

    def end(self) -> None:
        """End the output: decode an incomplete character, drop an incomplete escape, reset colours."""
        for name, decoder in self._decoders.items():
            self._write(name, decoder.decode(b"", final=True))
        for name, stream in self._filters.items():
            self._publish(name, stream.close())
        self._decoders, self._filters = _NO_DECODERS, _NO_FILTERS

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
            self._left.show(cell)
            if self._tail_id is not None and tail is not None:
                cell.display(tail, self._tail_id)
        self._cell = cell
        self._left = None

    def _write(self, name: StreamName, text: str) -> None:
        self._publish(name, self._filters[name].feed(text))

    def _publish(self, name: StreamName, text: SafeText) -> None:
        if text and self._left is not None:
            self._left.text.append(text)
        elif text:
            self._cell.stream(name, text)


class _LeftDisplay:
    """A display that a cell of a batch run leaves behind for output that comes after it.

    An update replaces the whole of a display, so it is sent when a cell ends, not for every line.
    """

    def __init__(self) -> None:
        self.text: list[SafeText] = []
        self.tail = SafeText("")
        self._display_id = new_display_id()
        self._shown = ""

    def open(self, cell: Cell) -> None:
        cell.display({"text/plain": SafeText("")}, self._display_id)

    def show(self, carrier: Cell) -> None:
        text = joined((*self.text, self.tail))
        if text != self._shown:
            carrier.update({"text/plain": text}, self._display_id)
            self.text, self._shown = [joined(self.text)], text
