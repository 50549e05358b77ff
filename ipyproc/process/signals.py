"""Signals to the parent of workers: queued while it supervises, and handed back as they were."""

from __future__ import annotations

import os
import sys

# Also since the wrappers in the module `signal` turn results into enums, and that writes to a hundred
# pages, each of which a worker that starts has to copy first.
from ipyproc.process.bare import signal
from ipyproc.process.platform.pidfd import open_pidfd

# Known to type checkers by its name: `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    _Disposition = Callable[[int, FrameType | None], object] | int

__all__ = ["BlockedSignals", "SignalQueue", "in_foreground"]


class SignalQueue:
    """Queues SIGTERM and SIGINT, and wakes up whoever polls `fd`.

    A signal that is ignored stays ignored; off the main thread, where Python allows no handler, none
    is queued.

    Attributes:
        fd: readable after a signal, until `drain`.
        received: every signal so far, in order.
        sees_exits: whether `fd` is readable after a child's exit too: by SIGCHLD, where there are no
            pidfds.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self.sees_exits = False
        self._drained = 0
        self._previous: list[tuple[int, _Disposition]] = []
        self.fd = self._wakeup_fd = -1

    def open(self) -> None:
        """Take the signals over."""
        self.fd, self._wakeup_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._wakeup_fd, False)
        if _on_main_thread():
            self._handle_stops()
            self._handle_exits()

    def close(self) -> None:
        """Put the previous handlers back and close the pipe; call at the end, and in each worker."""
        if self.fd < 0:
            return
        for signum, previous in self._previous:
            signal.signal(signum, previous)
        os.close(self.fd)
        os.close(self._wakeup_fd)
        self.fd = self._wakeup_fd = -1

    def drain(self) -> list[int]:
        """Return the signals received since the last call, and empty `fd`."""
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass
        new = self.received[self._drained :]
        self._drained += len(new)
        return new

    def _handle_stops(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(signum) != signal.SIG_IGN:
                self._handle(signum, self._queue)

    def _handle_exits(self) -> None:
        previous = signal.getsignal(signal.SIGCHLD)
        pidfd = open_pidfd(os.getpid())
        if pidfd is not None:
            os.close(pidfd)
            if previous == signal.SIG_IGN:
                # Ignored, the kernel throws the exit statuses away (wait(2), NOTES).
                self._handle(signal.SIGCHLD, signal.SIG_DFL)
            return

        def wake_up(signum: int, frame: FrameType | None) -> None:
            self._wake_up()
            if callable(previous):
                previous(signum, frame)

        self.sees_exits = self._handle(signal.SIGCHLD, wake_up)

    def _handle(self, signum: int, handler: _Disposition) -> bool:
        previous = signal.getsignal(signum)
        # None stands for a handler that was not installed from Python: it cannot be put back.
        if previous is None:
            return False
        self._previous.append((int(signum), previous if callable(previous) else int(previous)))
        signal.signal(signum, handler)
        return True

    def _queue(self, signum: int, frame: FrameType | None) -> None:
        self.received.append(signum)
        self._wake_up()

    def _wake_up(self) -> None:
        try:
            os.write(self._wakeup_fd, b"\0")
        except BlockingIOError:
            pass


class BlockedSignals:
    """Blocks signals to this thread within a ``with``: ours, and those that have a handler in Python.

    Entering raises what a handler raises that was due before.
    """

    def __init__(self) -> None:
        handled = {int(n) for n in signal.valid_signals() if callable(signal.getsignal(n))}
        self._handled = tuple(handled | {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
        self._mask: set[int] = set()

    def __enter__(self) -> None:
        # Such a handler runs inside the blocking call, and the old mask would be lost with its result.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._handled)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exc_info: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _on_main_thread() -> bool:
    # Whoever has another thread has imported this.
    threading = sys.modules.get("threading")
    return threading is None or threading.current_thread() is threading.main_thread()


def in_foreground() -> bool:
    """Return whether our process group is the one that a terminal sends ^C to."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
