"""Servers for tests: in this process, over any host, and a relay that cuts connections."""

from __future__ import annotations

import os
import random
import selectors
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tornado.ioloop import IOLoop

from ipyproc.hosts.base import Host
from ipyproc.hosts.wire.address import listen
from ipyproc.hosts.wire.client import WireHost
from ipyproc.hosts.wire.frames import encode
from ipyproc.hosts.wire.server import Server, serve
from ipyproc.model.spec import JobSpec
from tests.support import loop_in_a_thread

HELLO = b"".join(encode("hello", {"versions": [1, 1], "server": "s"}))
"""A server's greeting."""


@contextmanager
def private_directory() -> Iterator[str]:
    """A directory of this user's alone, with a short path."""
    with tempfile.TemporaryDirectory(prefix="w-") as directory:
        yield directory


@contextmanager
def serving(make: Callable[[IOLoop], Host]) -> Iterator[str]:
    """The path of a server in this process, on a loop in another thread."""

    def call(work: Callable[[], None]) -> None:
        done = threading.Event()
        io_loop.add_callback(lambda: (work(), done.set()))
        assert done.wait(10)

    servers: list[Server] = []
    with private_directory() as directory, loop_in_a_thread() as io_loop:
        path = os.path.join(directory, "host")
        host = make(io_loop)
        call(lambda: servers.append(serve(host, listen(path), io_loop)))
        try:
            yield path
        finally:
            call(servers[0].close)
            host.close()


class Relay:
    """Stands between clients and a server, and cuts their connections in the midst of what passes.

    Attributes:
        path: where it listens.
        cuts: how many connections it has cut.
    """

    def __init__(self, upstream: str, path: str, seed: int) -> None:
        self.path = path
        self.cuts = 0
        self._upstream = upstream
        self._random = random.Random(seed)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen()
        self._over, self._end = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._others: dict[socket.socket, socket.socket] = {}
        self._left: dict[socket.socket, int] = {}
        for one in (self._listening, self._over):
            self._selector.register(one, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._end.close()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is self._over:
                    for each in [*self._others, self._listening, self._over]:
                        each.close()
                    self._selector.close()
                    return
                if one is self._listening:
                    self._accept()
                elif one in self._others:
                    self._pass(one)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._upstream)
        except OSError:
            client.close()
            server.close()
            return
        for one, other in ((client, server), (server, client)):
            self._others[one] = other
            self._left[one] = self._random.randint(1, 1_000_000)
            self._selector.register(one, selectors.EVENT_READ)

    def _pass(self, one: socket.socket) -> None:
        try:
            data = one.recv(65536)
            self._others[one].sendall(data[: self._left[one]])
        except OSError:
            data = b""
        self._left[one] -= len(data)
        if not data or self._left[one] <= 0:
            self.cuts += bool(data)
            for each in (one, self._others.pop(one)):
                self._others.pop(each, None)
                with suppress(KeyError):
                    self._selector.unregister(each)
                each.close()


@contextmanager
def cutting(upstream: str, seed: int) -> Iterator[Relay]:
    """A relay before a server."""
    with private_directory() as directory:
        relay = Relay(upstream, os.path.join(directory, "relay"), seed)
        try:
            yield relay
        finally:
            relay.close()


class FalseServer:
    """Greets a client, and says something else than a server would."""

    def __init__(self, path: str, *says: bytes) -> None:
        self._listening = listen(path)
        self._listening.setblocking(True)
        self._listening.settimeout(10)
        self._says = says
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            connection.settimeout(10)
            connection.recv(65536)
            for data in self._says:
                connection.sendall(data)
            while self._says and connection.recv(65536):
                pass

    def close(self) -> None:
        self._thread.join(10)
        self._listening.close()


def start_at_a_server_that_says(*says: bytes) -> None:
    """Starts a job at a server that greets as given, and answers likewise."""
    with private_directory() as directory:
        server = FalseServer(os.path.join(directory, "host"), *says)
        client = WireHost(os.path.join(directory, "host"))
        try:
            client.start(JobSpec("true", "a"))
        finally:
            client.close()
            server.close()
