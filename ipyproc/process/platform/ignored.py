"""Starting a child while SIGCHLD is ignored, when nobody can wait for it and no zombie keeps its pid."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["exits_kept", "is_ignored"]

_lock = threading.Lock()


def is_ignored() -> bool:
    """Return whether SIGCHLD is ignored, so that the system throws exit statuses away (wait(2), NOTES)."""
    return sys.platform != "win32" and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN


@contextmanager
def exits_kept() -> Iterator[dict[int, int]]:
    """Give SIGCHLD its default within the ``with``, so that a pidfd of what exits can still be opened.

    It holds for every thread of the process. The dict that the ``with`` binds has at its end the wait status
    of each child that exited meanwhile, by pid; they have been reaped then, as they would have been at once
    while SIGCHLD is ignored.
    """
    statuses: dict[int, int] = {}
    try:
        import ctypes  # seldom needed, and slow to import
    except ImportError:
        yield statuses
        return
    # Python's own function works on the main thread only.
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    with _lock:
        before = set_handler(signal.SIGCHLD, int(signal.SIG_DFL))
        try:
            yield statuses
        finally:
            set_handler(signal.SIGCHLD, before)
            if before == int(signal.SIG_IGN):
                statuses.update(_reap_all())


def _reap_all() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status
