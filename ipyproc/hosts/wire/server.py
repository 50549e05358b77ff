"""The serving end: runs any host for clients over a Unix socket, several at once.

A client greets with an id of its own, which it keeps over its connections. What it asks for has a number, and
the answer is kept until the client has said that it has it: what is asked again after a lost connection is
answered again, and not done twice. What happened to a job goes to a client by the number of the last event
that it has, and output by the offset at which it stands, each when its connection has room: a client that
reads slowly costs no memory here.

What the client is told of a job (``news``) says how much output was there at that moment, so that it can show
both in the order in which they were.

A client's jobs end with it: at once when it says so, after some seconds when it is gone without a word. A
server that ``stays`` leaves them running, for whoever attaches to them.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from signal import Signals

from tornado.ioloop import IOLoop

from ipyproc.errors import IpyprocError, JobStateError, WireError
from ipyproc.hosts.base import Host, HostedJob
from ipyproc.hosts.wire.address import need_own_peer
from ipyproc.hosts.wire.frames import OLDEST, VERSION, Fields, Frame
from ipyproc.hosts.wire.served import Served, picture_of
from ipyproc.hosts.wire.session import Session
from ipyproc.hosts.wire.values import fields_of_error, fields_of_spec, need_command, spec_from
from ipyproc.model.life import stop_ladder
from ipyproc.model.spec import need_signal, need_size

__all__ = ["Server", "serve"]

log = logging.getLogger("ipyproc")

_INPUT_AHEAD = 1 << 20
_INPUT_LOOK = 0.02
_GONE_SECONDS = 5.0
_FORGET_SECONDS = 600.0
_END_GRACE = 0.35
_END_SECONDS = 5.0
_END_LOOK = 0.02
_MOST_SESSIONS = 100
_OF_A_JOB = frozenset({"attach", "drop", "look", "release", "resize", "restart", "signal", "stop", "write"})


def serve(
    host: Host, listening: socket.socket, io_loop: IOLoop, *, stays: bool = False, name: str | None = None
) -> Server:
    """Run ``host`` for whoever connects to ``listening``; call on the loop.

    Args:
        host: runs the jobs; it stays the caller's, who closes it after the server.
        listening: a socket that listens, see `ipyproc.hosts.wire.address.listen`; the server closes it.
        io_loop: the loop on which both live.
        stays: whether jobs outlive the client that started them.
        name: what clients know it by, should another process take its place; None for a new one.
    """
    server = Server(host, listening, io_loop, stays, name or secrets.token_hex(8))
    io_loop.add_handler(listening, lambda *_: server.accept(), IOLoop.READ)
    return server


class _Client:
    """Somebody who starts jobs, over one connection after another.

    Attributes:
        id: its own name for itself.
        session: its connection; None while there is none.
        answers: by number, what it was answered; None while that is still to come.
        inputs: by ticket, what it has sent for the jobs that it is about to start.
        timer: ends it, once its connection is gone.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.session: Session | None = None
        self.answers: dict[int, dict[str, object] | None] = {}
        self.inputs: dict[str, bytearray] = {}
        self.timer: object | None = None

    def answer(self, number: int, fields: dict[str, object]) -> None:
        """Answer what it asked under ``number``, now or when it is back."""
        self.answers[number] = fields
        if self.session is not None:
            self.session.send("answer", {"id": number, **fields})


