"""The connection to a runner, which may rest: it then waits for the holder's bell."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from ipyproc.hosts.wire.frames import Frame
from ipyproc.hosts.wire.link import Link

__all__ = ["BELL", "RestingLink"]

BELL = ".bell"
"""What is added to the path of a holder's socket: who is connected there is cut off when a runner works."""

_PATIENCE = 1.0
_PAUSE = 0.02
_WAKES = 4096


class RestingLink(Link):
    """A `Link` whose server may say that it rests.

    It is connected again when it has something to ask, or the bell rings.

    Args:
        path: of the server's socket.
        take: called in the link's thread with each frame that is no answer.
        connected: likewise when there is a connection, or another one.
        lost: likewise with a sentence, when the server is gone for good.
    """

    def __init__(
        self,
        path: str,
        take: Callable[[Frame], None],
        connected: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self._bell: socket.socket | None = None
        self._rests_since = 0.0
        super().__init__(path, take, connected, lost)

    @property
    def rests(self) -> bool:
        """Whether the server has said that it rests."""
        return self._rests_since > 0

    def disown(self) -> None:
        """Let go of it in a fork of the process; see `Link.disown`."""
        self._hush()
        super().disown()

    def _handle(self, frame: Frame) -> None:
        if frame.kind == "resting" and self._greeted:
            self._rests_since = time.monotonic()
            self._drop_channel()
        else:
            super()._handle(frame)

    def _connect(self) -> None:
        if not self.rests:
            super()._connect()
            return
        with self._lock:
            is_needed = bool(self._outbox or self._asked) or self._closing
        if not is_needed and self._bell is None and time.monotonic() < self._rests_since + _PATIENCE:
            self._bell = _at_bell(self.path + BELL)
            if self._bell is None:
                # The runner has said so, and the holder is about to hear of it.
                time.sleep(_PAUSE)
                return
        if is_needed or self._bell is None or _has_rung(self._bell):
            self._hush()
            super()._connect()

    def _wait(self) -> None:
        if self._bell is None or self._channel is not None:
            super()._wait()
            return
        poll = select.poll()
        poll.register(self._waking[0], select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        with self._lock:
            seconds = 0.0 if self._closing or self._frames or self._outbox else None
        poll.poll(None if seconds is None else seconds)
        with suppress(BlockingIOError):
            os.read(self._waking[0], _WAKES)

    def _hush(self) -> None:
        self._rests_since = 0.0
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()

    def _rest(self) -> bool:
        over = super()._rest()
        if over:
            self._hush()
        return over


def _at_bell(path: str) -> socket.socket | None:
    bell = socket.socket(socket.AF_UNIX)
    try:
        bell.connect(path)
    except OSError:
        bell.close()
        return None
    bell.setblocking(False)
    return bell


def _has_rung(bell: socket.socket) -> bool:
    with suppress(BlockingIOError, InterruptedError):
        try:
            bell.recv(1)
        except ConnectionError:
            pass
        return True
    return False
