"""Pseudo-terminals: open one, set its size, ask for its modes; on Linux and macOS alike.

Linux and macOS differ at the end: when nobody has the slave open any more, a read of the master raises EIO on
Linux, and returns nothing on macOS. A process gets the terminal as its controlling one by the ioctl
``CONTROL`` (`tty_ioctl(4)`), which needs a session leader that has none; `ipyproc.process.terminal_program`
does that between the fork and the program. On Linux such a leader gets it too when it opens the slave:
`ipyproc.process.terminal_popen`.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress

try:
    import fcntl
    import termios
except ImportError:  # Windows
    pass

__all__ = [
    "GONE",
    "control_request",
    "end_of_file",
    "hides_input",
    "made_at",
    "number_of",
    "open_pty",
    "set_size",
]

GONE = frozenset({errno.EIO, errno.EPIPE})
"""The errors of a read or a write when the other end of a pipe or of a terminal is closed."""

_SIZE = struct.Struct("HHHH")
_INPUT_MODES = 0
_LOCAL_MODES = 3
# On Linux and macOS alike; `termios` does not have it.
_IUTF8 = 0x4000
_CHARACTERS = 6
_USUAL_END_OF_FILE = b"\x04"
_FOLDER = "/dev/pts"
_DISABLED = frozenset({b"\0", b"\xff"})


def open_pty(rows: int, columns: int, *, utf8: bool = True) -> tuple[int, int]:
    """Open a pseudo-terminal of a size; return its master and its slave, which the caller closes.

    Neither is inherited by programs, and neither becomes the controlling terminal of this process.

    Args:
        rows: the rows.
        columns: the columns.
        utf8: whether a character may have several bytes, all of which its line editing then erases at once.

    Raises:
        OSError: the process may open no more fds, or the system has no more pseudo-terminals.
    """
    master, slave = os.openpty()
    try:
        set_size(master, rows, columns)
        if utf8:
            modes = termios.tcgetattr(master)
            modes[_INPUT_MODES] |= _IUTF8
            termios.tcsetattr(master, termios.TCSANOW, modes)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return master, slave


def number_of(fd: int) -> int | None:
    """Return N of a terminal ``/dev/pts/N``, given its slave; None where it has no such name."""
    try:
        folder, _, number = os.ttyname(fd).rpartition("/")
    except OSError:
        return None
    return int(number) if folder == _FOLDER and number.isdecimal() else None


def made_at(fd: int) -> int:
    """Return when a terminal was made, given its slave: nanoseconds since the epoch, to a tick of the system.

    By it and the number, a terminal is told from a later one of the same number. `chown(2)` and `chmod(2)` of
    the slave change it.
    """
    return os.fstat(fd).st_ctime_ns


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set the size of a terminal by either end; its foreground processes get SIGWINCH if it changes.

    Raises:
        OSError: the other end is closed, on some systems.
    """
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _SIZE.pack(rows, columns, 0, 0))


def hides_input(fd: int) -> bool:
    """Return True if a terminal reads lines and does not echo them, as at a prompt for a password.

    A program that edits its line itself, such as a shell with readline, has turned the reading of lines off
    too: what is typed is shown by the program.
    """
    with suppress(OSError, termios.error):
        modes = termios.tcgetattr(fd)[_LOCAL_MODES]
        return bool(modes & termios.ICANON) and not modes & termios.ECHO
    return False


def end_of_file(fd: int) -> bytes:
    """Return the character that ends the input of a terminal at the start of a line, usually ^D."""
    with suppress(OSError, termios.error):
        character = termios.tcgetattr(fd)[_CHARACTERS][termios.VEOF]
        if isinstance(character, bytes) and character not in _DISABLED:
            return character
    return _USUAL_END_OF_FILE


def control_request() -> int:
    """Return the number of the ioctl that makes a terminal the controlling one of a session."""
    return termios.TIOCSCTTY
