"""One end of a connection: frames in and out, never blocking."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from ipyproc.hosts.wire.frames import Decoder, Frame, encode

__all__ = ["Channel"]

_CHUNK = 256 << 10
_READS = 4
_BUFFERS = 16


class Channel:
    """A connected socket, which it owns; to be used by one thread at a time.

    Args:
        connection: the socket; it is made non-blocking.

    Attributes:
        unsent: bytes that the socket has not taken yet.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket: socket.socket | None = connection
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray(_CHUNK)
        self.unsent = 0

    def fileno(self) -> int:
        """Return the socket's fd; -1 once it is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def send(self, kind: str, fields: Mapping[str, object], body: bytes = b"") -> None:
        """Queue a frame; `flush` sends it.

        Raises:
            WireError: it is too long; nothing of it is sent.
        """
        self.put(encode(kind, fields, body))

    def put(self, parts: Iterable[bytes]) -> None:
        """Queue a frame that has been encoded; `flush` sends it."""
        if self._socket is None:
            return
        for part in parts:
            self._outgoing.append(memoryview(part))
            self.unsent += len(part)

    def flush(self) -> None:
        """Send what the socket takes.

        Raises:
            ConnectionError: the other end is gone.
        """
        while self._outgoing and self._socket is not None:
            try:
                sent = self._socket.sendmsg(
                    [self._outgoing[n] for n in range(min(len(self._outgoing), _BUFFERS))]
                )
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise ConnectionError(f"The connection to a host broke: {error}") from None
            self.unsent -= sent
            while sent:
                first = self._outgoing[0]
                if sent < len(first):
                    self._outgoing[0] = first[sent:]
                    break
                sent -= len(first)
                self._outgoing.popleft()

    def receive(self) -> Iterator[Frame]:
        """Give the frames that have come, as far as one turn of a loop has time for them.

        Raises:
            ConnectionError: the other end is gone.
            WireError: what came is no frame.
        """
        for _ in range(_READS):
            if self._socket is None:
                return
            try:
                size = self._socket.recv_into(self._incoming)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise ConnectionError(f"The connection to a host broke: {error}") from None
            if not size:
                raise ConnectionError("The other end of the connection to a host was closed.")
            yield from self._decoder.feed(memoryview(self._incoming)[:size])
            if size < _CHUNK:
                return

    def close(self) -> None:
        """Close the socket; what is unsent is lost."""
        closing, self._socket = self._socket, None
        if closing is not None:
            closing.close()
        self._outgoing.clear()
        self.unsent = 0
