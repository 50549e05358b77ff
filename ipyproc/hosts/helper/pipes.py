"""The pipes between a helper and one of its workers: two for output, one for messages."""

from __future__ import annotations

import os
import sys

from ipyproc.hosts.helper.wire import Decoder, Message
from ipyproc.process.bare import partial

# Known to type checkers by its name: `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["WorkerPipes"]

_CHUNK = 64 << 10
_DRAIN_READS = 64


class WorkerPipes:
    """The helper's ends of a worker's pipes, and until it is forked the worker's as well.

    Attributes:
        pid: the worker's, once that is known.

    Args:
        task_id: whose.
        on_output: takes the task id, the stream and what came on it.
        on_message: takes what the worker tells of itself.
        on_end: takes an fd that is about to be closed.
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
        """Whether anything can still come."""
        return bool(self._ours)

    def readers(self) -> Iterator[tuple[int, Callable[[], object]]]:
        """Each fd to read from, with what reads it once."""
        for name, fd in self._ours.items():
            yield fd, partial(self._read, name)

    def let_go(self) -> None:
        """Closes the worker's ends, once it has been forked."""
        while self._theirs:
            os.close(self._theirs.popitem()[1])

    def drain(self) -> None:
        """Takes what is left when the worker has exited; a process that it started may hold the pipes."""
        for name in list(self._ours):
            for _ in range(_DRAIN_READS):
                if not self._read(name):
                    break

    def close(self) -> None:
        """Closes everything."""
        self.let_go()
        while self._ours:
            os.close(self._ours.popitem()[1])

    def put_on(self) -> int:
        """Makes the pipes this process's standard output and error, in the worker; returns its way up."""
        os.dup2(self._theirs["stdout"], 1)
        os.dup2(self._theirs["stderr"], 2)
        up = self._theirs.pop("up")
        self.close()
        return up

    def _read(self, name: str) -> bool:
        """Reads once; whether there was anything."""
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
            self._take(data)
        else:
            self._on_output(self.task_id, name, data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._on_message(message)
        except ValueError as error:
            print(f"ipyproc helper: worker {self.task_id} wrote to our pipe. {error}", file=sys.stderr)
            self._end("up")

    def _end(self, name: str) -> None:
        fd = self._ours.pop(name)
        self._on_end(fd)
        os.close(fd)
