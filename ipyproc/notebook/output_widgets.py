"""Publish to an `ipywidgets.Output` in whose ``with`` a job was started."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ipyproc.notebook.cells import page_data
from ipyproc.notebook.private.ipywidgets import active_output
from ipyproc.process.loops import asyncio_loop, on_loop
from ipyproc.views.cell import Medium

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.safe import SafeText
    from ipyproc.spool.output import StreamName
    from ipyproc.views.cell import Bundle

__all__ = ["OutputWidgetCell", "output_widget_cell"]

log = logging.getLogger("ipyproc")

_PAUSE = 0.25
_BYTES_PER_SECOND = 500_000

Entry = dict[str, Any]


class OutputWidgetCell:
    """An Output widget, for all jobs that are started in it.

    A front end puts the kernel's messages for the cell into the widget only while its ``with`` is active. So
    this class sets the widget's state from the kernel, also after that. A front end may set it as well, for
    printed text: entries of others keep their place.

    Args:
        widget: the `ipywidgets.Output`.
        io_loop: the kernel's loop, on which the state is set.
    """

    lasting = True
    medium = Medium.PAGE
    is_drawable = True

    def __init__(self, widget: Any, io_loop: IOLoop) -> None:
        self.key = f"widget-{widget.model_id}"
        self._widget = widget
        self._io_loop = io_loop
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._published: list[Entry] = []
        self._displays: dict[str, Entry] = {}
        self._publishing = False
        self._waiting = False
        self._due = 0.0
        widget.observe(self._changed, "outputs")

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Append text to the widget's outputs."""
        with self._lock:
            last = self._entries[-1] if self._entries else {}
            if last.get("name") == name:
                last["text"] += text
            else:
                self._entries.append({"output_type": "stream", "name": name, "text": text})
        self._publish_soon()

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Append a display to the widget's outputs."""
        with self._lock:
            entry = {"output_type": "display_data", "data": page_data(bundle), "metadata": {}}
            self._displays[display_id] = entry
            self._entries.append(entry)
        self._publish_soon()

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Update a display among the widget's outputs."""
        with self._lock:
            if (entry := self._displays.get(display_id)) is None:
                return
            entry["data"] = page_data(bundle)
        self._publish_soon()

    def settle(self, bundle: Bundle, display_id: str) -> None:
        """Update a display for the last time."""
        self.update(bundle, display_id)
        self._displays.pop(display_id, None)
        # Published at once: at the kernel's end, the loop still runs this before it stops.
        if asyncio_loop(self._io_loop).is_running():
            on_loop(self._io_loop, self._publish)
        else:
            self._publish()

    def draw(self, lines: SafeText, rows: Sequence[SafeText], display_id: str) -> None:
        """Do nothing: a page shows rows in displays."""

    def _publish_soon(self) -> None:
        with self._lock:
            if self._waiting:
                return
            self._waiting = True
        on_loop(self._io_loop, self._wait_and_publish)

    def _wait_and_publish(self) -> None:
        pause = self._due - time.monotonic()
        if pause > 0:
            self._io_loop.call_later(pause, self._publish)
        else:
            self._publish()

    def _publish(self) -> None:
        with self._lock:
            self._waiting = False
            entries = [dict(entry) for entry in self._entries]
            whole = merged(list(self._widget.outputs), self._published, entries)
            self._published = entries
            # Each change sends all entries to the page.
            size = sum(len(str(entry)) for entry in whole)
            self._due = time.monotonic() + max(_PAUSE, size / _BYTES_PER_SECOND)
            self._publishing = True
            try:
                self._widget.outputs = tuple(whole)
            except Exception:
                log.exception("The Output widget %r could not be updated.", self._widget)
            finally:
                self._publishing = False

    def _changed(self, change: Any) -> None:
        """Follow a change of the outputs by a front end or by the notebook."""
        if self._publishing:
            return
        with self._lock:
            if not change["new"]:
                # The widget was cleared.
                self._entries, self._published = [], []
                self._displays.clear()
            elif merged(list(change["new"]), self._published, self._published) != list(change["new"]):
                # The front end had not received these entries yet, and has overwritten them.
                self._publish_soon()


_cells: WeakValueDictionary[str, OutputWidgetCell] = WeakValueDictionary()


def output_widget_cell(msg_id: str, io_loop: IOLoop) -> OutputWidgetCell | None:
    """Return the cell of the Output widget that is active for a message; None if none is."""
    widget = active_output(msg_id)
    if widget is None:
        return None
    cell = _cells.get(widget.model_id)
    if cell is None:
        cell = _cells[widget.model_id] = OutputWidgetCell(widget, io_loop)
    return cell


def merged(current: list[Entry], before: list[Entry], now: list[Entry]) -> list[Entry]:
    """Return a widget's outputs with the kernel's entries updated.

    Args:
        current: the outputs as they are, with entries of the kernel and of others.
        before: the kernel's entries as they were last published.
        now: the kernel's entries, in the same order, with new ones at the end.
    """
    whole: list[Entry] = []
    left = list(zip(before, now, strict=False))
    for output in current:
        if left and (rest := _behind(left[0][0], output)) is not None:
            whole.append(left.pop(0)[1])
            if rest:
                # A front end joins printed text to the text before it.
                whole.append(rest)
        else:
            whole.append(output)
    return [*whole, *(entry for _, entry in left), *now[len(before) :]]


def _behind(entry: Entry, output: Entry) -> Entry | None:
    """Return the rest of an output after an entry; None if the output does not begin with the entry."""
    if entry["output_type"] != output.get("output_type"):
        return None
    if entry["output_type"] == "display_data":
        return {} if output.get("data") == entry["data"] else None
    text = output.get("text", "")
    if isinstance(text, list):
        text = "".join(text)
    if output.get("name") != entry["name"] or not text.startswith(entry["text"]):
        return None
    rest = text[len(entry["text"]) :]
    return {**output, "text": rest} if rest else {}
