"""The interface of a job, as views read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipyproc.model.state import Snapshot
    from ipyproc.spool.output import Piece, StreamName

__all__ = ["Shown"]


class Shown(Protocol):
    """What a view reads of a job, whichever host runs it."""

    @property
    def name(self) -> str:
        """The name of the job."""

    @property
    def done(self) -> bool:
        """True once the job has ended."""

    @property
    def lingers(self) -> bool:
        """True while an ended job may still change, since it has left processes running."""

    @property
    def size(self) -> int:
        """The offset past the newest byte of its output."""

    @property
    def encoding(self) -> str:
        """The encoding of its output."""

    @property
    def terminal(self) -> tuple[int, int] | None:
        """The rows and columns of its terminal; None if its output comes by pipes."""

    def snapshot(self) -> Snapshot:
        """Return a snapshot of this moment."""

    def runs(self, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        """Return the bytes between two offsets, in stretches of one stream each."""

    def read(self, start: int, stop: int | None) -> bytes:
        """Return the bytes between two offsets."""

    def pieces(self, start: int, stop: int | None) -> list[Piece]:
        """Return the pieces between two offsets, with their streams and times."""
