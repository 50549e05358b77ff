"""The inputs of `ipyproc.model.decide`, which the driver of a job reports."""

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
        pid: its pid.
    """

    pid: int


@value
class NotStarted:
    """A process could not be started.

    Attributes:
        status: the exit status that a shell would return: 127 or 126.
        note: the reason, for people.
    """

    status: int
    note: str


@value
class Exited:
    """The process has exited.

    Attributes:
        status: its exit status, negative for a signal.
        piping: whether one of its pipes is not at its end.
        left: the number of processes in its session; None if they were not counted yet.
        note: a remark on the status; may be empty.
    """

    status: int
    piping: bool
    left: int | None = None
    note: str = ""


@value
class PipesEnded:
    """The last pipe of the exited process is at its end."""


@value
class MembersSeen:
    """The number of processes in the session of the exited process has changed.

    Attributes:
        left: the number of processes.
    """

    left: int


@value
class Drained:
    """A `Drain` has been carried out.

    Attributes:
        piping: whether a pipe is not at its end, though all that it held was read.
    """

    piping: bool


@value
class StopAsked:
    """A stop of the job was requested.

    Attributes:
        grace: the seconds between the signals; None sends only the first.
        ladder: the signals. If a stop is under way, a shorter ladder replaces what is left of its own.
        note: the reason, for people; may be empty.
    """

    grace: float | None
    ladder: tuple[Signals, ...]
    note: str = ""


@value
class Unwell:
    """A health check of the process failed: end the process as a failure.

    Attributes:
        why: the reason, for people.
    """

    why: str


@value
class BecameReady:
    """The process has become ready."""


@value
class GaveUp:
    """The process reports that it gives up, as the helper of a worker group does; it ends by itself.

    Attributes:
        why: the reason, for people.
    """

    why: str


@value
class Noted:
    """A remark on the job was made.

    Attributes:
        note: the remark.
    """

    note: str


@value
class TimePassed:
    """The time that `ipyproc.model.decide.due` returned has come."""


@value
class Abandoned:
    """The driver of the job cannot continue, since its loop was closed, and has killed the process.

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
