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
from itertools import islice

from tornado.ioloop import IOLoop

from ipyproc.errors import IpyprocError, JobStateError, WireError
from ipyproc.hosts.base import Host, HostedJob
from ipyproc.hosts.wire.address import need_own_peer
from ipyproc.hosts.wire.channel import Channel
from ipyproc.hosts.wire.frames import OLDEST, START_LIMIT, VERSION, Fields, Frame, agree
from ipyproc.hosts.wire.values import (
    fields_of_error,
    fields_of_event,
    fields_of_spec,
    fields_of_status,
    spec_from,
)
from ipyproc.model.event import Event, EventKind
from ipyproc.model.life import stop_ladder
from ipyproc.model.spec import need_signal
from ipyproc.spool.output import Output

__all__ = ["Server", "serve"]

log = logging.getLogger("ipyproc")

_PIECE = 256 << 10
_MOST_PIECES = 4096
_UNSENT = 1 << 20
_INPUT_AHEAD = 1 << 20
_INPUT_LOOK = 0.02
_GREETING_SECONDS = 5.0
_GONE_SECONDS = 5.0
_FORGET_SECONDS = 600.0
_END_GRACE = 0.35
_END_SECONDS = 5.0
_END_LOOK = 0.02
_RETRY_SECONDS = 0.1
_MOST_SESSIONS = 100

_CODES = {"stdout": 1, "stderr": 2}


def serve(host: Host, listening: socket.socket, io_loop: IOLoop, *, stays: bool = False) -> Server:
    """Run ``host`` for whoever connects to ``listening``; call on the loop.

    Args:
        host: runs the jobs; it stays the caller's, who closes it after the server.
        listening: a socket that listens, see `ipyproc.hosts.wire.address.listen`; the server closes it.
        io_loop: the loop on which both live.
        stays: whether jobs outlive the client that started them.
    """
    server = Server(host, listening, io_loop, stays)
    io_loop.add_handler(listening, lambda *_: server.accept(), IOLoop.READ)
    return server


class Server:
    """Clients of one host, and its jobs; `serve` makes it."""

    def __init__(self, host: Host, listening: socket.socket, io_loop: IOLoop, stays: bool) -> None:
        self.host = host
        self.io_loop = io_loop
        self.stays = stays
        self.id = secrets.token_hex(8)
        self.jobs: dict[str, Served] = {}
        self.clients: dict[str, Client] = {}
        self._sessions: set[Session] = set()
        self._listening: socket.socket | None = listening

    def __repr__(self) -> str:
        return f"<Server of {len(self.jobs)} jobs, {len(self._sessions)} connections>"

    def accept(self) -> None:
        """Take in those who have connected."""
        while self._listening is not None:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            try:
                need_own_peer(connection)
                if len(self._sessions) >= _MOST_SESSIONS:
                    raise PermissionError("Too many clients.")
            except OSError as error:
                log.warning("A client of this host was turned away: %s", error)
                connection.close()
                continue
            self._sessions.add(Session(self, connection))

    def close(self) -> None:
        """Let go of all clients, and of the socket; the jobs are the host's to end."""
        listening, self._listening = self._listening, None
        if listening is not None:
            self.io_loop.remove_handler(listening)
            path = listening.getsockname()
            listening.close()
            with suppress(OSError):
                os.unlink(path)
        for client in self.clients.values():
            client.keep_alive()
        for session in list(self._sessions):
            session.close()

    def greeted(self, session: Session, client_id: str) -> Client:
        """Return the client of this id, which has come on ``session``."""
        client = self.clients.get(client_id)
        if client is None:
            client = self.clients[client_id] = Client(self, client_id)
        before, client.session = client.session, session
        if before is not None:
            before.close()
        client.keep_alive()
        return client

    def left(self, session: Session) -> None:
        """Forget a connection."""
        self._sessions.discard(session)
        client = session.client
        if client is not None and client.session is session:
            client.session = None
            if self._listening is not None:
                client.expire()

    def job(self, ticket: str) -> Served:
        """Return a job.

        Raises:
            JobStateError: there is none of this ticket.
        """
        if (served := self.jobs.get(ticket)) is None:
            raise JobStateError(f"The host has no job {ticket[:40]!r} any more; start it anew.")
        return served

    def release(self, served: Served) -> None:
        """Give back what is kept of a job, and tell whoever still looks at it."""
        if self.jobs.pop(served.ticket, None) is None:
            return
        for session in list(served.watchers):
            session.lose(served)
        served.job.release()

    def end(self, jobs: Iterable[Served], then: Callable[[], None]) -> None:
        """End jobs and what they left, give them back, and call ``then``; bounded in time."""
        ending = list(jobs)
        for served in ending:
            if not served.is_over:
                served.job.stop(_END_GRACE, stop_ladder(served.job.spec.stop_signal))
        over_at = self.io_loop.time() + _END_SECONDS

        def look() -> None:
            late = self.io_loop.time() > over_at
            for served in list(ending):
                if served.is_over:
                    ending.remove(served)
                    self.release(served)
            if ending and not late:
                self.io_loop.call_later(_END_LOOK, look)
                return
            for served in ending:
                log.warning("Job %r does not end: nobody looks after it any more.", served.job.spec.name)
                self.jobs.pop(served.ticket, None)
            then()

        look()


