"""What happens to workers, as a `Supervisor` tells it."""

from __future__ import annotations

from collections import namedtuple

__all__ = ["Event", "Exited", "GaveUp", "Restarting", "Started"]

# Not dataclasses, nor `typing`: importing those takes as long as all else that a supervisor needs.


class Started(namedtuple("Started", ("task_id", "pid"))):
    """A worker runs."""

    __slots__ = ()


class Exited(namedtuple("Exited", ("task_id", "pid", "returncode"))):
    """A worker has ended; ``returncode`` is negative for the signal that ended it."""

    __slots__ = ()


class Restarting(namedtuple("Restarting", ("task_id", "restarts"))):
    """A worker is being replaced; ``restarts`` have been charged to the budget so far."""

    __slots__ = ()


class GaveUp(namedtuple("GaveUp", ("max_restarts",))):
    """One restart more than the budget was needed; the workers still alive are being ended."""

    __slots__ = ()


Event = Started | Exited | Restarting | GaveUp
