"""Pidfds (Linux 5.3, `pidfd_open(2)`): opened, and asked for an exit status that nobody can wait for."""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["HAS_PIDFDS", "LOST_STATUS", "exit_status", "must_open_pidfd", "open_pidfd"]

HAS_PIDFDS = hasattr(os, "pidfd_open")
"""Whether this Python knows pidfds; the system may refuse them all the same."""

LOST_STATUS = 255
"""What a child is said to have exited with when its status is not to be had, as in asyncio."""

# struct pidfd_info of linux/pidfd.h in its first version: mask at 0, exit_code at 60, 64 bytes in all.
_INFO_SIZE = 64
_MASK = slice(0, 8)
_EXIT_CODE = slice(60, 64)
_PIDFD_INFO_EXIT = 1 << 3
# _IOWR(0xFF, 11, struct pidfd_info)
_PIDFD_GET_INFO = 3 << 30 | _INFO_SIZE << 16 | 0xFF << 8 | 11


def must_open_pidfd(pid: int) -> int:
    """Open a pidfd.

    Raises:
        ProcessLookupError: there is no such process.
        OSError: the system has none, refuses them (a seccomp filter), or has no fd left.
    """
    if not HAS_PIDFDS:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return os.pidfd_open(pid)


def open_pidfd(pid: int) -> int | None:
    """Open a pidfd; return None where `must_open_pidfd` raises."""
    try:
        return must_open_pidfd(pid)
    except OSError:
        return None


def exit_status(pidfd: int) -> int | None:
    """Return the exit status of a process that has been reaped, whoever reaped it (Linux 6.15).

    The pidfd must have been opened before that. A status that was thrown away, since SIGCHLD is
    ignored, is known too.

    Returns:
        The exit status, negative for a signal; None while the process lives or is a zombie, and where
        the system does not tell.
    """
    if not sys.platform.startswith("linux"):
        return None
    from fcntl import ioctl  # seldom needed

    info = bytearray(_INFO_SIZE)
    info[_MASK] = _PIDFD_INFO_EXIT.to_bytes(8, sys.byteorder)
    try:
        ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    if not int.from_bytes(info[_MASK], sys.byteorder) & _PIDFD_INFO_EXIT:
        return None
    return os.waitstatus_to_exitcode(int.from_bytes(info[_EXIT_CODE], sys.byteorder))
