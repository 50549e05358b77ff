"""A process that another runner has started: its exit is seen by a pidfd, its status found where it is."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from tornado.ioloop import IOLoop

from ipyproc.hosts.keeper.places import Place
from ipyproc.process.platform.pidfd import LOST_STATUS, exit_status
from ipyproc.process.platform.processes import start_time

__all__ = ["Adopted"]

_LOOK_SECONDS = 0.02
_PATIENCE = 5.0
# exit_code of proc_pid_stat(5), counted from the state.
_EXIT_CODE = 49


class Adopted:
    """Stands for a process where its parent has a `Subprocess`.

    Its status is what its parent, the holder, has noted, or what the system tells whoever asks (Linux 6.15).

    Args:
        pid: its pid.
        started: when it was started, in the system's own units.
        place: the directory of its job.
        io_loop: the loop on which its exit is told.
        pidfd: its pidfd, of which this object makes a copy; None where there is none.

    Attributes:
        pid: likewise.
        returncode: its exit status; None before it was seen.
        is_unknown: whether its exit was seen, and its status cannot be known.
    """

    def __init__(self, pid: int, started: int, place: Place, io_loop: IOLoop, pidfd: int | None) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.is_unknown = False
        self._started = started
        self._place = place
        self._io_loop = io_loop
        self._callback: Callable[[int], object] | None = None
        self._gone_at: float | None = None
        self._pidfd = None if pidfd is None else os.dup(pidfd)

    @property
    def proc(self) -> Adopted:
        """Itself: it waits as a `subprocess.Popen` does."""
        return self

    @property
    def is_settling(self) -> bool:
        """Whether its exit was seen, and its status is still looked for."""
        return self._gone_at is not None and self.returncode is None

    def set_exit_callback(self, callback: Callable[[int], object]) -> None:
        """Call ``callback`` with the exit status, on the loop, once."""
        self._callback = callback
        if self._pidfd is not None:
            self._io_loop.add_handler(self._pidfd, lambda *_: self._readable(), IOLoop.READ)
        else:
            self._io_loop.add_callback(self.look)

    def look(self) -> None:
        """See whether it has exited."""
        if self.returncode is None and not self._is_running():
            self._settle()

    def wait(self, timeout: float | None = None) -> int:
        """Block until it has exited; return its status, 255 where that is not known.

        Raises:
            subprocess.TimeoutExpired: it has not, by then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._is_running():
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(_LOOK_SECONDS)
        status = self._find()
        self.returncode = LOST_STATUS if status is None else status
        return self.returncode

    def _readable(self) -> None:
        if self._pidfd is not None:
            self._io_loop.remove_handler(self._pidfd)
        self._settle()

    def _settle(self) -> None:
        """Find the status, which the holder is about to note, and tell it."""
        if self.returncode is not None:
            return
        now = time.monotonic()
        self._gone_at = self._gone_at or now
        status = self._find()
        if status is None and now - self._gone_at < _PATIENCE:
            self._io_loop.call_later(_LOOK_SECONDS, self._settle)
            return
        self.is_unknown = status is None
        self.returncode = LOST_STATUS if status is None else status
        self._close()
        if self._callback is not None:
            self._callback(self.returncode)

    def _find(self) -> int | None:
        with suppress(OSError), open(self._place.file("exits"), encoding="ascii") as file:
            for line in reversed(file.read().split("\n")):
                if line.startswith(f"{self.pid} "):
                    return int(line.split()[1])
        if self._pidfd is not None and (told := exit_status(self._pidfd)) is not None:
            return told
        return self._status_of_zombie()

    def _status_of_zombie(self) -> int | None:
        """Return the status of one that nobody has waited for yet, as in a container without an init."""
        facts = self._stat()
        try:
            # Of another user's process it is said to be 0.
            if not facts or facts[0] != "Z" or os.geteuid() not in (0, os.stat(f"/proc/{self.pid}").st_uid):
                return None
            return os.waitstatus_to_exitcode(int(facts[_EXIT_CODE]))
        except (OSError, IndexError, ValueError):
            return None

    def _is_running(self) -> bool:
        """Whether that very process runs; a zombie does not."""
        facts = self._stat()
        return bool(facts) and facts[0] not in "ZX"

    def _stat(self) -> list[str]:
        """Return what follows its name in `proc_pid_stat(5)`; nothing where it is gone."""
        if start_time(self.pid) != self._started:
            return []
        try:
            with open(f"/proc/{self.pid}/stat", encoding="utf-8", errors="replace") as file:
                return file.read().rpartition(")")[2].split()
        except OSError:
            return []

    def _close(self) -> None:
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            os.close(pidfd)
