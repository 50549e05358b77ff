"""What happens to a job, or to one worker of it; the same in memory and on the wire."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Event", "EventKind"]


class EventKind(str, enum.Enum):
    """What happened to a job, or to a worker of it."""

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
    """Something that happened to a job.

    A host numbers what happens to a job, and keeps the last of it, so that whoever reconnects asks for what
    was missed. Output is not kept as events: it is asked for by offset. What is not kept has the number 0:
    ``WROTE``, ``AWAITED``, ``RELEASED``.

    Attributes:
        kind: what.
        at: when, in seconds since the epoch; for showing only.
        detail: for people, such as the signal that was sent; may be empty.
        worker: the number of the worker of a group to which it happened; None for the job itself.
        number: from 1 on, in the order in which it happened; 0 for what is not kept.
    """

    kind: EventKind
    at: float
    detail: str = ""
    worker: int | None = None
    number: int = 0
