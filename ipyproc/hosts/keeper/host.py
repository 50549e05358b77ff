"""The host of jobs that outlive the kernel."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from weakref import WeakSet

from ipyproc.errors import JobStateError
from ipyproc.hosts.base import Host
from ipyproc.hosts.keeper.ends import what_ends_it
from ipyproc.hosts.keeper.group import KeptGroup
from ipyproc.hosts.keeper.job import KeptJob, lost_status
from ipyproc.hosts.keeper.places import Place, all_places, new_place, place_of
from ipyproc.hosts.keeper.record import Record, boot_id, read_record, write_spec
from ipyproc.hosts.keeper.start import need_program
from ipyproc.hosts.keeper.sweep import sweep
from ipyproc.hosts.local.limits import need_limits
from ipyproc.hosts.wire.job import WireJob
from ipyproc.hosts.wire.values import fields_of_spec
from ipyproc.model.group import GroupSpec
from ipyproc.model.life import rules_of
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import JobState, Status

__all__ = ["KeeperHost", "known_record"]


class KeeperHost(Host):
    """Runs each job with a holder of its own, which no kernel's end reaches; see `ipyproc.hosts.keeper`.

    `close` lets go of the jobs, and they go on. Each may be attached to by several clients at once.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, KeptJob] = {}
        self._lock = threading.RLock()
        self._owner = os.getpid()
        _hosts.add(self)

    def __repr__(self) -> str:
        return f"<KeeperHost of {len(self._jobs)} jobs>"

    def start(self, spec: JobSpec) -> KeptJob:
        """Start a job, and return at once; see `Host.start`.

        A thread starts its holder, and the process is there some tenths of a second later. What goes wrong by
        then is told as the job's end.

        Raises:
            PermissionError: the directory of kept jobs is not this user's alone.
        """
        need_program(spec)
        need_limits(spec.limits)
        rules_of(spec)
        cwd = os.path.abspath(os.path.expanduser(spec.cwd or os.getcwd()))
        spec = replace(spec, cwd=cwd)
        values = fields_of_spec(spec)
        data = None
        if spec.stdin is not None:
            spec.stdin.need(spec.name)
            data = spec.stdin.data
        elif isinstance(spec, GroupSpec):
            data = spec.start.data
        place = new_place(spec.name)
        limit = None if spec.restart == "no" else spec.max_restarts
        status = Status(JobState.RUNNING, ready=spec.ready is None, max_restarts=limit)
        job = self._enter(_kind_of(spec)(place, spec, status, self._forget))
        warning = job.warning = what_ends_it(os.environ)
        job.hold(lambda: write_spec(place, values, data, warning))
        return job

    def attach(self, ticket: str) -> KeptJob:
        """Return a job that is kept, by its id, with all of its output that is kept.

        Raises:
            JobStateError: there is no such job.
            PermissionError: others have access to its directory.
        """
        with self._lock:
            if (known := self._jobs.get(ticket)) is not None:
                return known
        place = place_of(ticket)
        return self._attach(place)

    def tickets(self) -> dict[str, str]:
        """Return the names of all jobs that are kept, by their ids, the oldest first.

        Raises:
            PermissionError: others have access to the directory of kept jobs.
        """
        names: dict[str, str] = {}
        for place in all_places():
            try:
                names[place.id] = known_record(place).spec.name
            except JobStateError:
                continue  # It is about to be started, or removed, or a later version's.
        return names

    def sweep(self, max_seconds: float, max_bytes: int) -> None:
        """Remove what is kept of jobs that have ended, where it is old or much; see `sweep`.

        Raises:
            PermissionError: others have access to the directory of kept jobs.
        """
        sweep(max_seconds, max_bytes)

    def close(self) -> None:
        """Let go of all jobs, which go on."""
        if self._owner != os.getpid():
            return
        with self._lock:
            jobs, self._jobs = list(self._jobs.values()), {}
        for job in jobs:
            job.close()

    def disown(self) -> None:
        """Let go of the connections in a fork of the process."""
        self._lock = threading.RLock()
        for job in self._jobs.values():
            job.disown()

    def _attach(self, place: Place) -> KeptJob:
        record = known_record(place)
        job = self._enter(_kind_of(record.spec).of(place, record, self._forget))
        if record.status.state.done:
            job.rest()
        else:
            job.hold()
        return job

    def _enter(self, job: KeptJob) -> KeptJob:
        with self._lock:
            return self._jobs.setdefault(job.ticket, job)

    def _forget(self, job: WireJob) -> None:
        with self._lock:
            self._jobs.pop(job.ticket, None)


def _kind_of(spec: JobSpec) -> type[KeptJob]:
    return KeptGroup if isinstance(spec, GroupSpec) else KeptJob


def known_record(place: Place) -> Record:
    """Return the record of a job, with its end where the machine was started anew since it was written.

    Raises:
        JobStateError: there is none that can be read.
    """
    record = read_record(place)
    if not record.status.state.done and record.boot != boot_id():
        record.status = lost_status(record)
    return record


_hosts: WeakSet[KeeperHost] = WeakSet()


def _forked() -> None:
    for host in list(_hosts):
        host.disown()


os.register_at_fork(after_in_child=_forked)
