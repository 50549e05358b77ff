"""The terminal of a person, as that of a kept job."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from types import FrameType, TracebackType

from ipyproc.errors import JobSpecError
from ipyproc.hosts.keeper.job import KeptJob
from ipyproc.model.event import Event

__all__ = ["Keyboard", "key_of"]

_KEYS = 4096
_PIECE = 256 << 10
_LONGEST_WAIT = 1.0
# Cursor shown, no bracketed paste, no mouse, the usual screen: what a full-screen program may have left set.
_USUAL = b"\x1b[?25h\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1049l\x1b[0m\r\n"


def key_of(word: str) -> bytes:
    """Return the character of a key such as ``^]``.

    Raises:
        JobSpecError: it is no such key (a `ValueError`).
    """
    if len(word) == 2 and word[0] == "^" and "@" <= word[1].upper() <= "_":
        return bytes([ord(word[1].upper()) - 64])
    raise JobSpecError(f"The detach key {word!r} is not Ctrl and a character; give one such as '^]'.")


class Keyboard:
    """Types into a job what is typed here, and has its size; a context manager.

    Args:
        job: the job, on a terminal.
        key: the character that detaches.

    Attributes:
        is_detached: whether that was typed.
    """

    def __init__(self, job: KeptJob, key: bytes) -> None:
        self.is_detached = False
        self._job = job
        self._key = key
        self._bell, self._alarm = os.pipe()
        for fd in (self._bell, self._alarm):
            os.set_blocking(fd, False)

    def __enter__(self) -> Keyboard:
        """Take the terminal."""
        self._before = termios.tcgetattr(sys.stdin)
        self._handler = signal.signal(signal.SIGWINCH, self._resized)
        tty.setraw(sys.stdin)
        self._job.listen(self._happened)
        self._resize()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back as it was."""
        signal.signal(signal.SIGWINCH, self._handler)
        os.write(sys.stdout.fileno(), _USUAL)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def turn(self) -> None:
        """Wait until something is typed or written, and pass on what is typed."""
        ready, _, _ = select.select([sys.stdin, self._bell], [], [], _LONGEST_WAIT)
        if self._bell in ready:
            os.read(self._bell, _KEYS)
        if sys.stdin not in ready:
            return
        keys = os.read(sys.stdin.fileno(), _KEYS)
        typed, found, _ = keys.partition(self._key)
        self.is_detached = bool(found) or not keys
        if typed:
            self._job.write(typed)

    def show(self, at: int) -> int:
        """Show what was written since an offset; return the next."""
        output = self._job.output
        while at < output.end:
            at = max(at, output.start)
            data = output.read(at, at + _PIECE)
            if not data:
                return output.end
            view = memoryview(data)
            while view:
                view = view[os.write(sys.stdout.fileno(), view) :]
            at += len(data)
        return at

    def _resize(self) -> None:
        # Not of the variables LINES and COLUMNS, which a resize leaves as they are.
        size = os.get_terminal_size(sys.stdout.fileno())
        self._job.resize(size.lines, size.columns)

    def _resized(self, _signum: int, _frame: FrameType | None) -> None:
        self._resize()

    def _happened(self, _event: Event) -> None:
        # In the thread of the connection.
        try:
            os.write(self._alarm, b"\0")
        except BlockingIOError:
            pass
