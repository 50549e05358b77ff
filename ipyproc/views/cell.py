"""Where views show what they have: cells, and the front end in which these stand. Interfaces alone."""

from __future__ import annotations

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

    A page must not be flooded. A file that a batch run saves, and a terminal, take output as fast as it
    comes. What is printed to a terminal stays there: no display is updated.
    """

    PAGE = "page"
    FILE = "file"
    TERMINAL = "terminal"


class Cell(Protocol):
    """One cell's output area, or what stands for it; it takes only what may be shown.

    All methods may be called from any thread.
    """

    @property
    def key(self) -> str:
        """The same text for the same area."""

    @property
    def lasting(self) -> bool:
        """True when what is sent after the cell's end arrives in a batch run, too."""

    @property
    def medium(self) -> Medium:
        """Where the cell is seen."""

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Append text to the cell's stdout or stderr."""

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Show a display, which can be updated under its id."""

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Update a display, in whichever cell it stands."""

    def settle(self, bundle: Bundle, display_id: str) -> None:
        """Update a display for the last time."""


class FrontEnd(Protocol):
    """What has the cells of one kernel or terminal: a page, a program that executes a file, a terminal."""

    @property
    def medium(self) -> Medium:
        """Where the cell that runs in this thread is seen."""

    def running_cell(self) -> Cell | None:
        """Return the cell that runs in this thread; None in a callback, which is no cell's."""

    def target(self) -> Cell:
        """Return what takes the output of a job that is started in this thread now, from now to its end."""

    def flush_prints(self) -> None:
        """Send what the running cell has printed, where that is gathered for a while."""
