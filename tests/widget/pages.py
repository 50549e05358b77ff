"""Pages as they talk, without a browser; and the clock that they go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipyproc.job.job import Job
from ipyproc.widget.conversation import Conversation

__all__ = ["Line", "Page"]


class Page:
    """A page: what it was told, and what its terminal has drawn."""

    def __init__(self, line: Line, key: str) -> None:
        self.key = key
        self.messages: list[dict[str, Any]] = []
        self.screens: list[str] = []
        self.drawn = b""
        self.next = 0
        self.acks = True
        self.drops = 0
        self._line = line

    def say(self, kind: str, **fields: object) -> str | None:
        """Send a message; what it has done to the job is done, and its sentence is returned."""
        act = self._line.talk.receive({"type": kind, "page": self.key, **fields})
        return act() if act is not None else None

    def open(self, **fields: object) -> None:
        self.drawn, self.next = b"", 0
        self.say("open", **{"rows": 24, "columns": 100, "owns": False, **fields})

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def last(self, kind: str) -> dict[str, Any]:
        return next(message for message in reversed(self.messages) if message["type"] == kind)

    @property
    def job(self) -> dict[str, Any]:
        return next(message["job"] for message in reversed(self.messages) if "job" in message)

    def take(self, message: dict[str, Any], buffers: Sequence[bytes]) -> None:
        if message["type"] in ("output", "screen") and self.drops:
            self.drops -= 1
            return
        self.messages.append(message)
        if message["type"] == "screen":
            self.screens.append(buffers[0].decode())
            self.next = message["offset"]
        elif message["type"] == "output":
            if message["offset"] > self.next:
                self.say("ask", offset=self.next)
                return
            data = buffers[0][self.next - message["offset"] :]
            self.drawn += data
            self.next += len(data)
        else:
            return
        if self.acks:
            self.say("ack", offset=self.next)


class Line:
    """A conversation, its pages, and a clock that stands still until it is set forward."""

    def __init__(self, job: Job, **options: bool) -> None:
        self.now = 1000.0
        self.sent: list[dict[str, Any]] = []
        self.restarted: list[Job] = []
        self.forgotten: list[Job] = []
        self._pages: dict[str, Page] = {}
        self._sending: list[tuple[dict[str, Any], list[bytes]]] = []
        self.talk = Conversation(
            job, self._send, self.restarted.append, self.forgotten.append, clock=lambda: self.now, **options
        )

    def page(self, key: str = "a page", *, age: float = 1e9) -> Page:
        """A page that has said hello."""
        page = self._pages[key] = Page(self, key)
        page.say("hello", fresh=True, age=age)
        self._deliver()
        return page

    def flush(self, seconds: float = 0.1) -> float:
        """Let time pass, and send what is due."""
        self.now += seconds
        due = self.talk.flush()
        self._deliver()
        return due

    def _send(self, message: Mapping[str, object], buffers: Sequence[bytes]) -> None:
        self._sending.append((dict(message), list(buffers)))

    def _deliver(self) -> None:
        while self._sending:
            message, buffers = self._sending.pop(0)
            self.sent.append(message)
            for page in self._pages.values():
                if message.get("page") in (None, page.key):
                    page.take(message, buffers)
