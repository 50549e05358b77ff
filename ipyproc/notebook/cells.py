"""Publishing to the cell that started a job, from any thread."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ipyproc.notebook.private.ipykernel import kernel_of, publish, request_in
from ipyproc.notebook.private.ipython import ends_with_its_input
from ipyproc.safe import SafeText, joined
from ipyproc.views.cell import Bundle, Cell, Medium

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipyproc.spool.output import StreamName

__all__ = [
    "CallbackCell",
    "KernelCell",
    "TerminalCell",
    "current_cell",
    "is_batch",
    "is_unattended",
    "page_data",
]


class KernelCell:
    """A cell of a front end, known by the message that asked for its execution.

    Messages go out through the session with that parent, which front ends use to find the cell
    (Jupyter messaging protocol, "parent header"), however many cells have run since. ipykernel's
    own routing follows the cell that runs now.
    """

    lasting = False

    def __init__(self, kernel: Any, parent: dict[str, Any]) -> None:
        self._kernel = kernel
        self._parent = parent
        self.key = str(parent.get("header", {}).get("msg_id", ""))
        self.medium = Medium.FILE if _stops_listening(parent) else Medium.PAGE

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Append text to the cell's stdout or stderr."""
        self._send("stream", {"name": name, "text": text})

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Show a display, which can be updated under its id."""
        self._send("display_data", _content(bundle, display_id))

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Update a display, in whichever cell it stands."""
        self._send("update_display_data", _content(bundle, display_id))

    settle = update

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        publish(self._kernel, kind, content, self._parent)


class CallbackCell(KernelCell):
    """Where a widget's callback shows what it displays, which is no cell's: JupyterLab's log console.

    A display there is never updated, so its end is displayed as well.
    """

    def settle(self, bundle: Bundle, display_id: str) -> None:
        """Update a display for the last time, and show it once more."""
        self.update(bundle, display_id)
        self.display(bundle, display_id)


class TerminalCell:
    """The terminal, above the prompt; a display is printed when it is first shown."""

    lasting = False
    medium = Medium.TERMINAL

    def __init__(self, number: int) -> None:
        self.key = str(number)

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Print text; both streams to the terminal's one."""
        # While prompt_toolkit has the prompt open, sys.stdout is its proxy, which prints above it.
        sys.stdout.write(text)
        sys.stdout.flush()

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Print a display."""
        self.stream("stdout", joined((bundle.get("text/ansi", bundle["text/plain"]), SafeText("\n"))))

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Do nothing: what has been printed stays."""

    settle = display


def current_cell(shell: InteractiveShell) -> Cell:
    """Return the cell that runs in this thread."""
    kernel = kernel_of(shell)
    if kernel is None:
        return TerminalCell(shell.execution_count)
    parent = request_in(kernel)
    kind = parent.get("header", {}).get("msg_type", "execute_request")
    return (KernelCell if kind == "execute_request" else CallbackCell)(kernel, parent)


def is_batch(shell: InteractiveShell) -> bool:
    """Return True when a program has the running cell executed that stops listening when the cell ends."""
    kernel = kernel_of(shell)
    return kernel is not None and _stops_listening(request_in(kernel))


def is_unattended(shell: InteractiveShell) -> bool:
    """Return True when nobody waits at a prompt for what a job does after its cell: its magic waits then.

    That is so in a batch run, and in an IPython that ends with what it was given to run: ``ipython -c``,
    ``ipython x.ipy``, a shell that a program has made for itself.
    """
    return ends_with_its_input(shell) if kernel_of(shell) is None else is_batch(shell)


def page_data(bundle: Bundle) -> Bundle:
    """Return what of a bundle a page can show."""
    return {kind: text for kind, text in bundle.items() if kind != "text/ansi"}


def _stops_listening(request: dict[str, Any]) -> bool:
    """Return True for the request of a program that listens to no cell that has ended.

    nbclient, and with it papermill and nbconvert, asks for executions with ``allow_stdin`` false;
    front ends with a person before them do not.
    """
    return request.get("content", {}).get("allow_stdin", True) is False


def _content(bundle: Bundle, display_id: str) -> dict[str, Any]:
    return {"data": page_data(bundle), "metadata": {}, "transient": {"display_id": display_id}}
