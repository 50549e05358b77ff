"""One connection of a client to a server: what comes, and what is sent when there is room."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from tornado.ioloop import IOLoop

from ipyproc.errors import IpyprocError
from ipyproc.hosts.wire.channel import Channel
from ipyproc.hosts.wire.frames import Fields, Frame, agree
from ipyproc.hosts.wire.served import Served, picture_of, piece_of
from ipyproc.hosts.wire.values import fields_of_event

__all__ = ["Desk", "Session"]

log = logging.getLogger("ipyproc")

_UNSENT = 1 << 20
_GREETING_SECONDS = 5.0
_RETRY_SECONDS = 0.1


class Desk(Protocol):
    """Who answers what comes on a connection."""

    def greeted(self, session: Session, client_id: str) -> None:
        """Take in a client that speaks our version."""

    def find(self, ticket: str) -> Served | None:
        """Return a job by its ticket; None where there is none."""

    def asked(self, session: Session, frame: Frame) -> None:
        """Do what a client asks."""

    def left(self, session: Session) -> None:
        """Forget a connection, which is closed."""


class _Watch:
    """How far a connection is with a job."""

    __slots__ = ("by_files", "event", "has_news", "offset", "served")

    def __init__(self, served: Served, event: int) -> None:
        self.served = served
        self.event = event
        self.has_news = True
        self.offset: int | None = None
        # Whether the client reads the output from files, and is only told that there is more.
        self.by_files = False


class Session:
    """One connection, on the loop.

    Args:
        connection: the socket, which it closes.
        io_loop: the loop.
        desk: asked about all that comes.
    """

    def __init__(self, connection: socket.socket, io_loop: IOLoop, desk: Desk) -> None:
        self._desk = desk
        self._io_loop = io_loop
        self._channel = Channel(connection)
        self._is_greeted = False
        self._watches: dict[str, _Watch] = {}
        # In the order in which they wait for room.
        self._due: dict[str, None] = {}
        self._pumping = False
        self._fd = self._channel.fileno()
        self._mask = IOLoop.READ
        io_loop.add_handler(self._fd, self._ready, self._mask)
        self._deadline: object | None = io_loop.call_later(_GREETING_SECONDS, self.close)

    def send(self, kind: str, fields: dict[str, object]) -> None:
        """Send a frame, as soon as the socket takes it."""
        self._channel.send(kind, fields)
        self._pump_soon()

    def send_now(self, kind: str) -> None:
        """Send a frame without fields, and what waits before it, as far as the socket takes it."""
        with suppress(ConnectionError):
            self._channel.send(kind, {})
            self._channel.flush()

    def unwatch(self, ticket: str) -> bool:
        """Tell nothing more of a job; return whether anything was told of it."""
        self._due.pop(ticket, None)
        watch = self._watches.pop(ticket, None)
        if watch is not None:
            watch.served.unwatch(self)
        return watch is not None

    def lose(self, ticket: str) -> None:
        """Tell the client how a job was at last, and that it is gone."""
        watch = self._watches.get(ticket)
        if watch is not None:
            self._send_news(watch)
            self.unwatch(ticket)
            self.send("gone", {"ticket": ticket})

    def close(self) -> None:
        """Close the connection; harmless when called again."""
        if self._channel.fileno() < 0:
            return
        self._end_deadline()
        self._io_loop.remove_handler(self._fd)
        self._channel.close()
        for ticket in list(self._watches):
            self.unwatch(ticket)
        self._desk.left(self)

    # In

    def _ready(self, _fd: int, events: int) -> None:
        self._guarded(partial(self._take_all, events))

    def _take_all(self, events: int) -> None:
        if events & IOLoop.WRITE:
            self._pump()
        if events & (IOLoop.READ | IOLoop.ERROR):
            for frame in self._channel.receive():
                self._take(frame)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do something for the client, and let go of it where that fails."""
        try:
            work()
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
        if not self._is_greeted:
            agree(frame)
            client_id = frame.fields.text("client")
            self._is_greeted = True
            self._end_deadline()
            self._desk.greeted(self, client_id[:64])
        elif frame.kind == "watch":
            self._watch(frame.fields)
        elif frame.kind == "pull":
            if (watch := self._watches.get(frame.fields.text("ticket"))) is not None:
                watch.offset = frame.fields.number("from")
                watch.by_files = frame.fields.flag("files", False)
                self._enqueue(watch)
        else:
            self._desk.asked(self, frame)

    def _end_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            self._io_loop.remove_timeout(deadline)

    def _watch(self, fields: Fields) -> None:
        ticket = fields.text("ticket")
        served = self._desk.find(ticket)
        if served is None:
            self.send("gone", {"ticket": ticket})
            return
        watch = self._watches[ticket] = _Watch(served, fields.number("since"))
        served.watch(self, partial(self._told, watch))
        self._enqueue(watch)

    # Out

    def _told(self, watch: _Watch, news: bool) -> None:
        watch.has_news |= news
        self._enqueue(watch)

    def _enqueue(self, watch: _Watch) -> None:
        self._due[watch.served.ticket] = None
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._io_loop.add_callback(self._pump_now)

    def _pump_now(self) -> None:
        self._pumping = False
        self._guarded(self._pump)

    def _pump(self) -> None:
        """Send what is due, as far as there is room: each job in its turn."""
        if self._channel.fileno() < 0:
            return
        while self._due and self._channel.unsent < _UNSENT:
            ticket = next(iter(self._due))
            del self._due[ticket]
            if (watch := self._watches.get(ticket)) is not None:
                self._send_news(watch)
                self._send_piece(watch)
        self._channel.flush()
        mask = IOLoop.READ | (IOLoop.WRITE if self._channel.unsent else 0)
        if mask != self._mask:
            self._mask = mask
            self._io_loop.update_handler(self._fd, mask)
        if self._due and not self._channel.unsent:
            self._pump_soon()

    def _send_news(self, watch: _Watch) -> None:
        if not watch.has_news:
            return
        watch.has_news = False
        # In this order: no event is newer than the status, and no status than the output.
        job = watch.served.job
        events = job.events(watch.event)
        picture = picture_of(job)
        if events:
            watch.event = events[-1].number
        told = [fields_of_event(event) for event in events]
        self._channel.send("news", {"ticket": watch.served.ticket, "events": told, **picture})

    def _send_piece(self, watch: _Watch) -> None:
        job, ticket = watch.served.job, watch.served.ticket
        if watch.offset is None or job.output.end <= watch.offset:
            return
        if watch.by_files:
            watch.offset = None
            fields = {"ticket": ticket, "end": job.output.end, "hides_input": job.hides_input}
            self._channel.send("grew", fields)
            return
        try:
            fields, body = piece_of(job.output, watch.offset)
        except OSError as error:
            # For want of fds.
            log.warning("The output of job %r cannot be read now: %s.", job.spec.name, error)
            self._io_loop.call_later(_RETRY_SECONDS, self._told, watch, False)
            return
        watch.offset = None
        # A prompt comes with what the client has to know of it.
        fields["hides_input"] = job.hides_input
        self._channel.send("piece", {"ticket": ticket, **fields}, body)
