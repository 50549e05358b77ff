"""Kept jobs for tests: a host whose jobs are ended and removed after all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ipyproc.errors import JobStateError
from ipyproc.hosts.keeper.host import KeeperHost
from ipyproc.hosts.keeper.places import Place, all_places, remove
from ipyproc.hosts.keeper.record import read_record
from tests.support import kept_processes, wait_until


@contextmanager
def keeping() -> Iterator[KeeperHost]:
    """A host of kept jobs, which are gone after this, whoever has started them."""
    host = KeeperHost()
    try:
        yield host
    finally:
        host.close()
        end_all_kept()


@contextmanager
def keeping_none() -> Iterator[KeeperHost]:
    """Another client, as in another kernel, of jobs that somebody else gives back."""
    host = KeeperHost()
    try:
        yield host
    finally:
        host.close()


def end_all_kept() -> None:
    """Kills all kept jobs of this run with their holders, and removes what was kept of them."""
    wait_until(lambda: all(os.path.exists(place.file("record.json")) for place in all_places()))
    wait_until(_killed_all)
    for place in all_places():
        for pid in pids_of(place):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        remove(place)


def _killed_all() -> bool:
    # At once: who is left starts another in place of what is gone.
    found = kept_processes()
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)
    return not found


def pids_of(place: Place) -> list[int]:
    """The processes of a kept job that its record knows to run."""
    try:
        going = read_record(place).going
    except JobStateError:
        return []
    return [] if going is None or going.run is None or not going.run.lives else [going.run.pid]
