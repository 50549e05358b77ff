"""Publish to a capture of a cell's output: ``%%capture`` and ``capture_output()``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from IPython.core.displaypub import CapturingDisplayPublisher

from ipyproc.notebook.cells import page_data
from ipyproc.views.cell import Medium

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipyproc.safe import SafeText
    from ipyproc.spool.output import StreamName
    from ipyproc.views.cell import Bundle, Cell

__all__ = ["CapturedCell", "captured"]


class CapturedCell:
    """A capture that was active when a job was started; it also gets the output that comes after it.

    Args:
        cell: the cell, for output that is not captured.
        streams: the buffers of captured text, by stream.
        publisher: the publisher of captured displays; None if displays are not captured.
        shell: the shell, whose publisher tells whether the capture is over.
    """

    lasting = True
    # No page has to render it, and the user asked for all of it.
    medium = Medium.FILE

    def __init__(
        self,
        cell: Cell,
        streams: dict[StreamName, StringIO],
        publisher: CapturingDisplayPublisher | None,
        shell: InteractiveShell,
    ) -> None:
        self._cell = cell
        self._streams = streams
        self._publisher = publisher
        self._shell = shell
        # The capture keeps this list for good, but the publisher only while it is active.
        self._outputs: list[dict[str, Any]] | None = None if publisher is None else publisher.outputs
        self._own: dict[str, dict[str, Any]] = {}
        part = id(self._outputs if streams.get("stdout") is None else streams["stdout"])
        self.key = f"{cell.key}/captured-{part}"

    @property
    def is_drawable(self) -> bool:
        """False: a capture gets finished lines only."""
        return False

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Append text to the captured stdout or stderr."""
        stream = self._streams.get(name)
        if stream is None or stream.closed:
            self._cell.stream(name, text)
        else:
            stream.write(text)

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Append a display to the captured displays."""
        if self._outputs is None:
            self._cell.display(bundle, display_id)
            return
        self._own[display_id] = {
            "data": page_data(bundle),
            "metadata": {},
            "transient": {"display_id": display_id},
            "update": False,
        }
        self._outputs.append(self._own[display_id])

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Update a captured display, and the copies of it that ``cap.show()`` has shown since."""
        if (own := self._own.get(display_id)) is not None:
            own["data"] = page_data(bundle)
        if own is None or self._shell.display_pub is not self._publisher:
            self._cell.update(bundle, display_id)

    def settle(self, bundle: Bundle, display_id: str) -> None:
        """Update a display for the last time."""
        if display_id in self._own:
            self.update(bundle, display_id)
        else:
            self._cell.settle(bundle, display_id)

    def draw(self, lines: SafeText, rows: Sequence[SafeText], display_id: str) -> None:
        """Do nothing, since nothing is drawn."""


def captured(shell: InteractiveShell, cell: Cell) -> Cell:
    """Return the capture that is active now; ``cell`` if none is."""
    publisher = shell.display_pub if isinstance(shell.display_pub, CapturingDisplayPublisher) else None
    streams: dict[StreamName, StringIO] = {}
    if isinstance(sys.stdout, StringIO):
        streams["stdout"] = sys.stdout
    if isinstance(sys.stderr, StringIO):
        streams["stderr"] = sys.stderr
    return CapturedCell(cell, streams, publisher, shell) if streams or publisher is not None else cell
