"""The interfaces of live forms, which a page may show in place of the plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipyproc.job.job import Job
    from ipyproc.model.state import Snapshot
    from ipyproc.views.cell import Bundle

__all__ = ["LiveForm", "LiveTableForm", "MeasuredJob"]


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


@dataclass(frozen=True)
class MeasuredJob:
    """A job in a table, and what it uses.

    Attributes:
        job: the job.
        snapshot: the job at this moment.
        cpu: the load in percent of one processor; None before it was measured twice.
        memory: the resident memory in bytes; None for a job that does not run.
    """

    job: Job
    snapshot: Snapshot
    cpu: float | None
    memory: int | None


class LiveTableForm(Protocol):
    """A form of a table of jobs that a page keeps up to date by itself, as `LiveForm`."""

    most_rows: int

    @property
    def is_heard(self) -> bool:
        """True if a page has shown it."""

    def form(self) -> Bundle:
        """Return what the display needs beside the plain form; empty while there is none yet."""

    def may_be_shown(self, now: float) -> bool:
        """Return True if a page shows it, or may still do so soon."""

    def tell(self, jobs: Sequence[MeasuredJob], caption: str, *, over: bool = False) -> None:
        """Tell the pages what is new; after the last time, ``over``, free all but what a late page needs."""

    def close(self) -> None:
        """Close it in all pages."""
