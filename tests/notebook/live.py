"""A page with live views, as a client of a real kernel."""

from __future__ import annotations

import gzip
from typing import Any

from tests.notebook.kernels import Cell, Kernel

__all__ = ["VIEW", "LivePage"]

VIEW = "application/vnd.jupyter.widget-view+json"


class LivePage:
    """One view of one job in one page.

    Args:
        kernel: the kernel.
        cell: the cell that shows the job.
        key: the name that the page gives itself.
        on_control: whether it sends on the control channel.
    """

    def __init__(self, kernel: Kernel, cell: Cell, key: str = "p", *, on_control: bool = True) -> None:
        self.key = key
        self.on_control = on_control
        self._kernel = kernel
        kernel.until(
            lambda: [display for display in cell.displays if VIEW in {**display.first, **display.data}]
        )
        self.display = next(display for display in cell.displays if VIEW in {**display.first, **display.data})
        view: Any = {**self.display.first, **self.display.data}[VIEW]
        self.comm = view["model_id"]

    @property
    def state(self) -> dict[str, Any]:
        """What the model had when it was opened."""
        opened = [message for message in self._of_comm() if message.kind == "comm_open"]
        return opened[0].content["data"]["state"]

    def say(self, kind: str, **fields: object) -> None:
        content = {"type": kind, "page": self.key, **fields}
        message = {"comm_id": self.comm, "data": {"method": "custom", "content": content}}
        self._kernel.send("comm_msg", message, on_control=self.on_control)

    def hello(self, age: float = 1e9) -> dict[str, Any]:
        """Say hello, and return the job as the kernel tells it."""
        before = len(self.told("status", "ended"))
        self.say("hello", fresh=True, age=age)
        return self._kernel.until(lambda: self.told("status", "ended")[before:])[-1]["job"]

    def table(self, age: float = 1e9) -> dict[str, Any]:
        """Say hello as the view of a table of jobs, and return the table as the kernel tells it."""
        before = len(self.told("table"))
        self.say("hello", age=age)
        return self._kernel.until(lambda: self.told("table")[before:])[-1]

    def row(self, name: str) -> dict[str, Any]:
        """The row of a job in the last table; empty if it has none."""
        return next((row for row in self.told("table")[-1]["rows"] if row["name"] == name), {})

    def open(self, **fields: object) -> None:
        self.say("open", **{"rows": 24, "columns": 100, "owns": True, **fields})

    def type(self, text: str) -> None:
        self.say("input", data=text, line=False)

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        """The messages that came for this page, of some kinds."""
        return [content for content, _ in self._received(*kinds)]

    @property
    def job(self) -> dict[str, Any]:
        return self.told("status", "ended")[-1]["job"]

    @property
    def shown(self) -> str:
        """The last screen, and all output after it."""
        text = b""
        for content, data in self._received("screen", "output"):
            text = data if content["type"] == "screen" else text + data
        return text.decode()

    def code(self) -> bytes:
        """Ask for the code of the page side, and return it."""
        self.say("code")
        return gzip.decompress(self._kernel.until(lambda: self._received("code"))[0][1])

    @property
    def is_closed(self) -> bool:
        return any(message.kind == "comm_close" for message in self._of_comm())

    def _of_comm(self) -> list[Any]:
        return [
            message
            for message in self._kernel.messages
            if message.kind.startswith("comm_") and message.content.get("comm_id") == self.comm
        ]

    def _received(self, *kinds: str) -> list[tuple[dict[str, Any], bytes]]:
        found = []
        for message in self._of_comm():
            content = message.content.get("data", {}).get("content", {})
            if content.get("type") in kinds and content.get("page") in (None, self.key):
                found.append((content, message.buffers[0] if message.buffers else b""))
        return found
