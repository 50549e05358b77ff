"""Publishing to an `ipywidgets.Output` in whose ``with`` a job was started."""

from __future__ import annotations

import logging
import threading
import time
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

    While its ``with`` is active, a front end puts into the widget what the kernel sends for the cell, and no
    longer; so the widget's own state is set here, from the kernel's side. A front end may set it as well, for
    what is printed: what is not ours in it is kept where it stands.

    Args:
        widget: the `ipywidgets.Output`.
        io_loop: the kernel's; the state is set there only.
    """

    lasting = True
    medium = Medium.PAGE

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
        # At once: it may be the kernel's end, before whose loop stops this is still done.
        if asyncio_loop(self._io_loop).is_running():
            on_loop(self._io_loop, self._publish)
        else:
            self._publish()

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
            # All of it goes to the page each time.
            size = sum(len(str(entry)) for entry in whole)
            self._due = time.monotonic() + max(_PAUSE, size / _BYTES_PER_SECOND)
            self._publishing = True
            try:
                self._widget.outputs = tuple(whole)
            except Exception:
                log.exception("The Output widget %r cannot be set.", self._widget)
            finally:
                self._publishing = False

    def _changed(self, change: Any) -> None:
        """A front end, or the notebook, has set the outputs."""
        if self._publishing:
            return
        with self._lock:
            if not change["new"]:
                # It was cleared.
                self._entries, self._published = [], []
                self._displays.clear()
            elif merged(list(change["new"]), self._published, self._published) != list(change["new"]):
                # The front end has not seen ours yet, and has overwritten them.
                self._publish_soon()


_cells: WeakValueDictionary[str, OutputWidgetCell] = WeakValueDictionary()


def output_widget_cell(msg_id: str, io_loop: IOLoop) -> OutputWidgetCell | None:
    """Return the cell for the Output widget that takes what is sent for a message now, if one does."""
    widget = active_output(msg_id)
    if widget is None:
        return None
    cell = _cells.get(widget.model_id)
    if cell is None:
        cell = _cells[widget.model_id] = OutputWidgetCell(widget, io_loop)
    return cell


def merged(current: list[Entry], before: list[Entry], now: list[Entry]) -> list[Entry]:
    """Return a widget's outputs with our entries brought up to date.

    Args:
        current: the outputs as they are, ours and others'.
        before: our entries as they were when they were last put there.
        now: our entries, in the same order, with new ones at the end.
    """
    whole: list[Entry] = []
    left = list(zip(before, now, strict=False))
    for output in current:
        if left and (rest := _behind(left[0][0], output)) is not None:
            whole.append(left.pop(0)[1])
            if rest:
                # A front end joins a print to the text before it.
                whole.append(rest)
        else:
            whole.append(output)
    return [*whole, *(entry for _, entry in left), *now[len(before) :]]


def _behind(entry: Entry, output: Entry) -> Entry | None:
    """What follows an entry of ours in a widget's output; None where the output begins otherwise."""
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
