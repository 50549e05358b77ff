"""The directory of files that a killed process leaves behind, removed by another that was told of it."""

from __future__ import annotations

import os
import stat
import time

__all__ = ["PREFIX", "remove_directory"]

PREFIX = "ipyproc-"
"""What the name of every such directory begins with."""


def remove_directory(path: str, seconds: float) -> bool:
    """Remove a directory and the files in it; return whether it is gone.

    It is left alone unless it is this user's, has the mode 0700 and a name with our prefix. No symbolic link
    is followed, and nothing is removed from a directory in it.

    Args:
        path: absolute.
        seconds: how long to go on at most.
    """
    if not os.path.isabs(path) or not os.path.basename(path).startswith(PREFIX):
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o777 != stat.S_IRWXU:
            return False
        deadline = time.monotonic() + seconds
        for name in os.listdir(fd):
            if time.monotonic() > deadline:
                return False
            try:
                os.unlink(name, dir_fd=fd)
            except OSError:
                pass  # A directory, or gone already.
    finally:
        os.close(fd)
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True