class Server:
    """Clients of one host, and its jobs; `serve` makes it, and all of it is on the loop.

    Attributes:
        on_asked: called whenever a client asks something.
    """

    def __init__(self, host: Host, listening: socket.socket, io_loop: IOLoop, stays: bool, name: str) -> None:
        self._host = host
        self._listening: socket.socket | None = listening
        self._io_loop = io_loop
        self._stays = stays
        self._id = name
        self._jobs: dict[str, Served] = {}
        self._clients: dict[str, _Client] = {}
        self._sessions: dict[Session, _Client | None] = {}
        self.on_asked: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"<Server of {len(self._jobs)} jobs, {len(self._sessions)} connections>"

    def say_to_all(self, kind: str) -> None:
        """Send all clients a frame without fields, now."""
        for session in list(self._sessions):
            session.send_now(kind)

    def enter(self, ticket: str, job: HostedJob) -> None:
        """Serve a job that was not started by a client, for whoever attaches to it."""
        self._jobs[ticket] = Served(ticket, job, "", self._io_loop)

    def accept(self) -> None:
        """Take in those who have connected."""
        while self._listening is not None:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            try:
                need_own_peer(connection)
            except OSError as error:
                log.warning("A client of this host was turned away: %s", error)
                connection.close()
                continue
            if len(self._sessions) >= _MOST_SESSIONS:
                log.warning("A client of this host was turned away, since it has %d.", _MOST_SESSIONS)
                connection.close()
                continue
            self._sessions[Session(connection, self._io_loop, self)] = None

    def close(self) -> None:
        """Let go of all clients, and of the socket; the jobs are the host's to end."""
        listening, self._listening = self._listening, None
        if listening is not None:
            self._io_loop.remove_handler(listening)
            path = listening.getsockname()
            listening.close()
            with suppress(OSError):
                os.unlink(path)
        for client in self._clients.values():
            self._keep(client)
        for session in list(self._sessions):
            session.close()

    # For its connections

    def greeted(self, session: Session, client_id: str) -> None:
        """Take in a client, which may have been here before."""
        client = self._clients.get(client_id)
        if client is None:
            client = self._clients[client_id] = _Client(client_id)
        before, client.session = client.session, session
        self._sessions[session] = client
        if before is not None:
            before.close()
        self._keep(client)
        session.send("hello", {"versions": [OLDEST, VERSION], "server": self._id, "pid": os.getpid()})

    def find(self, ticket: str) -> Served | None:
        """Return a job by its ticket; None where there is none."""
        return self._jobs.get(ticket)

    def asked(self, session: Session, frame: Frame) -> None:
        """Do what a client asks, once."""
        self.on_asked()
        client = self._sessions[session]
        assert client is not None
        number, seen = frame.fields.number("id"), frame.fields.number("seen")
        for old in [one for one in client.answers if one < seen]:
            del client.answers[old]
        if number in client.answers:
            # It was asked before the connection was lost. What is still to come goes to this one.
            if (answer := client.answers[number]) is not None:
                client.answer(number, answer)
            return
        client.answers[number] = None
        try:
            answer = self._carry_out(client, session, number, frame)
        except Exception as error:
            if not isinstance(error, (OSError, IpyprocError)):
                log.exception("The host failed at what a client asked: %r.", frame)
            answer = {"error": fields_of_error(error)}
        if answer is not None:
            client.answer(number, answer)

    def left(self, session: Session) -> None:
        """Forget a connection, and its client too, unless that comes back soon."""
        client = self._sessions.pop(session, None)
        if client is None or client.session is not session:
            return
        client.session = None
        if self._listening is not None:
            seconds = _FORGET_SECONDS if self._stays else _GONE_SECONDS
            client.timer = self._io_loop.call_later(seconds, self._forget, client)

    def _keep(self, client: _Client) -> None:
        timer, client.timer = client.timer, None
        if timer is not None:
            self._io_loop.remove_timeout(timer)

    def _forget(self, client: _Client) -> None:
        client.timer = None
        self._clients.pop(client.id, None)
        if not self._stays:
            self._end(self._jobs_of(client), lambda: None)

    # What a client asks

    def _carry_out(
        self, client: _Client, session: Session, number: int, frame: Frame
    ) -> dict[str, object] | None:
        """Do what a client asks; return the answer, or None where it is still to come."""
        kind, fields = frame.kind, frame.fields
        if kind == "start":
            return self._start(client, fields)
        if kind == "input":
            client.inputs.setdefault(fields.text("ticket"), bytearray()).extend(frame.body)
            return {}
        if kind == "list":
            return {
                "jobs": [
                    {"ticket": served.ticket, "name": served.job.spec.name} for served in self._jobs.values()
                ]
            }
        if kind == "close":
            self._end(self._jobs_of(client), lambda: client.answer(number, {}))
            return None
        if kind not in _OF_A_JOB:
            raise JobStateError(
                f"The host does not know {kind[:40]!r}; restart it with the ipyproc of this kernel."
            )
        served = self._jobs.get(fields.text("ticket"))
        if served is None:
            if kind in ("release", "drop"):
                return {}
            raise JobStateError(
                f"The host has no job {fields.text('ticket')[:40]!r} any more; start its command again."
            )
        job = served.job
        if kind == "attach":
            return {"spec": fields_of_spec(job.spec), **picture_of(job)}
        if kind == "write":
            job.write(frame.body, close=fields.flag("close", False))
            self._answer_when_taken(client, number, job)
            return None
        if kind == "look":
            return {"hides_input": job.hides_input}
        if kind == "release":
            self._let_go(client, session, served)
            return {}
        if kind == "drop":
            self._end([served], lambda: None)
            return {}
        sent = _act(kind, job, fields)
        served.tell()
        return {"sent": sent, **picture_of(job)}

    def _start(self, client: _Client, fields: Fields) -> dict[str, object]:
        ticket = fields.text("ticket")
        body = bytes(client.inputs.pop(ticket, b""))
        if not ticket.isalnum() or len(ticket) > 64 or ticket in self._jobs:
            raise WireError(f"The ticket {ticket[:64]!r} of a job is not a new one; restart the host.")
        spec = spec_from(fields.inner("spec"), body)
        need_command(spec)
        job = self._host.start(spec)
        self._jobs[ticket] = Served(ticket, job, client.id, self._io_loop)
        return picture_of(job)

    def _answer_when_taken(self, client: _Client, number: int, job: HostedJob) -> None:
        """Answer a write when its job has read enough: the client then sends more."""
        if job.unread_input > _INPUT_AHEAD and job.takes_input:
            self._io_loop.call_later(_INPUT_LOOK, self._answer_when_taken, client, number, job)
        else:
            client.answer(number, {})

    # Jobs

    def _jobs_of(self, client: _Client) -> list[Served]:
        return [served for served in self._jobs.values() if served.owner == client.id]

    def _let_go(self, client: _Client, session: Session, served: Served) -> None:
        """Give a job back, unless it is that of another client that is still here."""
        session.unwatch(served.ticket)
        owner = self._clients.get(served.owner)
        if owner is None or owner is client or (self._stays and owner.session is None):
            self._release(served)

    def _release(self, served: Served) -> None:
        """Give back what is kept of a job, and tell whoever still looks at it."""
        if self._jobs.pop(served.ticket, None) is not None:
            for session in list(self._sessions):
                session.lose(served.ticket)
            served.job.release()

    def _end(self, jobs: Iterable[Served], then: Callable[[], None]) -> None:
        """End jobs and what they left, give them back, and call ``then``; bounded in time."""
        ending = list(jobs)
        for served in ending:
            if not served.is_over:
                served.job.stop(_END_GRACE, stop_ladder(served.job.spec.stop_signal))
        over_at = self._io_loop.time() + _END_SECONDS

        def look() -> None:
            late = self._io_loop.time() > over_at
            for served in list(ending):
                if served.is_over or late:
                    ending.remove(served)
                    self._release(served)
            if ending:
                self._io_loop.call_later(_END_LOOK, look)
            else:
                then()

        look()


def _nothing() -> None:
    pass


def _act(kind: str, job: HostedJob, fields: Fields) -> bool:
    """Do something to a job; return whether a signal found a process."""
    if kind == "signal":
        signum = fields.number("signum")
        need_signal(signum)
        return job.signal(signum)
    if kind == "resize":
        rows, columns = fields.number("rows"), fields.number("columns")
        need_size(rows, columns)
        job.resize(rows, columns)
        return True
    ladder = tuple(_signal(signum) for signum in fields.numbers("ladder"))
    if kind == "restart":
        job.restart(fields.seconds("grace"), ladder)
    else:
        job.stop(fields.seconds("grace") if fields.has("grace") else None, ladder)
    return True


def _signal(signum: int) -> Signals:
    need_signal(signum)
    return Signals(signum)
