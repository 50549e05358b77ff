"""Where `print` and `display` would show something now: the cell, or what takes its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipyproc.notebook.captures import captured
from ipyproc.notebook.cells import Cell, KernelCell, current_cell, is_batch
from ipyproc.notebook.output_widgets import output_widget_cell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from tornado.ioloop import IOLoop

__all__ = ["display_target"]


def display_target(shell: InteractiveShell, io_loop: IOLoop) -> Cell:
    """Return what takes the output of a job that is started in this thread now, from now to its end.

    Args:
        shell: whose cell runs.
        io_loop: the kernel's.
    """
    cell = current_cell(shell)
    # nbclient collects what comes for the cell, and takes no outputs that the kernel sets.
    if isinstance(cell, KernelCell) and not is_batch(shell):
        cell = output_widget_cell(cell.key, io_loop) or cell
    return captured(shell, cell)
