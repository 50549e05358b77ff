"""The front end of a shell, as the views' interface `FrontEnd`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ipyproc.notebook.captures import captured
from ipyproc.notebook.cells import CallbackCell, KernelCell, current_cell, is_batch
from ipyproc.notebook.output_widgets import output_widget_cell
from ipyproc.notebook.private.ipykernel import kernel_of, request_in
from ipyproc.notebook.terminal_rows import terminal_rows
from ipyproc.views.cell import Medium

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from tornado.ioloop import IOLoop

    from ipyproc.views.cell import Cell

__all__ = ["ShellFrontEnd"]


class ShellFrontEnd:
    """The front end of a shell: a page or a batch run of its kernel, or its terminal.

    Args:
        shell: the shell.
        io_loop: the kernel's loop.
        whole_cells: the beginnings of cells that are a single cell magic, such as ``%%spawn``.
    """

    def __init__(self, shell: InteractiveShell, io_loop: IOLoop, whole_cells: Iterable[str]) -> None:
        self._shell = shell
        self._kernel = kernel_of(shell)
        self._io_loop = io_loop
        self._whole_cells = tuple(whole_cells)

    @property
    def medium(self) -> Medium:
        """The medium in which the cell that runs in this thread is seen."""
        if self._kernel is None:
            return Medium.TERMINAL
        return Medium.FILE if is_batch(self._shell) else Medium.PAGE

    def running_cell(self) -> Cell | None:
        """Return the cell that runs in this thread; None in a widget's callback, which belongs to no cell."""
        cell = current_cell(self._shell)
        return None if isinstance(cell, CallbackCell) else cell

    def target(self) -> Cell:
        """Return the cell for all output of a job that this thread starts now.

        It is the place where `print` and `display` would show: the cell, an Output widget, or a capture.
        """
        cell = current_cell(self._shell)
        # nbclient collects the messages for the cell, and ignores outputs that the kernel sets on a widget.
        if isinstance(cell, KernelCell) and not is_batch(self._shell):
            cell = output_widget_cell(cell.key, self._io_loop) or cell
        return captured(self._shell, cell)

    def job_is_awaited(self) -> None:
        """Record that the running cell waits for a job, so that a terminal can draw meanwhile."""
        terminal_rows.job_is_awaited()

    def flush_prints(self) -> None:
        """Send what the running cell has printed, which ipykernel buffers for a while."""
        code = "" if self._kernel is None else request_in(self._kernel).get("content", {}).get("code", "")
        # A flush waits 0.2 ms for ipykernel's thread, and nothing is printed before a cell's only magic.
        if not code.lstrip().startswith(self._whole_cells):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
