"""The processes of a system that has no ``/proc`` of Linux's kind, listed by psutil."""

from __future__ import annotations

import errno
import os

from ipyproc.process.platform.processes import Listing, Process

__all__ = ["PsutilListing"]


class PsutilListing(Listing):
    """What psutil tells, by whatever way the system has.

    psutil, which takes 10 ms to import, is imported when the processes are first listed.
    """

    def pids(self) -> list[int]:
        """Return the pid of every process there is.

        Raises:
            OSError: psutil cannot list them either.
        """
        import psutil

        try:
            pids = psutil.pids()
        except (psutil.Error, OSError, IndexError):
            pids = []
        # A list without this process is none: where psutil sees nobody, nobody would be ended.
        if os.getpid() not in pids:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        return pids

    def look(self, pid: int) -> Process | None:
        """Return what is known of a process; None when it is gone."""
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
        """Return the path of the file that a process executes; empty where the system does not tell."""
        import psutil

        try:
            return psutil.Process(pid).exe()
        except psutil.Error:
            return ""
