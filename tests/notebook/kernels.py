"""A real kernel, and a client that keeps what each cell shows."""

from __future__ import annotations

import ast
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import ipykernel
import psutil
import zmq
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

from tests.support import PYTHONPATH, wait_until

__all__ = ["Cell", "Display", "Kernel", "Message", "running_kernel"]

T = TypeVar("T")

# ipykernel 7.0 to 7.3 may leave a request that comes while a reply is sent where it is until another client
# sends one: its sends on the shell's socket take the edge that its reader waits for. 7.4 has mended that.
_LEAVES_REQUESTS = (7, 0) <= ipykernel.version_info[:2] < (7, 4)
_PATIENCE = 3.0

_TROUBLE = ("Exception in callback", "was never retrieved", "was never awaited", "Exception ignored in")


@dataclass(frozen=True)
class Message:
    """What came on iopub.

    Attributes:
        kind: its type, such as ``stream``.
        content: its content.
        parent: the id of the request to which it belongs.
        sent: when the kernel made it, in seconds since the epoch.
        size: bytes of its header and content, about what a server counts.
        buffers: the bytes that belong to it.
    """

    kind: str
    content: dict[str, Any]
    parent: str
    sent: float
    size: int
    buffers: tuple[bytes, ...] = ()

    @property
    def text(self) -> str:
        """What it has for a reader: a stream's text, or a display's plain text."""
        return self.content.get("text") or self.content.get("data", {}).get("text/plain", "")


@dataclass
class Display:
    """A display as it stands now, after its updates."""

    id: str | None
    data: dict[str, str]
    updates: int = 0
    first: dict[str, str] = field(default_factory=dict)
    """What it was at first: when it is looked at, it may have been updated."""

    @property
    def text(self) -> str:
        return self.data.get("text/plain", "")


@dataclass
class Cell:
    """An executed cell, and what it shows."""

    id: str
    code: str
    messages: list[Message] = field(default_factory=list)
    displays: list[Display] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    idle: bool = False

    @property
    def ended(self) -> bool:
        return self.idle and bool(self.reply)

    @property
    def streams(self) -> list[Message]:
        return [message for message in self.messages if message.kind == "stream"]

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    @property
    def shown(self) -> str:
        """The plain text of all its displays."""
        return "\n".join(display.text for display in self.displays)

    @property
    def error(self) -> str:
        """The traceback as a person sees it, or what took its place; empty when the cell succeeded."""
        found = [message for message in self.messages if message.kind == "error"]
        return "\n".join(found[0].content["traceback"]) if found else ""

    @property
    def status(self) -> str:
        return self.reply.get("status", "")

    def _stream(self, name: str) -> str:
        return "".join(message.content["text"] for message in self.streams if message.content["name"] == name)


