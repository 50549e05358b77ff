"""The actions that `ipyproc.model.decide` returns, for the driver of a job to carry out."""

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
    """Start a process; answer with `Started` or `NotStarted`."""


@value
class SendSignal:
    """Send a signal to every process of the session.

    Attributes:
        signum: the signal.
    """

    signum: Signals


@value
class Hurry:
    """Poll the session often, since its end is waited for, or stop doing so.

    Attributes:
        on: whether to poll often.
    """

    on: bool = True


@value
class Look:
    """Count the members of the session; answer with `MembersSeen` if the number has changed."""


@value
class Drain:
    """Read what the pipes hold; answer with `Drained`."""


@value
class Disown:
    """Stop watching the session; its remaining processes are no longer the job's."""


@value
class Publish:
    """Publish an event.

    Attributes:
        kind: the kind of the event.
        detail: a text for people; may be empty.
    """

    kind: EventKind
    detail: str = ""


@value
class Warn:
    """Log a warning, as before each escalation to SIGKILL.

    Attributes:
        words: a format string, with one ``%r`` for the job's name.
    """

    words: str


@value
class Finish:
    """End the job: no process is started for it after this."""


Action = StartProcess | SendSignal | Hurry | Look | Drain | Disown | Publish | Warn | Finish
