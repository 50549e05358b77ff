"""One decision while it is made: the life so far, and the actions that have come together."""

from __future__ import annotations

from ipyproc.model.action import Action, Publish
from ipyproc.model.event import EventKind
from ipyproc.model.life import Gone, Life

__all__ = ["Turn"]


class Turn:
    """A `Life` that may be changed, and the actions that follow from the change.

    Args:
        life: what was known before.
        now: the time at which it is decided.
    """

    __slots__ = (
        "actions",
        "born",
        "ended_by",
        "gave_up",
        "notes",
        "now",
        "process",
        "ready",
        "rules",
        "sent",
        "state",
        "streak",
        "timed_out",
        "timeout_at",
    )

    def __init__(self, life: Life, now: float) -> None:
        self.now = now
        self.actions: list[Action] = []
        self.rules = life.rules
        self.born = life.born
        self.state = life.state
        self.process = life.process
        self.streak = life.streak
        self.ready = life.ready
        self.sent = life.sent
        self.ended_by = life.ended_by
        self.timed_out = life.timed_out
        self.timeout_at = life.timeout_at
        self.gave_up = life.gave_up
        self.notes = life.notes

    def life(self) -> Life:
        """Return what is known when it is over."""
        return Life(
            self.rules,
            self.born,
            self.state,
            self.process,
            self.streak,
            self.ready,
            self.sent,
            self.ended_by,
            self.timed_out,
            self.timeout_at,
            self.gave_up,
            self.notes,
        )

    @property
    def left(self) -> int:
        """Return how many processes are left of the session whose leader has exited, as far as is known."""
        process = self.process
        return process.left or 0 if isinstance(process, Gone) else 0

    def note(self, note: str) -> None:
        """Keep what there is to say of the job."""
        # The same thing may happen to each of a thousand processes of a job that is restarted.
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def publish(self, kind: EventKind, detail: str = "") -> None:
        """Have whoever listens told what happened."""
        self.actions.append(Publish(kind, detail))
