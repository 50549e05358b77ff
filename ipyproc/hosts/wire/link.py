"""The client's connection to a server: a thread of its own, which does all the reading and writing.

A thread, rather than the kernel's loop, so that a job behind the wire is followed and can be waited for while
a cell holds the loop, where there is no loop at all, and from any thread; and so that no loop waits for a
socket.
"""

from __future__ import annotations

import logging
import os
import secrets
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from ipyproc.errors import IpyprocError, WireError
from ipyproc.hosts.wire.address import connect
from ipyproc.hosts.wire.channel import Channel
from ipyproc.hosts.wire.frames import OLDEST, VERSION, Fields, Frame, agree, encode
from ipyproc.hosts.wire.values import error_from

__all__ = ["Answered", "Link"]

log = logging.getLogger("ipyproc")

_PATIENCE = 1.0
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.05
_JOIN_SECONDS = 5.0

Answered = Callable[["Fields | Exception"], None]
"""Is called in the link's thread with an answer, or with why there is none."""


class Link:
    """Asks a server, and takes what it tells.

    It connects when it is first asked for something, and again when the connection is lost. What was asked
    and not answered by then is asked again under its old number, by which the server does nothing twice. The
    server is given up when nobody has listened at the path for a second.

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
        self.path = path
        self._take_frame = take
        self._connected = connected
        self._lost = lost
        self._client = secrets.token_hex(8)
        self._numbers = 0
        self._reset()

    def __repr__(self) -> str:
        return f"<Link to {self.path!r}{'' if self.is_up else ', not connected'}>"

    @property
    def is_up(self) -> bool:
        """Return whether there is a server that has greeted."""
        return self._server is not None

    # In any thread

    def ask(
        self,
        kind: str,
        fields: Mapping[str, object],
        *,
        timeout: float,
        then: Callable[[Fields], None] | None = None,
    ) -> Fields:
        """Ask for something, and block until it is answered: a millisecond, as the server is on this machine.

        Args:
            kind: what.
            fields: of the frame.
            timeout: seconds to wait at most.
            then: called in the link's thread with the answer, before anything that the server said after it.

        Raises:
            TimeoutError: there was no answer in time; it may still be done.
            OSError: there is no server, or what it says.
            IpyprocError: what it says.
        """
        came = threading.Event()
        answers: list[Fields | Exception] = []

        def answered(answer: Fields | Exception) -> None:
            try:
                if then is not None and not isinstance(answer, Exception):
                    then(answer)
            except WireError as error:
                answer = error
            answers.append(answer)
            came.set()

        self.post(kind, fields, b"", answered)
        if threading.current_thread() is self._thread:
            # Whoever listens to a job may ask something about another.
            deadline = time.monotonic() + timeout
            while not came.is_set() and time.monotonic() < deadline:
                self._turn(nested=True)
        if not came.wait(timeout):
            raise TimeoutError(
                f"The host at {self.path!r} has not answered within {timeout:g} s; see whether it still runs."
            )
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def post(
        self, kind: str, fields: Mapping[str, object], body: bytes = b"", then: Answered | None = None
    ) -> None:
        """Ask for something, and return at once.

        Args:
            kind: what.
            fields: of the frame.
            body: its bytes.
            then: called with the answer.

        Raises:
            WireError: it is too long.
        """
        with self._lock:
            self._numbers += 1
            number = self._numbers
            seen = next(iter(self._asked), number)
            parts = encode(kind, {"id": number, "seen": seen, **fields}, body)
            self._asked[number] = (parts, then)
            self._outbox.append(parts)
            self._begin()

    def tell(self, kind: str, fields: Mapping[str, object]) -> None:
        """Send what has no answer, and is not repeated when the connection is lost."""
        parts = encode(kind, fields)
        with self._lock:
            if self._thread is not None:
                self._outbox.append(parts)
                if threading.current_thread() is not self._thread:
                    self._wake()

    def block_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Block this thread until ``condition`` holds; return whether it does."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            turns = self._turns
            if condition():
                return True
            now = time.monotonic()
            if now >= deadline or threading.current_thread() is self._thread:
                return False
            with self._changed:
                if self._turns == turns:
                    self._changed.wait(min(_LONGEST_PAUSE, deadline - now))

    def close(self) -> None:
        """Close the connection, and wait for the thread's end; harmless when called again."""
        with self._lock:
            self._closing = True
            thread = self._thread
            if thread is not None:
                self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def disown(self) -> None:
        """Let go of it in a fork of the process, which has no such thread."""
        if self._channel is not None:
            self._channel.close()
        self._close_waking()
        self._client = secrets.token_hex(8)
        self._reset()

    # The thread

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._turns = 0
        self._thread: threading.Thread | None = None
        self._waking: tuple[int, ...] = ()
        self._closing = False
        self._channel: Channel | None = None
        self._server: str | None = None
        self._greeted = False
        self._paused = 0.0
        self._retry_at = 0.0
        self._pause = _FIRST_PAUSE
        # By number, in order: what was asked and is not answered.
        self._asked: dict[int, tuple[list[bytes], Answered | None]] = {}
        self._outbox: deque[list[bytes]] = deque()
        self._frames: deque[Frame] = deque()

    def _begin(self) -> None:
        if self._thread is None:
            self._closing = False
            self._waking = os.pipe()
            for fd in self._waking:
                os.set_blocking(fd, False)
            thread = threading.Thread(target=self._run, name="ipyproc-wire", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:
                self._thread = None
                self._close_waking()
                self._asked.clear()
                self._outbox.clear()
                raise OSError("No thread can be started for a host; end some of those that run.") from None
        elif threading.current_thread() is not self._thread:
            self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._waking[1], b"\0")

    def _close_waking(self) -> None:
        waking, self._waking = self._waking, ()
        for fd in waking:
            os.close(fd)

    def _run(self) -> None:
        while True:
            try:
                self._turn()
            except Exception:
                log.exception("The connection to the host at %r failed.", self.path)
                self._give_up(
                    WireError(f"The connection to the host at {self.path!r} failed; start it anew.")
                )
            if self._rest():
                return

    def _rest(self) -> bool:
        """End the thread where nobody is to be talked to, and return whether it does."""
        with self._lock:
            if not self._closing and (self._server is not None or self._asked):
                return False
            asked, self._asked = self._asked, {}
            self._drop_channel()
            self._thread, self._server = None, None
            self._frames.clear()
            self._outbox.clear()
            self._close_waking()
        error = ConnectionAbortedError(f"The connection to the host at {self.path!r} was closed.")
        for _, then in asked.values():
            if then is not None:
                then(error)
        return True

    def _turn(self, nested: bool = False) -> None:
        """Send, wait for something to happen, and do what follows.

        Args:
            nested: whether this is in the midst of another turn, where answers alone are taken.
        """
        try:
            if self._channel is None:
                self._connect()
            self._send()
            self._wait()
            if self._channel is not None:
                for frame in self._channel.receive():
                    self._frames.append(frame)
        except ConnectionError:
            self._handle_frames(nested)
            self._disconnected()
        except (OSError, IpyprocError) as error:
            self._handle_frames(nested)
            self._give_up(error)
        self._handle_frames(nested)
        with self._changed:
            self._turns += 1
            self._changed.notify_all()

    def _connect(self) -> None:
        """Connect where it is time for it.

        Raises:
            OSError: this cannot succeed later either.
        """
        if time.monotonic() < self._retry_at:
            return
        try:
            channel = Channel(connect(self.path))
        except (ConnectionRefusedError, FileNotFoundError, BlockingIOError, TimeoutError):
            self._retry(FileNotFoundError(f"No host listens at {self.path!r}; start it, or start it anew."))
            return
        self._channel, self._greeted = channel, False
        channel.send("hello", {"versions": [OLDEST, VERSION], "client": self._client, "pid": os.getpid()})

    def _send(self) -> None:
        channel = self._channel
        if channel is None:
            return
        if self._greeted:
            with self._lock:
                outbox, self._outbox = self._outbox, deque()
            for parts in outbox:
                channel.put(parts)
        channel.flush()

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._waking[0], select.POLLIN)
        seconds: float | None = None
        if self._channel is None:
            seconds = max(0.0, self._retry_at - time.monotonic())
        else:
            poll.register(
                self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._channel.unsent else 0)
            )
        with self._lock:
            if self._closing or self._frames or (self._outbox and self._greeted):
                seconds = 0.0
        poll.poll(None if seconds is None else seconds * 1000)
        with suppress(BlockingIOError):
            os.read(self._waking[0], 4096)

    def _handle_frames(self, nested: bool) -> None:
        if nested:
            for frame in [frame for frame in self._frames if frame.kind in ("hello", "refused", "answer")]:
                self._frames.remove(frame)
                self._handle(frame)
            return
        while self._frames:
            frame = self._frames.popleft()
            try:
                self._handle(frame)
            except IpyprocError as error:
                self._give_up(error)

    def _handle(self, frame: Frame) -> None:
        if frame.kind == "refused":
            raise WireError(f"The host at {self.path!r} refuses this client: {frame.fields.text('why')}")
        if not self._greeted:
            self._greet(frame)
        elif frame.kind == "answer":
            self._answered(frame.fields)
        else:
            self._take_frame(frame)

    def _greet(self, frame: Frame) -> None:
        agree(frame)
        server = frame.fields.text("server")
        if self._server not in (None, server):
            why = f"The host at {self.path!r} was replaced by another one; start the job anew."
            self._fail(ConnectionResetError(why))
            self._lost(why)
        self._server, self._greeted = server, True
        with self._lock:
            # All that is not answered, in the order in which it was asked.
            self._outbox = deque(parts for parts, _ in self._asked.values())
        self._connected()

    def _answered(self, fields: Fields) -> None:
        with self._lock:
            _, then = self._asked.pop(fields.number("id"), (None, None))
        if then is not None:
            then(error_from(fields.inner("error")) if fields.has("error") else fields)

    def _disconnected(self) -> None:
        was_greeted = self._greeted
        self._drop_channel()
        if was_greeted:
            self._retry_at = time.monotonic()
            self._paused, self._pause = 0.0, _FIRST_PAUSE
        else:
            self._retry(ConnectionResetError(f"The host at {self.path!r} lets nobody in; start it anew."))

    def _retry(self, error: Exception) -> None:
        """Connect again a little later, or give up."""
        # Its own pauses count, not the time: a machine that stood still has not let the server come back.
        if self._server is None or self._paused >= _PATIENCE:
            self._give_up(error)
        else:
            self._retry_at = time.monotonic() + self._pause
            self._paused += self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _give_up(self, error: Exception) -> None:
        """Take the server for gone: no job there is to be followed any more."""
        self._drop_channel()
        self._retry_at = 0.0
        self._frames.clear()
        had_server, self._server = self._server is not None, None
        self._fail(error)
        if had_server:
            self._lost(str(error))

    def _drop_channel(self) -> None:
        channel, self._channel = self._channel, None
        self._greeted = False
        if channel is not None:
            channel.close()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            asked, self._asked = self._asked, {}
            self._outbox.clear()
        for _, then in asked.values():
            if then is not None:
                then(error)
