"""The interface of a live form of a job's status, which a page may show in place of the plain one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipyproc.views.cell import Bundle

__all__ = ["LiveForm"]


class LiveForm(Protocol):
    """A form of a job's status that a page keeps up to date by itself, as a widget does.

    It stands in the display of the plain form. Each update of that display would draw it anew, so the plain
    form is updated only if no page shows the live one, and at the job's end, when it takes its place.
    """

    @property
    def is_heard(self) -> bool:
        """True if a page has shown it."""

    def form(self) -> Bundle:
        """Return what the display needs beside the plain form; empty while there is none yet."""

    def replaces_updates(self, now: float) -> bool:
        """Return True if a page shows it, or may still do so soon."""

    def shows_output(self, now: float) -> bool:
        """Return True if it shows the output too, which then goes to the cell at the end only."""