class Client:
    """Somebody who starts jobs, over one connection after another.

    Attributes:
        id: its own name for itself.
        session: its connection; None while there is none.
        answers: by number, what it was answered; None while that is still to come.
    """

    def __init__(self, server: Server, id: str) -> None:
        self.id = id
        self.session: Session | None = None
        self.answers: dict[int, dict[str, object] | None] = {}
        self._server = server
        self._timer: object | None = None

    def keep_alive(self) -> None:
        """Call off `expire`."""
        timer, self._timer = self._timer, None
        if timer is not None:
            self._server.io_loop.remove_timeout(timer)

    def expire(self) -> None:
        """Its connection is gone: forget it, and end its jobs, unless it comes back soon."""
        self.keep_alive()
        seconds = _FORGET_SECONDS if self._server.stays else _GONE_SECONDS
        self._timer = self._server.io_loop.call_later(seconds, self._forget)

    def jobs(self) -> list[Served]:
        """Return the jobs that it started."""
        return [served for served in self._server.jobs.values() if served.owner == self.id]

    def answer(self, number: int, fields: dict[str, object]) -> None:
        """Answer what it asked under ``number``, now or when it is back."""
        self.answers[number] = fields
        if self.session is not None:
            self.session.send("answer", {"id": number, **fields})

    def _forget(self) -> None:
        self._timer = None
        self._server.clients.pop(self.id, None)
        if not self._server.stays:
            self._server.end(self.jobs(), lambda: None)


class Served:
    """A job of the host, as its clients share it.

    Attributes:
        ticket: what clients find it by.
        job: the host's.
        owner: the id of the client that started it.
        watchers: the connections that are told of it.
    """

    def __init__(self, server: Server, ticket: str, job: HostedJob, owner: str) -> None:
        self.ticket = ticket
        self.job = job
        self.owner = owner
        self.watchers: set[Session] = set()
        self._server = server
        self._has_news = False
        self._is_told = False
        job.listen(self._happened)

    @property
    def is_over(self) -> bool:
        """Return whether it has ended, and has left nothing running."""
        status = self.job.status()
        return status.state.done and not status.left and not status.again

    def tell(self) -> None:
        """Have every watcher told how it is; on the loop."""
        self._has_news = True
        self._tell()

    def _happened(self, event: Event) -> None:
        # In any thread. One call on the loop serves for all that happens until it comes.
        if event.kind is not EventKind.WROTE:
            self._has_news = True
        if not self._is_told:
            self._is_told = True
            self._server.io_loop.add_callback(self._tell)

    def _tell(self) -> None:
        # In this order: what happens meanwhile is told by another call.
        self._is_told = False
        news, self._has_news = self._has_news, False
        for session in list(self.watchers):
            session.touch(self, news)


class _Watch:
    """How far a connection is with a job."""

    __slots__ = ("event", "has_news", "offset", "served")

    def __init__(self, served: Served, event: int) -> None:
        self.served = served
        self.event = event
        self.has_news = True
        self.offset: int | None = None


