"""One call of `decide` under way: the changed state so far, and the actions so far."""

from __future__ import annotations

from ipyproc.model.action import Action, Publish
from ipyproc.model.event import EventKind
from ipyproc.model.life import Gone, Life

__all__ = ["Turn"]


class Turn:
    """A mutable copy of a `Life`, and the actions that follow from its changes.

    Args:
        life: the state before.
        now: the time of the decision.

    Attributes:
        actions: the actions to carry out, in order.
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
        """Return the state as it is now."""
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
        """The known number of processes in the session of an exited process; 0 while it runs."""
        process = self.process
        return process.left or 0 if isinstance(process, Gone) else 0

    def note(self, note: str) -> None:
        """Add a remark on the job, once."""
        # Each of a thousand processes of a restarted job may give rise to the same remark.
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def publish(self, kind: EventKind, detail: str = "") -> None:
        """Add an action that publishes an event."""
        self.actions.append(Publish(kind, detail))
