"""Holding back an interrupt while something is half done."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from ipyproc.process.bare import signal

# Known to type checkers by its name: `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["interrupts_after"]


@contextmanager
def interrupts_after() -> Iterator[None]:
    """Run the handler of a SIGINT that comes within the ``with`` at its end, once.

    It has an effect on the main thread alone, where handlers run.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda signum, frame: came.append((signum, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            # Not raise_signal(): a loop with add_signal_handler() has been told of this one already, by
            # its wake-up fd, and its own Python handler does nothing.
            before(*came[0])
