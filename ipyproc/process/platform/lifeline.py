"""No forked worker outlives its parent, not even one that is killed outright.

Linux: the kernel sends the worker a SIGKILL (``PR_SET_PDEATHSIG``, ``prctl(2)``); a worker that changes
its user or group id loses it. Elsewhere: a thread in the worker sees the end of a pipe whose other end
only the parent holds.
"""

from __future__ import annotations

import os
import sys

from ipyproc.process.bare import partial, signal

# Known to type checkers by its name: `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lifeline"]

_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2


class Lifeline:
    """Ties workers to this process: `open` in the parent before the fork, `tie` in each worker after it."""

    def __init__(self) -> None:
        self._parent_pid = os.getpid()
        self._ask_for_signal: Callable[[], object] | None = None
        self._read_end: int | None = None
        self._write_end: int | None = None

    def open(self) -> None:
        """Prepare the tie; call in the parent before the first fork, so that no worker waits for it."""
        self._ask_for_signal = _load_parent_death_signal()
        if self._ask_for_signal is None:
            self._read_end, self._write_end = os.pipe()

    def tie(self) -> None:
        """Tie this worker to its parent. Without the signal, a thread and one fd stay for its life."""
        if self._ask_for_signal is not None:
            # Sent when the *thread* that forked ends: the supervisor's own, which leaves none alive.
            self._ask_for_signal()
            if os.getppid() != self._parent_pid:
                os.kill(os.getpid(), signal.SIGKILL)
            return
        self._close_write_end()
        if self._read_end is not None:
            import threading  # not before it is needed: most systems need none

            threading.Thread(
                target=_die_at_end_of, args=(self._read_end,), name="lifeline", daemon=True
            ).start()

    def close(self) -> None:
        """Close what the parent holds; call once no worker is left."""
        self._close_write_end()
        if self._read_end is not None:
            os.close(self._read_end)
            self._read_end = None

    def _close_write_end(self) -> None:
        if self._write_end is not None:
            os.close(self._write_end)
            self._write_end = None


def _load_parent_death_signal() -> Callable[[], object] | None:
    """Return the call that asks the kernel for a SIGKILL at the parent's death; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes  # not before something is forked: it costs more than the rest of this room
    except ImportError:
        return None
    prctl = ctypes.CDLL(None).prctl
    present = ctypes.c_int()
    if prctl(_PR_GET_PDEATHSIG, ctypes.byref(present)) != 0:
        return None
    # The kernel reads an unsigned long: converted once, here.
    return partial(prctl, _PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))


def _die_at_end_of(fd: int) -> None:
    os.read(fd, 1)
    os.kill(os.getpid(), signal.SIGKILL)
