"""What happens to a job, as whoever runs it sees it; what `ipyproc.model.decide` is told."""

from __future__ import annotations

from signal import Signals

from ipyproc.model.value import value

__all__ = [
    "Abandoned",
    "BecameReady",
    "Drained",
    "Exited",
    "GaveUp",
    "MembersSeen",
    "NotStarted",
    "Noted",
    "PipesEnded",
    "Started",
    "Stimulus",
    "StopAsked",
    "TimePassed",
    "Unwell",
]


@value
class Started:
    """A process has been started.

    Attributes:
        pid: its id.
    """

    pid: int


@value
class NotStarted:
    """A process could not be started.

    Attributes:
        status: what a shell would say: 127 or 126.
        note: why, for people.
    """

    status: int
    note: str


@value
class Exited:
    """The process has exited.

    Attributes:
        status: the exit status, negative for a signal.
        piping: whether a pipe of it is not at its end.
        left: how many processes its session still has; None when that is not known yet.
        note: what there is to say of the status; may be empty.
    """

    status: int
    piping: bool
    left: int | None = None
    note: str = ""


@value
class PipesEnded:
    """The last pipe of the process that has exited is at its end."""


@value
class MembersSeen:
    """A look at the session of the process that has exited has found another number than before.

    Attributes:
        left: how many live.
    """

    left: int


@value
class Drained:
    """A `Drain` has been carried out.

    Attributes:
        piping: whether a pipe is not at its end, though all that it had was taken.
    """

    piping: bool


@value
class StopAsked:
    """Somebody wants the job to end.

    Attributes:
        grace: seconds between the signals; None sends the first alone.
        ladder: the signals. A shorter ladder replaces a longer one that is being climbed.
        note: why, for people; may be empty.
    """

    grace: float | None
    ladder: tuple[Signals, ...]
    note: str = ""


@value
class Unwell:
    """The process is not well, and is to be ended as one that failed.

    Attributes:
        why: for people.
    """

    why: str


@value
class BecameReady:
    """The sign that the process is ready has been seen."""


@value
class GaveUp:
    """Those whom the process has started give up; it will end by itself.

    Attributes:
        why: for people.
    """

    why: str


@value
class Noted:
    """There is something to say of the job.

    Attributes:
        note: what.
    """

    note: str


@value
class TimePassed:
    """What is due is due."""


@value
class Abandoned:
    """Nobody can look after the job any more, such as when its loop was closed; it has been ended.

    Attributes:
        status: the exit status of its process, negative for a signal.
    """

    status: int


Stimulus = (
    Started
    | NotStarted
    | Exited
    | PipesEnded
    | MembersSeen
    | Drained
    | StopAsked
    | Unwell
    | BecameReady
    | GaveUp
    | Noted
    | TimePassed
    | Abandoned
)
