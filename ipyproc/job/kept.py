"""The part of the table of jobs that knows of kept ones: jobs of this user that outlive every kernel."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from ipyproc.errors import IpyprocError, UnknownJobError
from ipyproc.hosts.base import Host
from ipyproc.job.job import Job
from ipyproc.job.registry import JobRegistry

if TYPE_CHECKING:
    from ipyproc.hosts.keeper.host import KeeperHost

__all__ = ["KeptRegistry"]

log = logging.getLogger("ipyproc")

_DAY = 86400.0


class KeptRegistry(JobRegistry):
    """The jobs of a process, with those that are kept, whichever process has started them.

    Attributes:
        kept_days: the days for which a kept job that has ended is kept.
        kept_bytes: the bytes that all of those may have.
    """

    _keeper: KeeperHost | None = None
    _keeper_pid = 0
    _finding: threading.Thread | None = None
    kept_days = 30.0
    kept_bytes = 4 << 30

    def _host(self) -> KeeperHost:
        """Return the host of the jobs that are kept."""
        # Imported when something is kept.
        from ipyproc.hosts.keeper.host import KeeperHost

        with self._lock:
            if self._keeper is None or self._keeper_pid != os.getpid():
                self._keeper, self._keeper_pid = KeeperHost(), os.getpid()
                self._others.add(self._keeper)
            return self._keeper

    @property
    def keeper(self) -> Host:
        """The host of the jobs that are kept."""
        return self._host()

    def __getitem__(self, key: str | int) -> Job:
        """Return the job of this name or pid; one that another process keeps, too.

        Raises:
            UnknownJobError: there is no such job (a `KeyError`).
        """
        try:
            return super().__getitem__(key)
        except UnknownJobError:
            try:
                found = self.attach_kept()
            except OSError:
                found = []  # Others have access to where they are.
            if not found:
                raise
        return super().__getitem__(key)

    def attach_kept(self) -> list[Job]:
        """Enter the jobs of this user that are kept and are not in the table; return them.

        They have been started with ``keep=True`` by an earlier kernel, in another notebook, or in a terminal,
        and run there on, or have ended. A job whose name another has got here gets a number.

        Raises:
            PermissionError: others have access to the directory in which they are.
        """
        if not self._is_kept_here():
            return []
        keeper, found = self._host(), []
        with self._lock:
            known = {job.hosted.ticket for job in self if job.hosted.is_kept}
            for ticket in keeper.tickets():
                if ticket not in known:
                    try:
                        found.append(self.adopt(keeper.attach(ticket)))
                    except IpyprocError as error:
                        log.warning("A kept job is left out: %s", error)
        return found

    def find_kept(self) -> None:
        """Enter kept jobs as `attach_kept` does, in a thread, and return at once."""
        if self._finding is None or not self._finding.is_alive():
            self._finding = threading.Thread(target=self._find, name="ipyproc find", daemon=True)
            self._finding.start()

    def _is_kept_here(self) -> bool:
        from ipyproc.hosts.keeper.places import jobs_directory

        return os.path.isdir(jobs_directory())

    def _find(self) -> None:
        try:
            # Before they are in this table, which has nothing of what is gone.
            if self._keeper is None and self._is_kept_here():
                self._host().sweep(self.kept_days * _DAY, self.kept_bytes)
            self.attach_kept()
        except OSError as error:
            self.say(f"ipyproc: {error}")
