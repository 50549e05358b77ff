"""The interfaces of cells, in which views show output, and of the front end that has the cells."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ipyproc.safe import SafeText

if TYPE_CHECKING:
    from ipyproc.spool.output import StreamName

__all__ = ["Bundle", "Cell", "FrontEnd", "Medium"]

Bundle = dict[str, SafeText]
"""One picture in several forms, by MIME type; ``text/ansi`` is the form for a terminal."""


class Medium(Enum):
    """Where output is seen.

    Output to a page is limited in rate. A file that a batch run saves, and a terminal, get output as fast as
    it comes. Text on a terminal stays there: no display is updated, and rows that change are drawn below it.
    """

    PAGE = "page"
    FILE = "file"
    TERMINAL = "terminal"


class Cell(Protocol):
    """One cell's output area, or a widget in its place; it accepts safe text only.

    Any thread may call any method.
    """

    @property
    def key(self) -> str:
        """A text that identifies the output area."""

    @property
    def lasting(self) -> bool:
        """True if output sent after the cell's end arrives also in a batch run."""

    @property
    def medium(self) -> Medium:
        """The medium in which the cell is seen."""

    @property
    def is_drawable(self) -> bool:
        """True if rows that change can be drawn now: in displays, or in a terminal by `draw`."""

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Append text to the cell's stdout or stderr."""

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Show a display, which `update` can replace by its id."""

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Update a display, which may stand in another cell."""

    def settle(self, bundle: Bundle, display_id: str) -> None:
        """Update a display for the last time."""

    def draw(self, lines: SafeText, rows: Sequence[SafeText], display_id: str) -> None:
        """In a terminal, print lines, and show rows below all text in place of those of that id."""


class FrontEnd(Protocol):
    """The front end of one kernel: a page, a program that executes a notebook file, or a terminal."""

    @property
    def medium(self) -> Medium:
        """The medium in which the cell that runs in this thread is seen."""

    def running_cell(self) -> Cell | None:
        """Return the cell that runs in this thread; None in a callback, which belongs to no cell."""

    def target(self) -> Cell:
        """Return the cell for all output of a job that this thread starts now."""

    def job_is_awaited(self) -> None:
        """Record that the running cell waits for a job, so that a terminal can draw meanwhile."""

    def flush_prints(self) -> None:
        """Send what the running cell has printed, if the front end buffers it."""
