"""What is kept of a job's life once it has ended and left nothing: a fifth of the memory."""

from __future__ import annotations

from functools import lru_cache

from ipyproc.model.life import Life
from ipyproc.model.state import JobState

__all__ = ["Rested"]


class Rested:
    """What is kept of a `Life` to which nothing happens any more; see there.

    Attributes:
        job_state: where it is.
        restarts: how often it was restarted.
        ready: whether it was ready.
        notes: what else there is to say.
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
        """Return what is kept of a life; most of 20,000 have it in common."""
        return _rested(life.job_state, life.restarts, life.ready, life.notes)


_rested = lru_cache(maxsize=64)(Rested)
