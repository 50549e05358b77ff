"""The part of a job's state that is kept after its end, in a fifth of the memory."""

from __future__ import annotations

from functools import lru_cache

from ipyproc.model.life import Life
from ipyproc.model.state import JobState

__all__ = ["Rested"]


class Rested:
    """The part of a `Life` that is kept after the end of a job that left nothing.

    Attributes:
        job_state: the state as users see it.
        restarts: the number of restarts.
        ready: whether the job was ready.
        notes: remarks for people, one sentence each.
    """

    __slots__ = ("job_state", "notes", "ready", "restarts")
    left = 0
    lingers = False

    def __init__(self, job_state: JobState, restarts: int, ready: bool, notes: tuple[str, ...]) -> None:
        self.job_state = job_state
        self.restarts = restarts
        self.ready = ready
        self.notes = notes

    @staticmethod
    def of(life: Life) -> Rested:
        """Return the part of a life that is kept; jobs that ended alike share one object."""
        return _rested(life.job_state, life.restarts, life.ready, life.notes)


_rested = lru_cache(maxsize=64)(Rested)
