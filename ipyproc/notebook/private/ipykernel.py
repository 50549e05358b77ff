"""What ipykernel does not promise; tried with 6.29.0 to 7.4, and 6.17.1.

A kernel that lacks one of `NEEDED` is refused with a sentence when the extension is loaded. Of the others
each function says what happens without it. Imports nothing of ipykernel, which may be absent or too old.
"""

from __future__ import annotations

from collections.abc import Callable
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
]

NEEDED = ("io_loop", "session", "iopub_socket", "get_parent")
"""The attributes without which nothing works."""

Request = dict[str, Any]
"""A message that asked the kernel for something, such as the execution of a cell."""


def kernel_of(shell: InteractiveShell) -> Any:
    """Return the kernel of a shell; None in a terminal, whose shell has none."""
    return getattr(shell, "kernel", None)


def loop_of(kernel: Any) -> IOLoop:
    """Return the loop on which the kernel runs cells."""
    loop: IOLoop = kernel.io_loop
    return loop


def request_in(kernel: Any) -> Request:
    """Return the request that is handled in this thread; `{}` between two.

    In a thread that a cell has started it is that cell's, from ipykernel 7 on; before, the newest cell's.
    """
    request: Request = kernel.get_parent("shell")
    return request


def publish(kernel: Any, kind: str, content: dict[str, Any], request: Request) -> None:
    """Send a message to all front ends, as an answer to a request; in any thread.

    Nothing is sent by a kernel that has ended its session. Without ``_topic`` the message goes out with no
    topic, which front ends do not ask for: they take them all.
    """
    session, socket = kernel.session, kernel.iopub_socket
    if session is None or socket is None:
        return
    topic = getattr(kernel, "_topic", None)
    session.send(socket, kind, content, parent=request, ident=None if topic is None else topic(kind))


def exchange_idle_handler(kernel: Any, old: object, new: object) -> None:
    """Exchange what the kernel does at SIGINT while no cell runs, if that is ``old``.

    Without ``saved_sigint_handler`` the kernel has no such handler, and there is nothing to exchange.
    """
    if getattr(kernel, "saved_sigint_handler", None) is old:
        kernel.saved_sigint_handler = new


def at_shutdown(kernel: Any, call: Callable[[], object]) -> Callable[[], None]:
    """Have ``call`` run before the kernel shuts down at a front end's request; return what undoes that.

    A kernel without ``do_shutdown`` tells nobody; what is to be said at its end is said at its exit.
    """
    before = getattr(kernel, "do_shutdown", None)
    if before is None:
        return lambda: None

    def do_shutdown(restart: bool) -> object:
        call()
        return before(restart)

    def undo() -> None:
        # Whoever has replaced it since keeps it.
        if vars(kernel).get("do_shutdown") is do_shutdown:
            del kernel.do_shutdown

    kernel.do_shutdown = do_shutdown
    return undo