class Session:
    """One connection."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.client: Client | None = None
        self._server = server
        self._io_loop = server.io_loop
        self._channel = Channel(connection, START_LIMIT)
        self._watches: dict[str, _Watch] = {}
        # In the order in which they wait for room.
        self._due: dict[str, None] = {}
        self._pumping = False
        self._fd = self._channel.fileno()
        self._mask = IOLoop.READ
        self._io_loop.add_handler(self._fd, self._ready, self._mask)
        self._deadline: object | None = self._io_loop.call_later(_GREETING_SECONDS, self.close)

    # Of jobs

    def touch(self, served: Served, news: bool) -> None:
        """Have the client told of a job: of its output, and where ``news`` says so, how it is."""
        watch = self._watches.get(served.ticket)
        if watch is not None:
            watch.has_news |= news
            self._enqueue(watch)

    def lose(self, served: Served) -> None:
        """Tell the client that a job is gone."""
        if self._watches.pop(served.ticket, None) is not None:
            self._due.pop(served.ticket, None)
            served.watchers.discard(self)
            self.send("gone", {"ticket": served.ticket})

    def send(self, kind: str, fields: dict[str, object], body: bytes = b"") -> None:
        """Send a frame, as soon as the socket takes it."""
        self._channel.send(kind, fields, body)
        self._pump_soon()

    def close(self) -> None:
        """Close the connection; harmless when called again."""
        if self._channel.fileno() < 0:
            return
        self._greeted()
        self._io_loop.remove_handler(self._fd)
        self._channel.close()
        for watch in self._watches.values():
            watch.served.watchers.discard(self)
        self._watches.clear()
        self._due.clear()
        self._server.left(self)

    # In

    def _ready(self, fd: int, events: int) -> None:
        try:
            if events & IOLoop.WRITE:
                self._pump()
            if events & (IOLoop.READ | IOLoop.ERROR):
                for frame in self._channel.receive():
                    self._take(frame)
        except ConnectionError:
            self.close()
        except IpyprocError as error:
            log.warning("A client of this host is let go of: %s", error)
            with suppress(ConnectionError):
                self._channel.send("refused", {"why": str(error)})
                self._channel.flush()
            self.close()
        except Exception:
            log.exception("The host failed to serve a client, which is let go of.")
            self.close()

    def _take(self, frame: Frame) -> None:
        if self.client is None:
            version = agree(frame)
            self._greeted()
            self.client = self._server.greeted(self, frame.fields.text("client")[:64])
            self.send("hello", {"versions": [OLDEST, VERSION], "version": version, "server": self._server.id})
            return
        fields = frame.fields
        if frame.kind == "watch":
            self._watch(fields)
        elif frame.kind == "pull":
            if (watch := self._watches.get(fields.text("ticket"))) is not None:
                watch.offset = fields.number("from")
                self._enqueue(watch)
        else:
            self._asked(self.client, frame)

    def _greeted(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            self._io_loop.remove_timeout(deadline)

    def _watch(self, fields: Fields) -> None:
        ticket = fields.text("ticket")
        served = self._server.jobs.get(ticket)
        if served is None:
            self.send("gone", {"ticket": ticket})
            return
        watch = self._watches[ticket] = _Watch(served, fields.number("since"))
        served.watchers.add(self)
        self._enqueue(watch)

    def _asked(self, client: Client, frame: Frame) -> None:
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
            answer = self._carry_out(client, number, frame)
        except WireError:
            raise
        except Exception as error:
            if not isinstance(error, (OSError, IpyprocError)):
                log.exception("The host failed at what a client asked: %r.", frame)
            answer = {"error": fields_of_error(error)}
        if answer is not None:
            client.answer(number, answer)

    # What a client asks

    def _carry_out(self, client: Client, number: int, frame: Frame) -> dict[str, object] | None:
        """Do what a client asks; return the answer, or None where it is still to come."""
        kind, fields, server = frame.kind, frame.fields, self._server
        if kind == "start":
            return self._start(client, fields, frame.body)
        if kind == "list":
            return {
                "jobs": [
                    {"ticket": served.ticket, "name": served.job.spec.name, **_picture(served.job)}
                    for served in server.jobs.values()
                ]
            }
        if kind == "close":
            server.end(client.jobs(), lambda: client.answer(number, {}))
            return None
        if kind not in ("attach", "stop", "signal", "restart", "write", "release", "drop"):
            raise JobStateError(f"The host does not know how to {kind[:40]!r}; restart it with this ipyproc.")
        ticket = fields.text("ticket")
        if kind in ("release", "drop") and ticket not in server.jobs:
            return {}
        served = server.job(ticket)
        job = served.job
        if kind == "attach":
            return {"spec": fields_of_spec(job.spec), **_picture(job)}
        if kind == "write":
            job.write(frame.body, close=fields.flag("close", False))
            self._answer_when_taken(client, number, job)
            return None
        if kind == "release":
            self._release(client, served)
            return {}
        if kind == "drop":
            server.end([served], lambda: None)
            return {}
        sent = self._act(kind, job, fields)
        served.tell()
        return {"sent": sent, **_picture(job)}

    def _start(self, client: Client, fields: Fields, body: bytes) -> dict[str, object]:
        ticket, server = fields.text("ticket"), self._server
        if not ticket.isalnum() or len(ticket) > 64:
            raise WireError(f"The ticket {ticket[:80]!r} of a job is none; restart the host.")
        if ticket in server.jobs:
            raise JobStateError(f"The host has a job {ticket!r} already; start it under another ticket.")
        job = server.host.start(spec_from(fields.inner("spec"), body))
        server.jobs[ticket] = Served(server, ticket, job, client.id)
        return _picture(job)

    def _act(self, kind: str, job: HostedJob, fields: Fields) -> bool:
        if kind == "signal":
            need_signal(signum := fields.number("signum"))
            return job.signal(signum)
        signums = fields.numbers("ladder")
        for signum in signums:
            need_signal(signum)
        # The whole ladder's type: each is known by now.
        ladder = tuple(rung for signum in signums for rung in stop_ladder(signum)[:1])
        if kind == "restart":
            job.restart(fields.seconds("grace"), ladder)
        else:
            job.stop(fields.seconds("grace") if fields.has("grace") else None, ladder)
        return True

    def _answer_when_taken(self, client: Client, number: int, job: HostedJob) -> None:
        """Answer a write when its job has read enough: the client then sends more."""
        if job.unread_input > _INPUT_AHEAD and not job.status().state.done:
            self._io_loop.call_later(_INPUT_LOOK, self._answer_when_taken, client, number, job)
        else:
            client.answer(number, {"takes_input": job.takes_input})

    def _release(self, client: Client, served: Served) -> None:
        owner = self._server.clients.get(served.owner)
        if owner is None or owner is client:
            self._watches.pop(served.ticket, None)
            self._due.pop(served.ticket, None)
            served.watchers.discard(self)
            self._server.release(served)
        elif self._watches.pop(served.ticket, None) is not None:
            served.watchers.discard(self)

    # Out

    def _enqueue(self, watch: _Watch) -> None:
        self._due[watch.served.ticket] = None
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._io_loop.add_callback(self._pump_now)

    def _pump_now(self) -> None:
        self._pumping = False
        try:
            self._pump()
        except ConnectionError:
            self.close()

    def _pump(self) -> None:
        """Send what is due, as far as there is room: each job in its turn."""
        if self._channel.fileno() < 0:
            return
        while self._due and self._channel.unsent < _UNSENT:
            ticket = next(iter(self._due))
            del self._due[ticket]
            if (watch := self._watches.get(ticket)) is not None:
                self._send_due(watch)
        self._channel.flush()
        mask = IOLoop.READ | (IOLoop.WRITE if self._channel.unsent else 0)
        if mask != self._mask:
            self._mask = mask
            self._io_loop.update_handler(self._fd, mask)
        if self._due and not self._channel.unsent:
            self._pump_soon()

    def _send_due(self, watch: _Watch) -> None:
        job, ticket = watch.served.job, watch.served.ticket
        if watch.has_news:
            watch.has_news = False
            # In this order: no event is newer than the status, and no status than the output.
            events = job.events(watch.event)
            picture = _picture(job)
            if events:
                watch.event = events[-1].number
            self._channel.send(
                "news", {"ticket": ticket, "events": [fields_of_event(event) for event in events], **picture}
            )
        if watch.offset is None or job.output.end <= watch.offset:
            return
        try:
            fields, body = _piece(job.output, watch.offset)
        except OSError as error:
            # For want of fds.
            log.warning("The output of job %r cannot be read now: %s.", job.spec.name, error)
            self._io_loop.call_later(_RETRY_SECONDS, self.touch, watch.served, False)
            return
        watch.offset = None
        self._channel.send("piece", {"ticket": ticket, **fields}, body)


def _picture(job: HostedJob) -> dict[str, object]:
    """Return what there is to know of a job, the output's end last: what it wrote before is not missed."""
    status = job.status()
    picture: dict[str, object] = {
        "status": fields_of_status(status),
        "takes_input": job.takes_input,
        "lingers": job.lingers,
    }
    output = job.output
    return {**picture, "lost": output.lost, "because": output.lost_because, "end": output.end}


def _piece(output: Output, offset: int) -> tuple[dict[str, object], bytes]:
    """Return output from ``offset`` on, or from where it is kept: bounded, with streams and times.

    Raises:
        OSError: it cannot be read for want of fds.
    """
    with output.lock:
        start = max(offset, output.start)
        stop = min(output.end, start + _PIECE)
        pieces = list(islice(output.pieces(start, stop), _MOST_PIECES))
        if pieces:
            stop = pieces[-1].stop
        body = output.read(start, stop)
    whole = len(body) == stop - start and bool(pieces)
    fields: dict[str, object] = {
        "at": start,
        "to": stop,
        # Somebody may have removed its file: a hole has its length, and no pieces.
        "pieces": [[_CODES[one.stream], one.at, one.stop - one.start] for one in pieces] if whole else [],
    }
    return fields, body if whole else b""
