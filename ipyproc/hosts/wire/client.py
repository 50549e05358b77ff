"""The client's end: a host whose jobs run in another process of this machine, behind a Unix socket."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

from ipyproc.errors import IpyprocError
from ipyproc.hosts.base import Host
from ipyproc.hosts.wire.frames import Frame
from ipyproc.hosts.wire.job import WireJob
from ipyproc.hosts.wire.link import Link
from ipyproc.hosts.wire.values import fields_of_spec, need_command, spec_from
from ipyproc.model.spec import JobSpec

__all__ = ["ServerProcess", "WireHost"]

_PIECE = 128 << 10
_START_SECONDS = 5.0
_BYTES_PER_SECOND = 20 << 20
_ATTACH_SECONDS = 5.0
_CLOSE_SECONDS = 6.0


class ServerProcess(Protocol):
    """The process of a server that a client has started."""

    def end(self) -> None:
        """End it, and wait for it; harmless when called again."""

    def disown(self) -> None:
        """Let go of it in a fork of the process that started it."""


class WireHost(Host):
    """Runs jobs by a server, which may have other clients too.

    Its connection is a thread's, see `ipyproc.hosts.wire.link`: the kernel's loop is not needed and never
    waited on. `start`, `attach`, and `HostedJob.signal` and `HostedJob.restart` of its jobs, ask the server
    and block until it has answered. On the same machine that takes about a millisecond; where the server does
    not answer it is bounded, and an error says so.

    A job runs in the server's working directory and environment unless its spec says otherwise: what changes
    in the kernel after the server's start does not reach it.

    Args:
        path: of the server's socket.
        process: the server's, where it is to end with this client; see `ipyproc.hosts.wire.launch`.
    """

    def __init__(self, path: str | os.PathLike[str], process: ServerProcess | None = None) -> None:
        self.link = Link(os.path.abspath(os.fspath(path)), self._take, self._connected, self._lost)
        self._process = process
        self._jobs: dict[str, WireJob] = {}
        self._lock = threading.RLock()
        self._owner = os.getpid()
        _hosts.add(self)

    def __repr__(self) -> str:
        return f"<WireHost at {self.link.path!r}, {len(self._jobs)} jobs>"

    def start(self, spec: JobSpec) -> WireJob:
        """Start a job; see `Host.start`. It returns, or raises, when the server has answered.

        Raises:
            TimeoutError: the server has not answered; should it start the job yet, it ends it at once.
            OSError: it cannot be started, or there is no server.
            JobSpecError: the spec asks for what the host has not.
        """
        need_command(spec)
        values, size = fields_of_spec(spec), 0
        ticket = secrets.token_hex(16)
        if spec.stdin is not None:
            spec.stdin.need(spec.name)
            view = memoryview(spec.stdin.data)
            size = len(view)
            for start in range(0, size, _PIECE):
                self.link.post("input", {"ticket": ticket}, bytes(view[start : start + _PIECE]))
        seconds = _START_SECONDS + size / _BYTES_PER_SECOND
        try:
            answer = self.link.ask("start", {"ticket": ticket, "spec": values}, timeout=seconds)
        except (TimeoutError, KeyboardInterrupt):
            self.link.post("drop", {"ticket": ticket})
            raise
        return self._enter(WireJob.pictured(self.link, ticket, spec, answer, self._forget))

    def attach(self, ticket: str) -> WireJob:
        """Return a job of the server by its ticket, whoever started it, with all of its output that is kept.

        Raises:
            JobStateError: the server has no such job.
            OSError: there is no server, or it does not answer.
        """
        with self._lock:
            if (known := self._jobs.get(ticket)) is not None:
                return known
        answer = self.link.ask("attach", {"ticket": ticket}, timeout=_ATTACH_SECONDS)
        return self._enter(
            WireJob.pictured(self.link, ticket, spec_from(answer.inner("spec"), None), answer, self._forget)
        )

    def tickets(self) -> dict[str, str]:
        """Return the names of all jobs that the server has, by ticket.

        Raises:
            OSError: there is no server, or it does not answer.
        """
        answer = self.link.ask("list", {}, timeout=_ATTACH_SECONDS)
        return {one.text("ticket"): one.text("name") for one in answer.inners("jobs")}

    def close(self) -> None:
        """End the jobs that this client started, and the server where it came with it; see `Host.close`."""
        if self._owner != os.getpid():
            return
        if self.link.is_up:
            with suppress(OSError, IpyprocError):
                self.link.ask("close", {}, timeout=_CLOSE_SECONDS)
        self.link.close()
        if self._process is not None:
            self._process.end()
        with self._lock:
            jobs, self._jobs = list(self._jobs.values()), {}
        for job in jobs:
            job.lose("The connection to it was closed.")

    def disown(self) -> None:
        """Let go of the connection in a fork of the process: the jobs are not its."""
        self.link.disown()
        if self._process is not None:
            self._process.disown()
        self._lock = threading.RLock()
        for job in self._jobs.values():
            job.renew()

    def _enter(self, job: WireJob) -> WireJob:
        with self._lock:
            entered = self._jobs.setdefault(job.ticket, job)
        if entered is job:
            # Should the connection break here, it is done again: what is known is not told twice.
            job.watch()
            if not self.link.is_up:
                job.lose("The connection to it was closed.")
        return entered

    def _forget(self, job: WireJob) -> None:
        with self._lock:
            self._jobs.pop(job.ticket, None)

    # In the link's thread

    def _take(self, frame: Frame) -> None:
        if frame.kind not in ("news", "piece", "gone"):
            return  # A newer server's.
        with self._lock:
            job = self._jobs.get(frame.fields.text("ticket"))
        if job is None:
            return
        if frame.kind == "news":
            job.take_news(frame)
        elif frame.kind == "piece":
            job.take_piece(frame)
        else:
            job.take_gone()

    def _connected(self) -> None:
        for job in self._all():
            job.watch()

    def _lost(self, why: str) -> None:
        for job in self._all():
            job.lose(why)

    def _all(self) -> list[WireJob]:
        with self._lock:
            return list(self._jobs.values())


_hosts: WeakSet[WireHost] = WeakSet()


def _forked() -> None:
    for host in list(_hosts):
        host.disown()


os.register_at_fork(after_in_child=_forked)
