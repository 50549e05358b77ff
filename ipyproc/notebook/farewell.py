"""The kernel's end, and its interrupts: what cells and whoever started the kernel are told of jobs."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from ipyproc.job.table import say_on_stderr
from ipyproc.notebook.private.ipykernel import at_shutdown, exchange_idle_handler

if TYPE_CHECKING:
    from ipyproc.job.table import JobTable
    from ipyproc.views.screen import Screen

__all__ = ["leave_interrupts_to_children", "say_farewell"]


def say_farewell(kernel: Any, jobs: JobTable, screen: Screen, undo: ExitStack) -> None:
    """Have cells say that their jobs end with the kernel: while a front end still listens, or at its exit."""
    own = os.getpid()

    def at_exit() -> None:
        # A fork that ends shares the front end.
        if os.getpid() == own:
            screen.farewell()

    # By quit() or at the end of standard input nobody asks for a shutdown.
    atexit.register(at_exit)
    undo.callback(atexit.unregister, at_exit)
    if kernel is None:
        return

    def before_shutdown() -> None:
        screen.farewell()
        # Whoever started the kernel may be gone before its exit, and older ones then end at once.
        jobs.say_what_ends()

    undo.callback(at_shutdown(kernel, before_shutdown))
    jobs.say = _saying_past(sys.stderr)


def leave_interrupts_to_children(kernel: Any, undo: ExitStack) -> None:
    """Have jobs that start between cells take a SIGINT, such as those started again."""
    # ipykernel ignores SIGINT while no cell runs. A child inherits that, and a handler it does not.
    undo.callback(_exchange_interrupts, kernel, _nothing, signal.SIG_IGN)
    _exchange_interrupts(kernel, signal.SIG_IGN, _nothing)


def _saying_past(stream: Any) -> Callable[[str], object]:
    """Return what writes to the standard error with which the kernel was started, and not to a cell.

    While ipykernel runs, a pipe of its own stands there, and what is in it at the end reaches nobody.
    """
    try:
        pipe = os.fstat(2)
    except OSError:
        return say_on_stderr

    def say(line: str) -> None:
        with suppress(AttributeError, OSError, ValueError):
            if os.path.samestat(os.fstat(2), pipe):
                os.write(stream.fileno(), (line + "\n").encode(errors="backslashreplace"))
                return
        say_on_stderr(line)

    return say


def _exchange_interrupts(kernel: Any, old: object, new: Any) -> None:
    exchange_idle_handler(kernel, old, new)
    if signal.getsignal(signal.SIGINT) is old and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, new)


def _nothing(_signum: int, _frame: object) -> None:
    pass
