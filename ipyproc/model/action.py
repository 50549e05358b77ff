"""What is to be done for a job; what `ipyproc.model.decide` answers."""

from __future__ import annotations

from dataclasses import dataclass
from signal import Signals

from ipyproc.model.event import EventKind

__all__ = [
    "Action",
    "Disown",
    "Drain",
    "Finish",
    "Hurry",
    "Look",
    "Publish",
    "SendSignal",
    "StartProcess",
    "Warn",
]


@dataclass(frozen=True, slots=True)
class StartProcess:
    """Start a process, and tell `Started` or `NotStarted`."""


@dataclass(frozen=True, slots=True)
class SendSignal:
    """Send a signal to every process of the session.

    Attributes:
        signum: the signal.
    """

    signum: Signals


@dataclass(frozen=True, slots=True)
class Hurry:
    """Look at the session often, since somebody waits for its end; or no longer.

    Attributes:
        on: whether somebody waits.
    """

    on: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the session, and tell `MembersSeen` where there is something new."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Take what the pipes have, and tell `Drained`."""


@dataclass(frozen=True, slots=True)
class Disown:
    """Look at the session no more: what lives of it is somebody else's."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell whoever listens.

    Attributes:
        kind: what happened.
        detail: for people; may be empty.
    """

    kind: EventKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Warn:
    """Write a line to the log: escalation is to be audible.

    Attributes:
        words: what is said, with a place for the job's name.
    """

    words: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The job is over: no process is started for it after this."""


Action = StartProcess | SendSignal | Hurry | Look | Drain | Disown | Publish | Warn | Finish
