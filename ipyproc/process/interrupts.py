"""Holding back an interrupt while something is half done."""

from __future__ import annotations

import threading

from ipyproc.process.bare import signal

# Known to type checkers by its name: `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    Handler = Callable[[int, FrameType | None], object] | int | None

__all__ = ["interrupts_after"]


class interrupts_after:
    """Run the handler of a SIGINT that comes within the ``with`` at its end, once.

    It has an effect on the main thread alone, where handlers run, and none within another.
    """

    __slots__ = ("_before", "_came")

    def __enter__(self) -> interrupts_after:
        """Hold interrupts back from now on."""
        self._came: tuple[int, FrameType | None] | None = None
        # Not callable: nobody handles it.
        self._before: Handler = None
        before = signal.getsignal(signal.SIGINT)
        if getattr(before, "__func__", None) is interrupts_after._note or not callable(before):
            return self
        if threading.current_thread() is threading.main_thread():
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the handler back, and call it if an interrupt came."""
        before = self._before
        if callable(before):
            signal.signal(signal.SIGINT, before)
            if self._came is not None:
                # Not raise_signal(): a loop with add_signal_handler() has been told of this one already, by
                # its wake-up fd, and its own Python handler does nothing.
                before(*self._came)

    def take(self) -> bool:
        """Return whether an interrupt came, which then is the caller's and has no effect at the end."""
        came, self._came = self._came, None
        return came is not None

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._came is None:
            self._came = signum, frame