class Kernel:
    """A kernel and its one client: one thread, no loop; it receives only while something is awaited."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.messages: list[Message] = []
        self._cells: dict[str, Cell] = {}
        self._displays: dict[str, list[Display]] = {}
        self._replies: dict[str, dict[str, Any]] = {}
        self._sockets: list[zmq.Socket[bytes]] = []
        self.ending = False
        """Whether it was told to end: it is then left to do so."""

    def connect(self) -> None:
        """Connects to the kernel and waits until it answers on all channels."""
        manager = self.manager
        self._iopub = manager.connect_iopub()
        self._shell = manager.connect_shell()
        # The manager's own: another one would connect at a moment of its choice, in the midst of a test.
        self._control = manager._control_socket
        # The last one for nudges: see `until`.
        self._sockets = [self._iopub, self._shell, manager.connect_shell()]
        self._poller = zmq.Poller()
        for socket in (self._iopub, self._shell, self._control):
            self._poller.register(socket, zmq.POLLIN)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            before = len(self.messages)
            self.request(self._shell, "kernel_info_request", {}, timeout=60)
            self.pump(0.05)
            if len(self.messages) > before:
                # Not before: ipykernel 7.3, the last for Python 3.10, drops what comes on the control
                # channel while it starts.
                self.control("kernel_info_request")
                return
        raise AssertionError("The kernel did not answer within 60 s.")

    def disconnect(self) -> None:
        for socket in self._sockets:
            socket.close(0)
        self._sockets = []

    # Cells

    def run(self, code: str, timeout: float = 60, **content: object) -> Cell:
        """Executes a cell; returns when its reply and its idle have come."""
        return self.finish(self.start(code, **content), timeout)

    def start(self, code: str, **content: object) -> Cell:
        """Has a cell executed, and returns at once.

        Args:
            code: the cell.
            content: fields of the request, such as ``allow_stdin``, ``subshell_id`` of its header, and its
                ``metadata``; by default those of a page.
        """
        subshell = content.pop("subshell_id", None)
        metadata = content.pop("metadata", {"cellId": "a-page"})
        fields = {"silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        fields |= {"stop_on_error": False, "code": code} | content
        request = self.manager.session.msg("execute_request", fields, metadata=metadata)
        if subshell:
            request["header"]["subshell_id"] = subshell
        cell = self._cells[request["header"]["msg_id"]] = Cell(request["header"]["msg_id"], code)
        self.manager.session.send(self._shell, request)
        return cell

    def finish(self, cell: Cell, timeout: float = 60) -> Cell:
        """Waits for the end of a cell."""
        self.until(lambda: cell.ended, timeout)
        return cell

    def run_all(self, *codes: str) -> list[Cell]:
        """Executes cells as "Run All" does: all are sent before the first begins, an error aborts the rest.

        After an error the kernel aborts what comes within a tenth of a second; here it is in four seconds.
        """
        self.run("get_ipython().kernel.stop_on_error_timeout = 4.0")
        begin = Path(self.manager.connection_file + ".begin")
        self.start(f"import os, time\nwhile not os.path.exists({str(begin)!r}): time.sleep(0.01)")
        cells = [self.start(code, stop_on_error=True) for code in codes]
        begin.touch()
        self.until(lambda: all(cell.reply for cell in cells), timeout=60)
        begin.unlink()
        self.until(lambda: self.run("get_ipython().kernel.stop_on_error_timeout = 0.1").status == "ok")
        return cells

    def until(self, condition: Callable[[], T], timeout: float = 60) -> T:
        """Receives until a condition holds, and returns what it gave."""
        deadline = time.monotonic() + timeout
        nudge = time.monotonic() + _PATIENCE if _LEAVES_REQUESTS else float("inf")
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not so within {timeout} s: {self._picture()}"
            if time.monotonic() > nudge:
                nudge += _PATIENCE
                self.manager.session.send(self._sockets[-1], "kernel_info_request", {})
            self.pump(0.05)
        return value

    def ask(self, expression: str, timeout: float = 60) -> Any:
        """The value of an expression, which has to be a literal, without a cell that anybody sees."""
        cell = self.run("", timeout, silent=True, store_history=False, user_expressions={"it": expression})
        answer = cell.reply["user_expressions"]["it"]
        assert answer["status"] == "ok", f"{expression}: {answer.get('ename')}: {answer.get('evalue')}"
        return ast.literal_eval(answer["data"]["text/plain"])

    def ask_until(self, expression: str, timeout: float = 60) -> Any:
        """Asks until the answer is true."""
        return self.until(lambda: self.ask(expression), timeout)

    # Other requests

    def complete(self, code: str, position: int | None = None) -> list[str]:
        """What the kernel would complete at a place in a cell."""
        at = len(code) if position is None else position
        return self.request(self._shell, "complete_request", {"code": code, "cursor_pos": at})["matches"]

    def control(self, kind: str, **content: object) -> dict[str, Any]:
        """Asks on the control channel."""
        return self.request(self._control, kind, content)

    def request(
        self, socket: zmq.Socket[bytes], kind: str, content: dict[str, Any], timeout: float = 60
    ) -> dict[str, Any]:
        request = self.manager.session.msg(kind, content)
        key = request["header"]["msg_id"]
        self.manager.session.send(socket, request)
        self.until(lambda: key in self._replies, timeout)
        return self._replies.pop(key)

    def send(self, kind: str, content: dict[str, Any], *, on_control: bool = False, **header: str) -> str:
        """Sends on the shell or the control channel what has no reply, such as a comm's message."""
        request = self.manager.session.msg(kind, content)
        request["header"] |= header
        self.manager.session.send(self._control if on_control else self._shell, request)
        return request["header"]["msg_id"]

    # Its process

    @property
    def pid(self) -> int:
        return self.manager.provisioner.pid

    def interrupt(self) -> None:
        """What a front end's ■ does: SIGINT to the kernel's process group."""
        self.manager.interrupt_kernel()

    def shut_down(self) -> None:
        """As a front end's Shut Down does."""
        self.ending = True
        self.control("shutdown_request", restart=False)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def children(self) -> list[psutil.Process]:
        """Every process below the kernel's but the warden, zombies too."""
        found = psutil.Process(self.pid).children(recursive=True)
        return [process for process in found if not is_warden(process)]

    # Receiving

    def pump(self, seconds: float = 0.0) -> None:
        """Takes what has come, and waits so long for it at most."""
        ready = dict(self._poller.poll(int(seconds * 1000)))
        session = self.manager.session
        for socket in (self._shell, self._control):
            if socket in ready:
                _, reply = session.recv(socket, zmq.NOBLOCK)
                if reply is not None:
                    self._take_reply(reply)
        while self._iopub in ready:
            _, message = session.recv(self._iopub, zmq.NOBLOCK)
            if message is None:
                break
            self._take(message)

    def _take_reply(self, reply: dict[str, Any]) -> None:
        key = reply["parent_header"]["msg_id"]
        cell = self._cells.get(key)
        if cell is not None:
            cell.reply = reply["content"]
        else:
            self._replies[key] = reply["content"]

    def _take(self, raw: dict[str, Any]) -> None:
        content, header = raw["content"], raw["header"]
        if raw["msg_type"] == "iopub_welcome":
            return
        message = Message(
            raw["msg_type"],
            content,
            raw["parent_header"].get("msg_id", ""),
            header["date"].timestamp(),
            len(json.dumps(content, default=str)) + len(json.dumps(header, default=str)),
            tuple(map(bytes, raw["buffers"])),
        )
        self.messages.append(message)
        cell = self._cells.get(message.parent)
        if cell is None:
            return
        cell.messages.append(message)
        if message.kind == "status":
            cell.idle = cell.idle or content["execution_state"] == "idle"
        elif message.kind in ("display_data", "execute_result"):
            key = content.get("transient", {}).get("display_id")
            display = Display(key, content["data"], first=content["data"])
            cell.displays.append(display)
            if key:
                self._displays.setdefault(key, []).append(display)
        elif message.kind == "update_display_data":
            for display in self._displays.get(content["transient"]["display_id"], ()):
                display.data = content["data"]
                display.updates += 1

    def _picture(self) -> str:
        last = list(self._cells.values())[-3:]
        return "\n".join(
            f"{cell.code!r}: {cell.status or 'runs'}, stdout {cell.stdout[-300:]!r}, "
            f"stderr {cell.stderr[-300:]!r}, shown {cell.shown[-600:]!r}, error {cell.error[-600:]!r}"
            for cell in last
        )

    def troubles(self) -> list[str]:
        """What the kernel said of exceptions that reached nobody."""
        texts = [message.text for message in self.messages if message.kind == "stream"]
        return [text for text in texts if any(sign in text for sign in _TROUBLE)]


