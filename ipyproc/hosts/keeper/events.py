"""What the helper of a kept group reports: carried out once, whoever is killed meanwhile.

The bytes of its pipe are moved into named files (``events/``), as those of the other pipes are, and decoded
from there. What is to be appended to the outputs is written to a journal first; where this runner is killed
amid that, the next one carries it out. How far the other messages were taken stands in the job's record,
together with what came of them.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

from ipyproc.errors import WireError
from ipyproc.hosts.helper.wire import Decoder, Message
from ipyproc.hosts.keeper.places import Place
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.link import Link
from ipyproc.hosts.local.marks import Marker
from ipyproc.spool.named import NamedOutput
from ipyproc.spool.output import Output, StreamName

__all__ = ["EventLog", "KeptLink", "worker_directory"]

log = logging.getLogger("ipyproc")

_EVENTS, _JOURNAL = "events", "journal"
_KEPT = 32 << 20
_CHUNK = 1 << 20
_UNWRITTEN = 4 << 20
_OF_GROUP = -1


def worker_directory(place: Place, task_id: int) -> str:
    """Return the path of the directory with the output of one worker."""
    return place.file(f"worker-{task_id}")


class EventLog(NamedOutput):
    """The bytes of the helper's pipe, as they came.

    Args:
        place: the directory of the job.

    Attributes:
        on_arrived: called when there is more, on the thread that read it.
    """

    __slots__ = ("on_arrived",)

    def __init__(self, place: Place) -> None:
        directory = place.file(_EVENTS)
        os.makedirs(directory, 0o700, exist_ok=True)
        super().__init__(directory, _KEPT, terminal=False, writes=True)
        self.on_arrived: Callable[[], None] = _nothing

    def arrived(self) -> None:
        """Have it decoded."""
        self.on_arrived()

    def drop_before(self, offset: int) -> None:
        """Drop what was carried out."""
        with self.lock:
            self._log.drop_before(offset)


class _Batch:
    """What is to be appended to the outputs, for one of them.

    Args:
        task_id: the worker whose output it is; -1 for the group's.
        appends: where to put it.
    """

    def __init__(self, task_id: int, appends: list[tuple[int, StreamName, bytes, float]]) -> None:
        self._task_id = task_id
        self._appends = appends

    def append(self, stream: StreamName, data: bytes | memoryview, at: float) -> None:
        """Take note of ``data``."""
        self._appends.append((self._task_id, stream, bytes(data), at))


class KeptLink(Link):
    """Decodes what is in an `EventLog`; see `Link`.

    Args:
        events: the bytes of the helper's pipe.
        place: the directory of the job.
        output: the output of the group.
        output_of: returns the output of a worker.
        driver: the driver of the group's loop.
        job_lock: the lock of the group.
        on_output: called when there is new output.
        on_message: called with each message, where the loop is driven.
        write_down: has it written how far messages were taken.

    Attributes:
        base: where the bytes of the present helper begin.
        handed: up to where all messages were taken.
    """

    def __init__(
        self,
        events: EventLog,
        place: Place,
        output: Output,
        output_of: Callable[[int], Output],
        driver: Driver,
        job_lock: AbstractContextManager[object],
        on_output: Callable[[], None],
        on_message: Callable[[Message | WireError], None],
        write_down: Callable[[], None],
    ) -> None:
        self._appends: list[tuple[int, StreamName, bytes, float]] = []
        super().__init__(output, self._batch_of, driver, job_lock, on_output, on_message)
        self._events = events
        self._place = place
        self._real_output_of = output_of
        self._write_down = write_down
        self._ends: deque[int] = deque()
        self._marker = Marker(self._batch_of(_OF_GROUP))
        self.base = self.handed = self._at = self._read_to = self._stored = self._written = 0
        events.on_arrived = self.arrived

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be told or shown."""
        return not (self._marker or self._queue or self._waiting)

    def begin(self) -> None:
        """Begin with a new helper, before it is started: what came from others is of no use."""
        with self.lock:
            self._decoder, self._marker = Decoder(), Marker(self._batch_of(_OF_GROUP))
            self._greeted = self._broken = False
            at = self._events.end
            self.base = self.handed = self._at = self._read_to = self._stored = at
            self._store([])

    def resume(self, base: int, handed: int) -> None:
        """Go on where another runner was killed, or rested; messages that this finds wait for `arrived`."""
        with self.lock:
            self.base, self.handed = base, handed
            self._stored = max(base, self._carry_out_journal())
            self._at = self._read_to = min(self._stored, handed)
            self._greeted = self._at > base
            self._read()

    def arrived(self) -> None:
        """Decode what has come, and report it; call it without the lock."""
        with self.lock:
            self._read()
        super().arrived()
        if self._at - self._written > _UNWRITTEN:
            self._driver.call(self._hand_over)
            self._driver.call(self._write_down)

    def end(self) -> None:
        """Pass on the remaining messages and output, since no more will come."""
        with self.lock:
            self._read()
        self._hand_over()
        with self.lock:
            self._marker.end_all(time.time())
            self._commit()

    def was_written(self, handed: int) -> None:
        """Drop what was carried out, since it was written that messages were taken up to there."""
        self._written = handed
        self._events.drop_before(min(handed, self._stored))

    # With the lock

    def _read(self) -> None:
        while self._read_to < self._events.end and not self._broken:
            data = self._events.read(self._read_to, self._read_to + _CHUNK)
            if not data or self._read_to < self._events.start or self._events.lost:
                self._broken = True
                self._queue_up(WireError("what its helper reports could not be kept"))
                return
            self._read_to += len(data)
            try:
                for message in self._decoder.feed(data):
                    self._at += message.size
                    self._take(message, time.time())
            except WireError as error:
                self._broken = True
                self._queue_up(error)
            self._commit()

    def _take(self, message: Message, at: float) -> None:
        is_output, is_stored = message.kind == "output", self._at <= self._stored
        queued = len(self._queue)
        if is_output and is_stored:
            return
        if message.kind == "exited" and is_stored:
            self._queue.append(message)
        else:
            super()._take(message, at)
        if len(self._queue) > queued:
            if self._at <= self.handed:
                self._queue.pop()
            else:
                self._ends.append(self._at)

    def _queue_up(self, error: WireError) -> None:
        self._queue.append(error)
        self._ends.append(self._at)

    def _commit(self) -> None:
        """Append what is to be appended, once."""
        self._marker.flush(time.time())
        appends = [*self._appends]
        ends: dict[int, int] = {}
        self._appends.clear()
        if not appends and self._at <= self._stored:
            return
        steps: list[tuple[int, StreamName, float, int, bytes]] = []
        for task_id, stream, data, at in appends:
            before = ends.get(task_id, self._to(task_id).end)
            ends[task_id] = before + len(data)
            steps.append((task_id, stream, at, before, data))
        self._stored = max(self._stored, self._at)
        self._store(steps)
        self._carry_out(steps)
        self._wrote |= bool(steps)

    def _store(self, steps: list[tuple[int, StreamName, float, int, bytes]]) -> None:
        held, unfinished = self._marker.state()
        head = {
            "stored": self._stored,
            "held": [[*key, text.decode("latin-1"), since] for key, (text, since) in held.items()],
            "unfinished": unfinished,
            "steps": [[*step[:-1], len(step[-1])] for step in steps],
        }
        path = self._place.file(_JOURNAL)
        try:
            with open(f"{path}.new", "wb", opener=_private) as file:
                file.write(json.dumps(head).encode() + b"\n" + b"".join(step[-1] for step in steps))
            os.rename(f"{path}.new", path)
        except OSError as error:
            log.warning("The journal of a kept group cannot be written: %s", error)

    def _carry_out(self, steps: list[tuple[int, StreamName, float, int, bytes]]) -> None:
        for task_id, stream, at, before, data in steps:
            output = self._to(task_id)
            done = max(0, output.end - before)
            if done < len(data):
                output.append(stream, data[done:], at)

    def _carry_out_journal(self) -> int:
        """Do what another runner was about to do; return up to where output has been stored."""
        try:
            with open(self._place.file(_JOURNAL), "rb") as file:
                head, data = json.loads(file.readline()), file.read()
        except (OSError, ValueError):
            return 0
        steps: list[tuple[int, StreamName, float, int, bytes]] = []
        for task_id, stream, at, before, size in head["steps"]:
            steps.append((task_id, stream, at, before, data[:size]))
            data = data[size:]
        self._carry_out(steps)
        held = {
            (task_id, stream): (text.encode("latin-1"), since)
            for task_id, stream, text, since in head["held"]
        }
        unfinished = head["unfinished"]
        self._marker.restore(held, None if unfinished is None else (unfinished[0], unfinished[1]))
        stored: int = head["stored"]
        return stored

    # Helpers

    def _to(self, task_id: int) -> Output:
        return self._output if task_id == _OF_GROUP else self._real_output_of(task_id)

    def _batch_of(self, task_id: int) -> _Batch:
        return _Batch(task_id, self._appends)

    def _hand_over(self) -> None:
        with self._job_lock:
            while self._queue:
                message = self._queue.popleft()
                # Before: what is written of the message says that it was taken.
                self.handed = max(self.handed, self._ends.popleft())
                self._on_message(message)
            with self.lock:
                if not self._queue:
                    self.handed = max(self.handed, self._at)

    def _flush(self) -> None:
        with self.lock:
            self._waiting = False
            self._commit()
        super().arrived()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _nothing() -> None:
    pass
