"""Where a job is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipyproc.views.view import View

__all__ = ["Places"]


class Places:
    """The cells that show a job.

    Attributes:
        cells: the keys of the cells that show it, and of the one that started a quiet job.
        outputs: the keys of those that show its output, and not only its status.
        first: the key of the first cell that shows it; empty before one does.
        ended: the view in that cell, kept after the job's end for a restart.
    """

    __slots__ = ("cells", "ended", "first", "outputs")

    def __init__(self) -> None:
        self.cells: tuple[str, ...] = ()
        self.outputs: tuple[str, ...] = ()
        self.first = ""
        self.ended: View | None = None
