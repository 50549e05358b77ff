"""Events of a job, or of one of its workers; the same type in memory and on the wire."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Event", "EventKind"]


class EventKind(str, enum.Enum):
    """The kind of an event."""

    STARTED = "started"
    READY = "ready"
    WROTE = "wrote"
    EXITED = "exited"
    RESTARTING = "restarting"
    GAVE_UP = "gave up"
    STOPPING = "stopping"
    AWAITED = "awaited"
    LEFT = "left running"
    RELEASED = "released"
    MEASURED = "measured"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a job.

    A host numbers the events of a job and keeps the last ones, so that a client that reconnects can ask for
    those that it missed. ``WROTE``, ``AWAITED`` and ``RELEASED`` are not kept, and have the number 0: output
    is read by offset instead.

    Attributes:
        kind: the kind of the event.
        at: when it happened, in seconds since the epoch; for display only.
        detail: a text for people, such as the signal that was sent; may be empty.
        worker: the number of the worker to which it happened; None for the job itself.
        number: 1 for the first event of the job, and so on; 0 if the event is not kept.
    """

    kind: EventKind
    at: float
    detail: str = ""
    worker: int | None = None
    number: int = 0
