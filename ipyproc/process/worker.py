"""One forked worker as its parent holds it: a pid, and a pidfd where the system has them."""

from __future__ import annotations

import os

from ipyproc.process import log
from ipyproc.process.bare import signal
from ipyproc.process.platform.pidfd import LOST_STATUS, exit_status, open_pidfd
from ipyproc.signal_names import signal_name

__all__ = ["LOST_STATUS", "Worker"]


class Worker:
    """A child of this process, forked a moment ago.

    Attributes:
        task_id: its number in the group.
        pid: its process id.
        pidfd: readable once it has exited; None without pidfds, and after `close`.
        recycled: whether it is to be replaced however it exits, at no charge to the budget.
    """

    def __init__(self, task_id: int, pid: int) -> None:
        self.task_id = task_id
        self.pid = pid
        self.pidfd = open_pidfd(pid)
        self.recycled = False

    def __repr__(self) -> str:
        return f"<Worker {self.task_id}, pid {self.pid}>"

    def send_signal(self, signum: int) -> bool:
        """Send a signal; return False if the worker has exited, or may not be signalled (logged)."""
        try:
            if self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, signum)
            else:
                os.kill(self.pid, signum)
        except ProcessLookupError:
            return False
        except PermissionError:
            log.warning("child %d (pid %d) may not be sent %s", self.task_id, self.pid, signal_name(signum))
            return False
        return True

    def reap(self) -> int | None:
        """Take and return the exit status, negative for a signal; None while the worker lives.

        Where somebody else has taken it (a ``wait`` for any child) and the system does not tell what
        it was, a warning is logged and `LOST_STATUS` stands in.
        """
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            known = None if self.pidfd is None else exit_status(self.pidfd)
            if known is not None:
                return known
            log.warning(
                "The exit status of child %d (pid %d) was taken by somebody else; reporting %d.",
                self.task_id,
                self.pid,
                LOST_STATUS,
            )
            return LOST_STATUS
        return os.waitstatus_to_exitcode(status) if pid else None

    def close(self) -> None:
        """Close the pidfd; call in the parent when the worker has exited, and in a sibling after the fork."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
