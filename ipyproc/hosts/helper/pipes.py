"""The pipes between a helper and one of its workers: two for output, one for messages."""

from __future__ import annotations

import os
import sys

from ipyproc.hosts.helper.wire import Decoder, Message
from ipyproc.process.bare import partial

# Type checkers know this name; `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["WorkerPipes"]

_CHUNK = 64 << 10
_DRAIN_READS = 64


class WorkerPipes:
    """The helper's ends of a worker's pipes, and, until the worker is forked, its ends too.

    Attributes:
        pid: the pid of the worker; None before it is forked.

    Args:
        task_id: the number of the worker.
        on_output: called with the task id, the stream and the bytes that came on it.
        on_message: called with each message of the worker.
        on_end: called with an fd before it is closed.
    """

    def __init__(
        self,
        task_id: int,
        on_output: Callable[[int, str, bytes], object],
        on_message: Callable[[Message], object],
        on_end: Callable[[int], object],
    ) -> None:
        self.task_id = task_id
        self.pid: int | None = None
        self._on_output = on_output
        self._on_message = on_message
        self._on_end = on_end
        self._decoder = Decoder()
        self._ours: dict[str, int] = {}
        self._theirs: dict[str, int] = {}
        try:
            for name in ("stdout", "stderr", "up"):
                self._ours[name], self._theirs[name] = os.pipe()
                os.set_blocking(self._ours[name], False)
        except OSError:
            self.close()
            raise

    def __bool__(self) -> bool:
        """Return True while a pipe is open for reading."""
        return bool(self._ours)

    def readers(self) -> Iterator[tuple[int, Callable[[], object]]]:
        """Yield each fd to read from, and a function that reads it once."""
        for name, fd in self._ours.items():
            yield fd, partial(self._read, name)

    def close_workers_ends(self) -> None:
        """Close the worker's ends; call it once the worker has been forked."""
        while self._theirs:
            os.close(self._theirs.popitem()[1])

    def drain(self) -> None:
        """Read what the pipes hold after the worker's exit; do not wait for processes that hold them open."""
        for name in list(self._ours):
            for _ in range(_DRAIN_READS):
                if not self._read(name):
                    break

    def close(self) -> None:
        """Close all ends."""
        self.close_workers_ends()
        while self._ours:
            os.close(self._ours.popitem()[1])

    def redirect_output(self) -> int:
        """Redirect standard output and error to the pipes, in the worker; return the fd for messages."""
        os.dup2(self._theirs["stdout"], 1)
        os.dup2(self._theirs["stderr"], 2)
        up = self._theirs.pop("up")
        self.close()
        return up

    def _read(self, name: str) -> bool:
        """Read once; return True if bytes came."""
        fd = self._ours.get(name)
        if fd is None:
            return False
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._end(name)
        elif name == "up":
            self._decode(data)
        else:
            self._on_output(self.task_id, name, data)
        return bool(data)

    def _decode(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._on_message(message)
        except ValueError as error:
            print(f"ipyproc helper: worker {self.task_id} wrote to ipyproc's pipe. {error}", file=sys.stderr)
            self._end("up")

    def _end(self, name: str) -> None:
        fd = self._ours.pop(name)
        self._on_end(fd)
        os.close(fd)
