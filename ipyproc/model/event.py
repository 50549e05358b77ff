"""What happens to a job, or to one worker of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Event", "EventKind"]


class EventKind(str, enum.Enum):
    """What happened to a job."""

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


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    Attributes:
        kind: what.
        at: when, in seconds since the epoch.
        detail: for people, such as the signal that was sent; may be empty.
        worker: the number of the worker of a group to which it happened; None for the job itself.
    """

    kind: EventKind
    at: float
    detail: str = ""
    worker: int | None = None
