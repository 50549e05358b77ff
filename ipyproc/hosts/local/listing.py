"""List processes by psutil, on a system without Linux's ``/proc``."""

from __future__ import annotations

import errno
import os

from ipyproc.process.platform.processes import Listing, Process

__all__ = ["PsutilListing"]


class PsutilListing(Listing):
    """A listing of processes by psutil, which is imported on first use, since that takes 10 ms."""

    def pids(self) -> list[int]:
        """Return the pids of all processes.

        Raises:
            OSError: psutil could not list them.
        """
        import psutil

        try:
            pids = psutil.pids()
        except (psutil.Error, OSError, IndexError):
            pids = []
        # A list without this process is wrong, and must not pass for a session without members.
        if os.getpid() not in pids:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        return pids

    def look(self, pid: int) -> Process | None:
        """Return the facts of a process; None if it has exited."""
        import psutil

        try:
            process = psutil.Process(pid)
            return Process(
                process.ppid(),
                os.getpgid(pid),
                round(process.create_time() * 1000),
                process.status() == psutil.STATUS_ZOMBIE,
            )
        except (psutil.ZombieProcess, psutil.AccessDenied):
            return Process()
        except (psutil.NoSuchProcess, ProcessLookupError):
            return None
        except OSError:
            return Process()

    def program(self, pid: int) -> str:
        """Return the path of the program that a process executes; empty if the system does not tell."""
        import psutil

        try:
            return psutil.Process(pid).exe()
        except psutil.Error:
            return ""
