"""The numbered events of a job, kept for whoever connects late, and told to whoever listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ipyproc.model.event import Event, EventKind

__all__ = ["EventSource", "Listener"]

Listener = Callable[[Event], None]
"""Is called with an event; in any thread for ``WROTE``, else where the host is driven. Raises nothing."""

_KEPT_EVENTS = 100


class EventSource:
    """Numbers what happens to a job, keeps the last hundred events, and tells listeners of each once.

    Attributes:
        lock: held while something is told of it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._events: tuple[Event, ...] = ()
        self._number = 0
        self._listeners: tuple[Listener, ...] = ()

    def events(self, since: int = 0) -> list[Event]:
        """Return what has happened after the event of that number, as far as it is kept."""
        with self.lock:
            return [event for event in self._events if event.number > since]

    def listen(self, listener: Listener, since: int = 0) -> None:
        """Have ``listener`` called with what has happened after the event ``since``, and with what follows.

        Each event reaches it once, in order.
        """
        with self.lock:
            for event in self.events(since):
                listener(event)
            self._listeners = (*self._listeners, listener)

    def publish(self, kind: EventKind, detail: str = "", worker: int | None = None) -> None:
        """Number what happened, keep it, and tell every listener; for the host.

        Args:
            kind: what happened.
            detail: for people; may be empty.
            worker: to which worker of a group; None for the job itself.
        """
        with self.lock:
            self.hand_on(Event(kind, time.time(), detail, worker, self._number + 1))

    def hand_on(self, event: Event) -> None:
        """Keep an event that has its number, and tell every listener; for the host.

        One that is known already, as after a lost connection, is passed over.
        """
        with self.lock:
            if event.number <= self._number:
                return
            self._number = event.number
            self._events = (*self._events[1 - _KEPT_EVENTS :], event)
            for listener in self._listeners:
                listener(event)

    def forget_events(self) -> None:
        """Keep nothing of what has happened so far; for the host, to which many jobs have ended since."""
        self._events = ()

    def wrote(self) -> None:
        """Tell every listener that there is new output; for the host, in the thread that took it."""
        event = Event(EventKind.WROTE, time.time())
        for listener in self._listeners:
            listener(event)
