"""The kernel's end of the pipe from a helper: it stores output, and passes other messages to the group."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

from ipyproc.errors import WireError
from ipyproc.hosts.helper.wire import Decoder, Message, check_version
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.marks import HELD_SECONDS, Appendable, Marker
from ipyproc.spool.output import Output, StreamName

__all__ = ["Link"]


class Link:
    """Decode the bytes of one helper, on whichever thread reads them.

    Output is stored at once: marked in the group's output, unmarked in the worker's own. Other messages are
    passed on where the loop is driven.

    Args:
        output: the output of the group.
        output_of: returns the output of a worker.
        driver: the driver of the group's loop.
        job_lock: the lock of the group, held while messages are passed on.
        on_output: called when there is new output, on the thread that read it.
        on_message: called where the loop is driven, with a message, or with the error for bytes that are not
            a message.
    """

    def __init__(
        self,
        output: Output,
        output_of: Callable[[int], Appendable],
        driver: Driver,
        job_lock: AbstractContextManager[object],
        on_output: Callable[[], None],
        on_message: Callable[[Message | WireError], None],
    ) -> None:
        self._output = output
        self._output_of = output_of
        self._driver = driver
        self._job_lock = job_lock
        self._on_output = on_output
        self._on_message = on_message
        self._marker = Marker(output)
        self._decoder = Decoder()
        self._queue: deque[Message | WireError] = deque()
        self._greeted = False
        self._broken = False
        self._wrote = False
        self._waiting = False

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock of the output; one thread at a time reads."""
        return cast("AbstractContextManager[object]", self._output.lock)

    def append(self, _stream: StreamName, data: bytes | memoryview, at: float) -> None:
        """Decode bytes of the helper; ignore all that come after an error."""
        if self._broken:
            return
        try:
            for message in self._decoder.feed(data):
                self._take(message, at)
        except WireError as error:
            self._broken = True
            self._queue.append(error)
        self._wrote |= self._marker.flush(at)

    def arrived(self) -> None:
        """Report the output and the messages that `append` has decoded; call it without the lock."""
        with self.lock:
            wrote, self._wrote = self._wrote, False
            wait = bool(self._marker) and not self._waiting
            self._waiting |= wait
        if wrote:
            self._on_output()
        if wait:
            self._driver.call(self._flush_later)
        if self._queue:
            self._driver.call(self._hand_over)

    def end(self) -> None:
        """Pass on the remaining messages and output, since no more will come."""
        self._hand_over()
        with self.lock:
            self._marker.end_all(time.time())

    def _take(self, message: Message, at: float) -> None:
        if not self._greeted:
            check_version(message, "hello")
            self._greeted = True
        if message.kind == "output":
            task_id, stream = message.number("task"), message.text("stream")
            if stream not in ("stdout", "stderr"):
                raise WireError(f"Unexpected bytes from the helper: {message!r} is of no stream")
            name = cast(StreamName, stream)
            self._output_of(task_id).append(name, message.body, at)
            self._wrote |= self._marker.write(task_id, name, message.body, at)
            return
        if message.kind == "exited":
            self._marker.end(message.number("task"), at)
            self._wrote = True
        self._queue.append(message)

    def _hand_over(self) -> None:
        with self._job_lock:
            while self._queue:
                self._on_message(self._queue.popleft())

    def _flush_later(self) -> None:
        self._driver.later(HELD_SECONDS, self._flush)

    def _flush(self) -> None:
        with self.lock:
            self._waiting = False
            self._wrote |= self._marker.flush(time.time())
        self.arrived()
