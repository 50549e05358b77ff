"""File descriptors, of which a process may have only so many."""

from __future__ import annotations

import errno

__all__ = ["is_want_of_fds"]


def is_want_of_fds(error: OSError) -> bool:
    """Return whether an error says that no more files may be opened, by this process or on this machine."""
    return error.errno in (errno.EMFILE, errno.ENFILE)
