"""Private APIs of ipykernel; tried with 6.29.0 to 7.4, and 6.17.1.

Loading the extension raises an error for a kernel that lacks one of `NEEDED`. For the others, each function
says what happens without it. This module does not import ipykernel, which may be absent or too old.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from tornado.ioloop import IOLoop

__all__ = [
    "NEEDED",
    "at_shutdown",
    "exchange_idle_handler",
    "kernel_of",
    "loop_of",
    "publish",
    "request_in",
    "take_comm_messages",
]

NEEDED = ("io_loop", "session", "iopub_socket", "get_parent")
"""The attributes that the extension cannot do without."""

Request = dict[str, Any]
"""A request message to the kernel, such as that of a cell's execution."""


def kernel_of(shell: InteractiveShell) -> Any:
    """Return the kernel of a shell; None in a terminal, whose shell has no kernel."""
    return getattr(shell, "kernel", None)


def loop_of(kernel: Any) -> IOLoop:
    """Return the loop on which the kernel runs cells."""
    loop: IOLoop = kernel.io_loop
    return loop


def request_in(kernel: Any) -> Request:
    """Return the request that this thread handles; empty between two requests.

    In a thread that a cell has started, it is the request of that cell since ipykernel 7, and that of the
    newest cell before.
    """
    request: Request = kernel.get_parent("shell")
    return request


def publish(
    kernel: Any, kind: str, content: dict[str, Any], request: Request, buffers: Sequence[bytes] = ()
) -> None:
    """Send a message to all front ends, as a reply to a request; any thread may call it.

    A kernel that has closed its session sends nothing. Without ``_topic`` the message has no topic, which
    is harmless, since front ends subscribe to all topics.
    """
    session, socket = kernel.session, kernel.iopub_socket
    if session is None or socket is None:
        return
    topic = getattr(kernel, "_topic", None)
    ident = None if topic is None else topic(kind)
    session.send(socket, kind, content, parent=request, ident=ident, buffers=list(buffers) or None)


def take_comm_messages(kernel: Any, received: Callable[[str, Any], bool]) -> Callable[[], None] | None:
    """Take messages of comms on the control channel, too, which is served while a cell runs.

    Without ``control_handlers``, or where another package has a handler for such messages, return None: all
    messages come on the shell channel, after the running cell.

    Args:
        kernel: the kernel.
        received: called with the id of a comm and the data of a message, in the control channel's thread;
            returns False if the comm is not known, and the message is dropped.

    Returns:
        A function that undoes it.
    """
    handlers = getattr(kernel, "control_handlers", None)
    if not isinstance(handlers, dict) or "comm_msg" in handlers:
        return None

    def handle(_stream: object, _ident: object, message: dict[str, Any]) -> None:
        content = message.get("content", {})
        received(str(content.get("comm_id")), content.get("data"))

    def undo() -> None:
        if handlers.get("comm_msg") is handle:
            del handlers["comm_msg"]

    handlers["comm_msg"] = handle
    return undo


def exchange_idle_handler(kernel: Any, old: object, new: object) -> None:
    """Replace the kernel's SIGINT handler between cells by ``new``, if it is ``old``.

    Without ``saved_sigint_handler`` the kernel has no such handler, and nothing is replaced.
    """
    if getattr(kernel, "saved_sigint_handler", None) is old:
        kernel.saved_sigint_handler = new


def at_shutdown(kernel: Any, call: Callable[[], object]) -> Callable[[], None]:
    """Call ``call`` before the kernel shuts down at a front end's request; return a function that undoes it.

    With a kernel without ``do_shutdown``, ``call`` is never called, and only exit handlers run at its end.
    """
    before = getattr(kernel, "do_shutdown", None)
    if before is None:
        return lambda: None

    def do_shutdown(restart: bool) -> object:
        call()
        return before(restart)

    def undo() -> None:
        # A later replacement by another package stays.
        if vars(kernel).get("do_shutdown") is do_shutdown:
            del kernel.do_shutdown

    kernel.do_shutdown = do_shutdown
    return undo
