"""What is to be done for a job; what `ipyproc.model.decide` answers."""

from __future__ import annotations

from signal import Signals

from ipyproc.model.event import EventKind
from ipyproc.model.value import value

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


@value
class StartProcess:
    """Start a process, and tell `Started` or `NotStarted`."""


@value
class SendSignal:
    """Send a signal to every process of the session.

    Attributes:
        signum: the signal.
    """

    signum: Signals


@value
class Hurry:
    """Look at the session often, since somebody waits for its end; or no longer.

    Attributes:
        on: whether somebody waits.
    """

    on: bool = True


@value
class Look:
    """Look at the session, and tell `MembersSeen` where there is something new."""


@value
class Drain:
    """Take what the pipes have, and tell `Drained`."""


@value
class Disown:
    """Look at the session no more: what lives of it is somebody else's."""


@value
class Publish:
    """Tell whoever listens.

    Attributes:
        kind: what happened.
        detail: for people; may be empty.
    """

    kind: EventKind
    detail: str = ""


@value
class Warn:
    """Write a line to the log: escalation is to be audible.

    Attributes:
        words: what is said, with a place for the job's name.
    """

    words: str


@value
class Finish:
    """The job is over: no process is started for it after this."""


Action = StartProcess | SendSignal | Hurry | Look | Drain | Disown | Publish | Warn | Finish
