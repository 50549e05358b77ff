"""Publishing to the cell that started a job, from any thread."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from ipyproc.safe import SafeText, joined

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipyproc.notebook.config import IPyProc
    from ipyproc.spool.output import StreamName

__all__ = [
    "Budget",
    "CallbackCell",
    "Cell",
    "KernelCell",
    "TerminalCell",
    "current_cell",
    "flush_prints",
    "is_batch",
    "is_unattended",
    "page_data",
]

Bundle = dict[str, SafeText]


_MESSAGE_COST = 1000
_WHOLE_CELLS = ("%%spawn", "%%fork")


class Cell(Protocol):
    """One cell's output area, or what stands for it; it takes only what may be shown.

    Attributes:
        key: the same for the same area.
        lasting: whether what is sent after the cell's end arrives in a batch run, too.
    """

    key: str
    lasting: bool

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Appends text to the cell's stdout or stderr."""

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Shows a display, which can be updated under its id."""

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Updates a display, in whichever cell it stands."""

    def settle(self, bundle: Bundle, display_id: str) -> None:
        """Updates a display for the last time."""


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

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Appends text to the cell's stdout or stderr."""
        self._send("stream", {"name": name, "text": text}, self._parent)

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Shows a display, which can be updated under its id."""
        self._send("display_data", _content(bundle, display_id), self._parent)

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Updates a display, in whichever cell it stands."""
        self._send("update_display_data", _content(bundle, display_id), self._parent)

    settle = update

    def _send(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        kernel = self._kernel
        socket = kernel.iopub_socket
        if kernel.session is None or socket is None:
            return
        kernel.session.send(socket, kind, content, parent=parent, ident=kernel._topic(kind))


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

    def __init__(self, number: int) -> None:
        self.key = str(number)

    def stream(self, name: StreamName, text: SafeText) -> None:
        """Prints text; both streams to the terminal's one."""
        # While prompt_toolkit has the prompt open, sys.stdout is its proxy, which prints above it.
        sys.stdout.write(text)
        sys.stdout.flush()

    def display(self, bundle: Bundle, display_id: str) -> None:
        """Prints a display."""
        self.stream("stdout", joined((bundle.get("text/ansi", bundle["text/plain"]), SafeText("\n"))))

    def update(self, bundle: Bundle, display_id: str) -> None:
        """Does nothing: what has been printed stays."""

    settle = display


def current_cell(shell: InteractiveShell) -> Cell:
    """The cell that runs in this thread."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return TerminalCell(shell.execution_count)
    parent = kernel.get_parent("shell")
    kind = parent.get("header", {}).get("msg_type", "execute_request")
    return (KernelCell if kind == "execute_request" else CallbackCell)(kernel, parent)


def flush_prints(shell: InteractiveShell) -> None:
    """Sends what the running cell has printed; ipykernel gathers that for a while."""
    kernel = getattr(shell, "kernel", None)
    code = "" if kernel is None else kernel.get_parent("shell").get("content", {}).get("code", "")
    # A flush waits 0.2 ms for ipykernel's thread, and before a cell's only magic there was no print.
    if not code.lstrip().startswith(_WHOLE_CELLS):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def is_batch(shell: InteractiveShell) -> bool:
    """Whether the running cell is executed by a program that stops listening when the cell ends.

    nbclient, and with it papermill and nbconvert, asks for executions with ``allow_stdin`` false;
    front ends with a person before them do not.
    """
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return False
    content = kernel.get_parent("shell").get("content", {})
    return content.get("allow_stdin", True) is False


def is_unattended(shell: InteractiveShell) -> bool:
    """Whether nobody waits at a prompt for what a job does after its cell: a magic then waits for its job.

    That is so in a batch run, and in an IPython that ends with what it was given to run: ``ipython -c``,
    ``ipython x.ipy``, a shell that a program has made for itself.
    """
    if getattr(shell, "kernel", None) is not None:
        return is_batch(shell)
    # IPython.embed() has a prompt and no application.
    return not getattr(shell.parent, "interact", True) or not hasattr(shell, "mainloop")


class Budget:
    """How many bytes may go to the page now: a token bucket.

    Args:
        config: has the rate, bytes a second; read anew each time.
        now: the time, in seconds on a clock that only goes forward.
    """

    def __init__(self, config: IPyProc, now: float | None = None) -> None:
        self._config = config
        self._left = config.bytes_per_second / 2
        self._at = time.monotonic() if now is None else now

    def available(self, now: float) -> int:
        """Bytes that may be sent at the time ``now``; 0 until a message is worth its cost."""
        rate = self._config.bytes_per_second
        self._left = min(rate / 2, self._left + (now - self._at) * rate)
        self._at = now
        return int(self._left) if self._left >= self._least else 0

    def free_at(self, now: float) -> float:
        """When something may be sent."""
        self.available(now)
        return now + max(0.0, (self._least - self._left) / self._config.bytes_per_second)

    def spend(self, size: int) -> None:
        """Takes bytes that were sent in a message, and what the message itself costs."""
        # A page takes a thousand messages a second, however short. What was forced may overdraw the
        # account, by a second's worth at most.
        self._left = max(self._left - size - _MESSAGE_COST, -float(self._config.bytes_per_second))

    @property
    def _least(self) -> float:
        return min(2048.0, self._config.bytes_per_second / 4)


def page_data(bundle: Bundle) -> Bundle:
    """What of a bundle a page can show."""
    return {kind: text for kind, text in bundle.items() if kind != "text/ansi"}


def _content(bundle: Bundle, display_id: str) -> dict[str, Any]:
    return {"data": page_data(bundle), "metadata": {}, "transient": {"display_id": display_id}}
