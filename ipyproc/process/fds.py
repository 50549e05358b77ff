"""File descriptors, of which a process may have only so many, and the standard streams."""

from __future__ import annotations

import errno
import sys

__all__ = ["flush_standard_streams", "is_want_of_fds"]


def is_want_of_fds(error: OSError) -> bool:
    """Return whether an error says that no more files may be opened, by this process or on this machine."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def flush_standard_streams() -> None:
    """Write out what is buffered: a fork would write its copy of it, and a process that dies nothing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # None under pythonw, closed by a daemon, or with nobody left at the other end.
