"""A runner's end of the socket to its holder; see `ipyproc.hosts.keeper.holder_program`."""

from __future__ import annotations

import socket
from contextlib import suppress

__all__ = ["Post"]


class Post:
    """Tells the holder what to keep, and when this process is about to exit.

    Args:
        fd: the socket, which it owns.
    """

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._kept: set[str] = set()

    def fileno(self) -> int:
        """Return the fd: it is at its end when the holder is gone."""
        return self._socket.fileno()

    def knows(self, names: set[str]) -> None:
        """Take note of what the holder keeps already."""
        self._kept |= names

    def keep(self, name: str, fd: int) -> None:
        """Have the holder keep a copy of ``fd``."""
        self._kept.add(name)
        with suppress(OSError):
            socket.send_fds(self._socket, [f"keep {name}".encode()], [fd])

    def drop(self, name: str) -> None:
        """Have the holder close what it keeps under this name; harmless where that is nothing."""
        if name in self._kept:
            self._kept.discard(name)
            self._send(f"drop {name}")

    def drop_all(self) -> None:
        """Have the holder close all that it keeps."""
        for name in list(self._kept):
            self.drop(name)

    def ready(self) -> None:
        """Say that this process works."""
        self._send("ready")

    def rest(self, seconds: float) -> None:
        """Say that this process exits until there is something to do, or so many seconds have passed."""
        self._send(f"rest {seconds!r}")

    def over(self) -> None:
        """Say that this process exits, and that nothing more is to be done."""
        self._send("over")

    def _send(self, message: str) -> None:
        # A holder that is gone is seen at the socket's end.
        with suppress(OSError):
            self._socket.send(message.encode())
