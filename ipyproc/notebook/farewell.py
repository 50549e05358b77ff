"""The end of the kernel: mark jobs as ended in their cells, and report them; and the idle kernel's SIGINT."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Protocol

from ipyproc.job.registry import say_on_stderr
from ipyproc.notebook.private.ipykernel import at_shutdown, exchange_idle_handler

if TYPE_CHECKING:
    from ipyproc.job.table import JobTable

__all__ = ["leave_interrupts_to_children", "say_farewell"]


class Shower(Protocol):
    """An object that shows jobs."""

    def farewell(self) -> None:
        """Show that the jobs end with the kernel."""


def say_farewell(kernel: Any, jobs: JobTable, showers: Sequence[Shower], undo: ExitStack) -> None:
    """Mark running jobs in their cells when the kernel ends: at a shutdown request, or at its exit."""
    own = os.getpid()

    def farewell() -> None:
        for shower in showers:
            shower.farewell()

    def at_exit() -> None:
        # A fork shares the front end, and its exit is not the kernel's.
        if os.getpid() == own:
            farewell()

    # quit() and the end of standard input come without a shutdown request. The table ends the jobs in an exit
    # handler of its own, before which each has to be marked: its end would be shown as any other.
    jobs.farewells.append(at_exit)
    undo.callback(jobs.farewells.remove, at_exit)
    atexit.register(at_exit)
    undo.callback(atexit.unregister, at_exit)
    if kernel is None:
        return

    def before_shutdown() -> None:
        farewell()
        # The parent may exit before the kernel does, and older kernels then exit at once.
        jobs.say_what_ends()

    undo.callback(at_shutdown(kernel, before_shutdown))
    jobs.say = _saying_past(sys.stderr)


def leave_interrupts_to_children(kernel: Any, undo: ExitStack) -> None:
    """Let a SIGINT reach jobs that are started between cells, such as by a restart."""
    # ipykernel ignores SIGINT while no cell runs, and a child inherits that. It does not inherit a handler.
    undo.callback(_exchange_interrupts, kernel, _nothing, signal.SIG_IGN)
    _exchange_interrupts(kernel, signal.SIG_IGN, _nothing)


def _saying_past(stream: Any) -> Callable[[str], object]:
    """Return a function that writes a line to the standard error that the kernel was started with.

    While ipykernel runs, fd 2 is a pipe of its own, and text that is in it at the end is lost.
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
