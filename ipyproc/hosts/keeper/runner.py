"""The runner of a kept job: the local host for that one job, and a server for whoever attaches to it.

The holder starts it when there is something to do, and again where it is killed; see
`ipyproc.hosts.keeper.holder_program`. When nothing has happened for a while, and nobody has asked anything,
it says so and exits: a job that waits costs the holder's memory alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from tornado.ioloop import IOLoop

from ipyproc.errors import JobStateError
from ipyproc.hosts.base import Host, HostedJob
from ipyproc.hosts.keeper.places import Place
from ipyproc.hosts.keeper.post import Post
from ipyproc.hosts.keeper.record import read_record
from ipyproc.hosts.keeper.running import RunningJob, unguarded
from ipyproc.hosts.keeper.start import holder_command
from ipyproc.hosts.wire.server import Server, serve
from ipyproc.model.event import Event, EventKind
from ipyproc.model.group import GroupSpec
from ipyproc.model.spec import JobSpec

__all__ = ["main"]

log = logging.getLogger("ipyproc")

_LOOK_SECONDS = 0.25
_QUIET_SECONDS = 2.0
_OVER_SECONDS = 0.5
_LOG = "runner.log"
_LOCK_SECONDS = 0.15
_LOCK_LOOK = 0.005


def main(arguments: Sequence[str]) -> NoReturn:
    """Run the program; it never returns, since the end of its loop would be that of its job."""
    try:
        directory, listening, post, *fds = arguments
        place = Place(directory)
        _log_to(place.file(_LOG))
        kept = {name: int(fd) for name, _, fd in (one.partition("=") for one in fds)}
        for fd in kept.values():
            os.set_inheritable(fd, False)
        asyncio.run(_run(place, int(listening), Post(int(post)), kept))
    except BaseException:
        log.exception("The runner of a kept job failed.")
    os._exit(1)


async def _run(place: Place, listening: int, post: Post, kept: Mapping[str, int]) -> None:
    io_loop = IOLoop.current()
    resources = unguarded()
    resources.loops.settle(io_loop)
    resources.pipes.open()
    record, kind = read_record(place), RunningJob
    if isinstance(record.spec, GroupSpec):
        # Imported when there is a group: a runner is to start fast.
        from ipyproc.hosts.keeper.group import RunningGroup as kind
    job = kind(place, record, resources, resources.loops.find_driver(), post)
    io_loop.add_handler(post.fileno(), lambda *_: _holder_gone(place, job, listening), IOLoop.READ)
    job.go_on(kept)
    connections = socket.socket(fileno=listening)
    connections.set_inheritable(False)
    server = serve(_OneJob(), connections, io_loop, stays=True, name=place.id)
    server.enter(place.id, job)
    resources.reserve.open()
    post.ready()
    await _Rest(job, server, post).come()


def _holder_gone(place: Place, job: RunningJob, listening: int) -> NoReturn:
    """Exit: who stands by starts another runner. Where nobody does, this process becomes the holder."""
    lock, until = -1, time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            lock = lock if lock >= 0 else os.open(place.file("lock"), os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            # Who stands by has it, and may be about to be killed, too.
            if time.monotonic() > until:
                os._exit(0)
            time.sleep(_LOCK_LOOK)
    try:
        kept = job.kept_fds()
        for fd in (listening, lock, *kept.values()):
            os.set_inheritable(fd, True)
        fds = [f"{name}={fd}" for name, fd in kept.items()]
        command = holder_command(place)
        os.execv(command[0], [*command, str(listening), str(lock), *fds])
    except BaseException:
        log.exception("The runner of a kept job could not go on without its holder.")
    os._exit(1)


class _OneJob(Host):
    """A host that starts nothing: its one job is there already."""

    def start(self, spec: JobSpec) -> HostedJob:
        """Refuse to start a job.

        Raises:
            JobStateError: always.
        """
        raise JobStateError(
            f"A kept job's holder starts no other; start {spec.name!r} with a holder of its own."
        )

    def close(self) -> None:
        """Do nothing."""


class _Rest:
    """When a runner has nothing to do."""

    def __init__(self, job: RunningJob, server: Server, post: Post) -> None:
        self._job = job
        self._server = server
        self._post = post
        self._last = time.monotonic()
        job.listen(self._happened)
        server.on_asked = self._asked

    async def come(self) -> None:
        """Look again and again; exit when the time has come."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            job, quiet = self._job, time.monotonic() - self._last
            status = job.status()
            if status.state.done and not status.again and not job.lingers:
                if quiet > _OVER_SECONDS:
                    self._server.close()
                    job.write_down()
                    self._post.over()
                    os._exit(0)
            elif quiet > _QUIET_SECONDS and (seconds := job.rests_for):
                job.write_down()
                self._post.rest(seconds)
                # Clients that are connected wait for the holder's bell from now on.
                self._server.say_to_all("resting")
                os._exit(0)

    def _asked(self) -> None:
        self._last = time.monotonic()

    def _happened(self, event: Event) -> None:
        self._last = time.monotonic()
        # What is measured comes again from the helper's messages, should this process be killed.
        if event.kind not in (EventKind.WROTE, EventKind.MEASURED):
            self._job.write_down()


def _log_to(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 2)
    os.close(fd)
