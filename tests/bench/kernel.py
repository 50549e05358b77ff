"""A real kernel and a client that notes when each message came, and how large it was."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import psutil
import zmq
from jupyter_client import KernelManager

from tests.bench.rounds import ROOT, Unavailable

__all__ = ["Cell", "Kernel", "Message", "running_kernel"]

_NAMES_FOR_MISSING = ("ImportError", "ModuleNotFoundError", "AttributeError", "UsageError")


@dataclass(frozen=True)
class Message:
    """What came on iopub, still as it was on the wire.

    Attributes:
        at: when it came (``time.perf_counter``).
        frames: header, parent header, metadata, content and buffers.
        size: bytes of all its frames.
    """

    at: float
    frames: list[bytes]
    size: int

    @property
    def type(self) -> str:
        return json.loads(self.frames[0])["msg_type"]

    @property
    def parent(self) -> str:
        return json.loads(self.frames[1]).get("msg_id", "")

    @property
    def content(self) -> dict[str, Any]:
        return json.loads(self.frames[3])

    @property
    def text(self) -> str:
        """What a reader without a browser would see of it."""
        if self.type == "stream":
            return self.content["text"]
        return self.content.get("data", {}).get("text/plain", "")


@dataclass
class Cell:
    """An executed cell.

    Attributes:
        id: the message id of the request.
        sent: when it was sent.
        ended: when both the reply and the kernel's idle were there.
        reply: the content of the reply.
        messages: everything that came on iopub meanwhile, whosesoever.
    """

    id: str
    sent: float
    ended: float = 0.0
    reply: dict[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.ended - self.sent

    @property
    def size(self) -> int:
        return sum(message.size for message in self.messages)


class Kernel:
    """The client's end of one kernel; one thread, no loop."""

    def __init__(self, manager: KernelManager) -> None:
        self._session = manager.session
        self._shell = manager.connect_shell()
        self._iopub = zmq.Context.instance().socket(zmq.SUB)
        # A subscriber at its limit loses messages silently, and we are here to count them.
        self._iopub.rcvhwm = 0
        self._iopub.linger = 0
        self._iopub.connect(f"tcp://{manager.ip}:{manager.iopub_port}")
        self._iopub.subscribe(b"")
        self._poller = zmq.Poller()
        self._poller.register(self._shell, zmq.POLLIN)
        self._poller.register(self._iopub, zmq.POLLIN)
        self.process = psutil.Process(manager.provisioner.pid)

    def close(self) -> None:
        self._shell.close(0)
        self._iopub.close(0)

    def run(self, code: str, timeout: float = 60, **expressions: str) -> Cell:
        """Executes a cell and returns when its reply and its idle have come.

        Raises:
            TimeoutError: they have not, in ``timeout`` seconds.
        """
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True}
        content |= {"stop_on_error": False, "user_expressions": expressions}
        request = self._session.msg("execute_request", content, metadata={"cellId": "a-page"})
        cell = Cell(request["header"]["msg_id"], time.perf_counter())
        self._session.send(self._shell, request)
        mark, idle, last = cell.id.encode(), False, time.perf_counter() + timeout
        while not (idle and cell.reply):
            for message in self._receive(last - time.perf_counter(), cell):
                cell.messages.append(message)
                ends = b'"idle"' in message.frames[3] and mark in message.frames[1]
                idle = idle or (ends and message.type == "status")
            if time.perf_counter() > last:
                raise TimeoutError(f"the cell had not ended after {timeout:g} s: {code[:60]!r}")
        cell.ended = time.perf_counter()
        return cell

    def value(self, code: str, expression: str = "None", timeout: float = 60) -> Any:
        """Runs a cell that must succeed, then evaluates an expression to something that JSON has."""
        cell = self.run(code, timeout, value=f"__import__('json').dumps({expression})")
        _check(cell.reply)
        answer = cell.reply["user_expressions"]["value"]
        _check(answer)
        return json.loads(eval(answer["data"]["text/plain"], {}))

    def slow_trip(self, start: str, done: str, trips: int, quiet: float) -> float:
        """The 99th percentile of another cell's round trips, in seconds, each while a job is busy.

        Args:
            start: a cell that starts the job; it is run again, for as many trips as it takes.
            done: whether the job has ended, as an expression.
            trips: the number of round trips.
            quiet: seconds to listen between two jobs.
        """
        seconds: list[float] = []
        while len(seconds) < trips:
            self.value(start)
            is_done = False
            while not is_done:
                cell = self.run("1", done=done)
                is_done = cell.reply["user_expressions"]["done"]["data"]["text/plain"] == "True"
                seconds.append(cell.seconds)
            self.value("import ipyproc; ipyproc.jobs.clear()")
            self.listen(quiet)
        return quantiles(seconds, n=100)[98]

    def listen(self, seconds: float) -> list[Message]:
        """What comes on iopub in the next seconds."""
        last, messages = time.perf_counter() + seconds, []
        while (left := last - time.perf_counter()) > 0:
            messages.extend(self._receive(left))
        return messages

    def await_subscription(self, attempts: int = 60) -> None:
        """Returns once iopub reaches us: what a kernel publishes before it knows of us is lost.

        Raises:
            TimeoutError: it never does.
        """
        for attempt in range(1, attempts + 1):
            try:
                self.run("pass", timeout=1)
                return
            except TimeoutError:
                if attempt == attempts:
                    raise

    def load_extension(self) -> None:
        """Loads ipyproc as a user does.

        Raises:
            Unavailable: it has no extension (yet). IPython itself would only print so.
        """
        self.value("import ipyproc; ipyproc.load_ipython_extension")
        self.value("%load_ext ipyproc")

    def _receive(self, seconds: float, cell: Cell | None = None) -> Iterator[Message]:
        ready = dict(self._poller.poll(max(0, int(seconds * 1000)) + 1))
        while self._iopub in ready:
            try:
                frames = self._iopub.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            body = frames.index(b"<IDS|MSG>") + 2
            yield Message(time.perf_counter(), frames[body:], sum(map(len, frames)))
        if self._shell in ready:
            _, reply = self._session.recv(self._shell)
            if cell is not None and reply["parent_header"]["msg_id"] == cell.id:
                cell.reply = reply["content"]


def _check(reply: dict[str, Any]) -> None:
    if reply["status"] == "ok":
        return
    line = f"{reply.get('ename')}: {reply.get('evalue')}"
    raise Unavailable(line) if reply.get("ename") in _NAMES_FOR_MISSING else RuntimeError(line)


@contextmanager
def running_kernel(extension: bool = False) -> Iterator[Kernel]:
    """A kernel with the interpreter of this run, with or without our extension.

    Raises:
        Unavailable: the extension is asked for and is not there (yet).
    """
    manager = KernelManager(kernel_name="python3")
    # As installed: a module without byte code is compiled at each import, which no user waits for.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    manager.start_kernel(cwd=str(ROOT), env=environment, stderr=subprocess.DEVNULL)
    try:
        client = manager.blocking_client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
        finally:
            client.stop_channels()
        kernel = Kernel(manager)
        try:
            kernel.await_subscription()
            if extension:
                kernel.load_extension()
            yield kernel
        finally:
            kernel.close()
    finally:
        manager.shutdown_kernel()
