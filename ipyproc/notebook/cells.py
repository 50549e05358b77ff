"""Publish to the cell that started a job, from any thread."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ipyproc.model.spec import DEFAULT_COLUMNS, DEFAULT_ROWS
from ipyproc.notebook.private.ipykernel import kernel_of, publish, request_in
from ipyproc.notebook.private.ipython import ends_with_its_input
from ipyproc.notebook.terminal_rows import terminal_rows
from ipyproc.safe import SafeText, joined
from ipyproc.views.cell import Bundle, Cell, Medium

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipyproc.spool.output import StreamName

__all__ = [
    "CallbackCell",
    "ConsoleCell",
    "KernelCell",
    "TerminalCell",
    "columns_for",
    "current_cell",
    "is_batch",
    "is_unattended",
    "page_data",
]


class KernelCell:
    """A cell of a front end, identified by the message that requested its execution.

    Messages go out through the session with that message as parent, by which front ends find the cell
    (Jupyter messaging protocol, "parent header"), however many cells have run since. ipykernel's own
    routing follows the cell that runs now.
    """

    lasting = False

    def __init__(self, kernel: Any, parent: dict[str, Any]) -> None:
        self._kernel = kernel
        self._parent = parent
        self.key = str(parent.get("header", {}).get("msg_id", ""))
        self.medium = Medium.FILE if _stops_listening(parent) else Medium.PAGE

    @property
    def is_drawable(self) -> bool:
        """True except in a batch run."""
        return self.medium is Medium.PAGE

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Append text to the cell's stdout or stderr."""
        self._send("stream", {"name": name, "text": text})

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Show a display, which `update` can replace by its id."""
        self._send("display_data", _content(bundle, display_id))

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Update a display, which may stand in another cell."""
        self._send("update_display_data", _content(bundle, display_id))

    settle = update

    def draw(self, lines: SafeText, rows: Sequence[SafeText], display_id: str) -> None:
        """Do nothing: a page shows rows in displays."""

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        publish(self._kernel, kind, content, self._parent)


class CallbackCell(KernelCell):
    """The output area of a widget's callback, which belongs to no cell: JupyterLab's log console.

    Front ends do not update a display there, so the last update is displayed as well.
    """

    def settle(self, bundle: Bundle, display_id: str) -> None:
        """Update a display for the last time, and display it once more."""
        self.update(bundle, display_id)
        self.display(bundle, display_id)


class ConsoleCell(KernelCell):
    """A cell of jupyter console or qtconsole, which ignore updates of displays.

    It shows what a terminal without drawings shows: all lines as text, and a status at the start and the end.
    """

    medium = Medium.TERMINAL
    is_drawable = False

    def __init__(self, kernel: Any, parent: dict[str, Any]) -> None:
        self._kernel = kernel
        self._parent = parent
        self.key = str(parent["header"]["msg_id"])

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Do nothing, since what is shown stays."""

    settle = KernelCell.display


class TerminalCell:
    """The terminal, above the prompt; a display is printed when it is first shown and at its end.

    While the running cell waits for a job, and no prompt is shown, rows that change are drawn below the text.
    """

    lasting = False
    medium = Medium.TERMINAL

    def __init__(self, number: int) -> None:
        self.key = str(number)

    @property
    def is_drawable(self) -> bool:
        """True if the running cell waits for a job."""
        return terminal_rows.is_free

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Print text; both streams go to the terminal."""
        terminal_rows.print(text)

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Print a display."""
        self.stream("stdout", joined((bundle.get("text/ansi", bundle["text/plain"]), SafeText("\n"))))

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Do nothing, since printed text stays."""

    settle = display

    def draw(self, lines: SafeText, rows: Sequence[SafeText], display_id: str) -> None:
        """Print lines, and show rows below them."""
        terminal_rows.draw(lines, rows, display_id)


def current_cell(shell: InteractiveShell) -> Cell:
    """Return the cell that runs in this thread."""
    kernel = kernel_of(shell)
    if kernel is None:
        return TerminalCell(shell.execution_count)
    parent = request_in(kernel)
    if parent.get("header", {}).get("msg_type", "execute_request") != "execute_request":
        return CallbackCell(kernel, parent)
    return (ConsoleCell if _is_console(parent) else KernelCell)(kernel, parent)


def is_batch(shell: InteractiveShell) -> bool:
    """Return True if the running cell belongs to a batch run, which discards output after the cell's end."""
    kernel = kernel_of(shell)
    return kernel is not None and _stops_listening(request_in(kernel))


def is_unattended(shell: InteractiveShell) -> bool:
    """Return True if no user is at a prompt after the cell, so that a magic waits for its job.

    That is the case in a batch run, and in an IPython that exits after its input: ``ipython -c``,
    ``ipython x.ipy``, or a shell that a program has created.
    """
    return ends_with_its_input(shell) if kernel_of(shell) is None else is_batch(shell)


def columns_for(shell: InteractiveShell) -> int:
    """Return the columns of the terminal of a job that a magic starts: in a terminal, that terminal's own."""
    if kernel_of(shell) is not None:
        return DEFAULT_COLUMNS
    return shutil.get_terminal_size((DEFAULT_COLUMNS, DEFAULT_ROWS)).columns


def page_data(bundle: Bundle) -> dict[str, Any]:
    """Return the forms of a bundle that a page can show."""
    return {
        kind: json.loads(text) if kind.endswith("+json") else text
        for kind, text in bundle.items()
        if kind != "text/ansi"
    }


def _stops_listening(request: dict[str, Any]) -> bool:
    """Return True for a request of a program that discards output of cells that have ended.

    nbclient, and with it papermill and nbconvert, requests executions with ``allow_stdin`` false; front ends
    for people do not.
    """
    return request.get("content", {}).get("allow_stdin", True) is False


def _is_console(request: dict[str, Any]) -> bool:
    """Return True for a request of jupyter console or qtconsole.

    They are jupyter_client's, whose session is named after the user of the system (``$USER``), and a person
    may answer there. The sessions of pages have other names, and JupyterLab and Notebook 7 name the cell.
    """
    user = request.get("header", {}).get("username")
    named = user not in ("", "username", None) and user == os.environ.get("USER")
    return named and "cellId" not in request.get("metadata", {}) and not _stops_listening(request)


def _content(bundle: Bundle, display_id: str) -> dict[str, Any]:
    return {"data": page_data(bundle), "metadata": {}, "transient": {"display_id": display_id}}