def is_warden(process: psutil.Process) -> bool:
    try:
        return any("warden_program" in part for part in process.cmdline())
    except psutil.Error:
        return False


@contextmanager
def running_kernel(
    directory: Path, *, extension: bool = True, command: Sequence[str] = ()
) -> Iterator[Kernel]:
    """A kernel of this interpreter, from this checkout; nothing of it is left afterwards.

    Args:
        directory: where it runs, and where it has its own IPython profile.
        extension: whether ipyproc is loaded.
        command: starts another kernel; ``-f`` and the connection file are added.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": PYTHONPATH,
        "IPYTHONDIR": str(directory / "ipython"),
        # An older ipykernel leaves a thread's socket to the garbage collector.
        "PYTHONWARNINGS": "error::RuntimeWarning" + ("" if command else ",error::ResourceWarning"),
    }
    context = zmq.Context()
    # A subscriber at its limit loses messages silently.
    context.setsockopt(zmq.RCVHWM, 0)
    manager = KernelManager(kernel_name="python3", context=context, shutdown_wait_time=20)
    if command:
        manager._kernel_spec = KernelSpec(argv=[*command, "-f", "{connection_file}"], language="python")
    log = (directory / "kernel.log").open("w+")
    manager.start_kernel(
        cwd=str(directory),
        env=environment,
        stdout=log,
        stderr=log,
        extra_arguments=[] if command else ["--HistoryManager.enabled=False"],
    )
    kernel = Kernel(manager)
    process = psutil.Process(kernel.pid)
    try:
        kernel.connect()
        if extension:
            # Nobody here shows a widget: the plain form is what is waited for. And no program is sent the
            # next signal because the machine is slow.
            cell = kernel.run(
                "%load_ext ipyproc\nimport ipyproc\n"
                "%config IPyProc.live_patience = 0\n%config IPyProc.grace = 60"
            )
            assert cell.status == "ok" and not cell.stderr, cell.error or cell.stderr
        yield kernel
    finally:
        kernel.disconnect()
        if kernel.ending:
            # A request in the midst of ipykernel's end meets closed sockets, and leaves a traceback.
            wait_until(lambda: not manager.is_alive())
        manager.shutdown_kernel(now=not process.is_running())
        manager.cleanup_resources()
        context.destroy(0)
    wait_until(lambda: not process.is_running())
    with log:
        log.seek(0)
        written = log.read()
    assert "Traceback" not in written and not any(sign in written for sign in _TROUBLE), written
    assert not (found := kernel.troubles()), "\n".join(found)
