"""The helper: a fresh interpreter that runs `fork_processes` for a notebook's worker group.

The kernel starts it by `ipyproc.hosts.helper.leader.main`, with its pid and a pipe. Commands come on
standard input; events and the workers' output leave through the pipe. What the code prints before the fork
goes to the helper's own standard output. The helper imports little, since a cell waits for its start.
"""

from __future__ import annotations

import os
import sys
import time

from ipyproc.hosts.helper.body import Body, Stopped, die_by
from ipyproc.hosts.helper.channel import Channel
from ipyproc.hosts.helper.detached import Detached
from ipyproc.hosts.helper.pipes import WorkerPipes
from ipyproc.hosts.helper.wire import START_LIMIT, VERSION, Decoder, Message, Value, check_version, encode
from ipyproc.process import log
from ipyproc.process.bare import partial, signal
from ipyproc.process.events import Event, Exited, GaveUp, Restarting, Started
from ipyproc.process.platform.pidfd import open_pidfd
from ipyproc.process.supervisor import Supervisor, task_id

__all__ = ["Helper"]

_CHUNK = 64 << 10
_EVERY_WORKER = -1
_BROKEN, _MISUSED = 1, 2


class Helper:
    """Supervise the workers, report events to the kernel, and carry out its commands.

    Args:
        kernel: the pid of the kernel; when the kernel exits, the workers are stopped.
        commands: the fd of the kernel's messages.
        events: the fd for messages to the kernel.
        leader: the leader of the session.
    """

    def __init__(self, kernel: int, commands: int, events: int, leader: Detached) -> None:
        self._commands = commands
        self._events = events
        self._leader = leader
        self._kernel = open_pidfd(kernel)
        self._gate, self._gate_end = os.pipe()
        self._decoder = Decoder(START_LIMIT)
        self._supervisor: Supervisor | None = None
        self._body: Body | None = None
        self._pipes: dict[int, WorkerPipes] = {}
        self._open: list[WorkerPipes] = []
        self._waiting: set[int] = set()
        self._status = 0

    def run(self) -> int:
        """Serve one group; return the exit status, in the helper and in each worker.

        A helper that a signal stopped does not return: it ends itself by that signal.
        """
        try:
            status = self._serve()
            if task_id() is None:
                # In here, so that a signal which comes just now is a stop, and no traceback.
                _ignore_stops()
        except Stopped as stopped:
            status = -stopped.signum
        except SystemExit as error:
            # The code raised it; in a worker the interpreter handles it.
            if task_id() is not None:
                raise
            status = _status_of(error)
        except KeyboardInterrupt:
            status = -signal.SIGINT
        except BaseException:
            if task_id() is None:
                self._leader.tell(_BROKEN)
            raise
        if task_id() is None:
            _ignore_stops()
            self._leader.tell(status)
        if status < 0:
            die_by(-status)
        return status

    def _serve(self) -> int:
        log.silence()
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self._send("hello", version=VERSION, pid=os.getpid())
            start, rest = self._receive_start()
            if start is None:
                return 0
            self._body = body = Body(
                start.body[: start.number("source")].decode(),
                start.text("filename"),
                start.number("first_line"),
                start.number("fork_line"),
            )
            body.enter({**_unpacked(start), "task_id": task_id, "fork_processes": task_id})
        except Exception as error:
            print(f"ipyproc helper: {type(error).__name__}: {error}", file=sys.stderr)
            return _MISUSED
        status = body.set_up()
        if status:
            return status
        return self._fork(start.number("workers"), start.number("max_restarts"), rest)

    def _fork(self, workers: int, max_restarts: int, rest: list[Message]) -> int:
        self._supervisor = supervisor = Supervisor(
            workers, max_restarts, on_event=self._report, before_fork=self._prepare
        )
        supervisor.add_reader(self._commands, self._read_commands)
        supervisor.add_reader(self._leader.fd, partial(self._kernel_gone, self._leader.fd))
        if self._kernel is not None:
            supervisor.add_reader(self._kernel, partial(self._kernel_gone, self._kernel))
        for message in rest:
            self._carry_out(message)
        try:
            number = supervisor.run()
        except (OSError, RuntimeError) as error:
            if not self._status:
                print(f"ipyproc helper: the workers could not be forked: {error}", file=sys.stderr)
            return self._status or 1
        if number is None:
            return self._status
        return self._work(number)

    # In the helper

    def _receive_start(self) -> tuple[Message | None, list[Message]]:
        """Return the first message and those that came with it; None for the first if the kernel is gone."""
        while data := os.read(self._commands, _CHUNK):
            messages = list(self._decoder.feed(data))
            if messages:
                check_version(messages[0], "start")
                return messages[0], messages[1:]
        return None, []

    def _read_commands(self) -> None:
        data = os.read(self._commands, _CHUNK)
        if not data:
            self._kernel_gone(self._commands)
            return
        try:
            for message in self._decoder.feed(data):
                self._carry_out(message)
        except ValueError as error:
            print(f"ipyproc helper: {type(error).__name__}: {error}", file=sys.stderr)
            self._status = _MISUSED
            self._kernel_gone(self._commands)

    def _carry_out(self, message: Message) -> None:
        supervisor = self._supervisor
        assert supervisor is not None
        if message.kind == "stop":
            supervisor.stop(message.number("signum"))
        elif message.kind == "signal":
            task, signum = message.number("task"), message.number("signum")
            for number in list(self._pipes) if task == _EVERY_WORKER else [task]:
                supervisor.send_signal(number, signum)
        elif message.kind == "restart":
            supervisor.restart(message.number("task"), message.number("signum"))
        elif message.kind == "go":
            waiting, self._waiting = self._waiting, set()
            os.write(self._gate_end, bytes(len(waiting)))
        else:
            raise ValueError(f"{message!r} is not a command of the kernel.")

    def _kernel_gone(self, fd: int) -> None:
        supervisor = self._supervisor
        assert supervisor is not None
        supervisor.remove_reader(fd)
        supervisor.stop(signal.SIGTERM)

    def _prepare(self, number: int) -> None:
        """Make the pipes of a worker that is about to be forked."""
        assert self._supervisor is not None
        before = self._pipes.get(number)
        if before is not None:
            # Pass on all output of the process before, ahead of its successor's.
            before.drain()
        self._close_workers_ends()
        self._waiting.discard(number)
        remove = self._supervisor.remove_reader
        self._pipes[number] = pipes = WorkerPipes(number, self._send_output, self._forward, remove)
        # A process that a worker started may outlive it and hold its pipes open.
        self._open = [pipes, *filter(None, self._open)]
        for fd, read in pipes.readers():
            self._supervisor.add_reader(fd, read)

    def _send_output(self, number: int, stream: str, data: bytes) -> None:
        self._send("output", data, task=number, stream=stream)

    def _forward(self, message: Message) -> None:
        if message.kind == "ready":
            self._waiting.add(message.number("task"))
        self._send(message.kind, message.body, **message.fields)

    def _report(self, event: Event) -> None:
        self._close_workers_ends()
        if isinstance(event, Started):
            self._pipes[event.task_id].pid = event.pid
            self._send("started", task=event.task_id, pid=event.pid, at=time.monotonic())
        elif isinstance(event, Exited):
            self._waiting.discard(event.task_id)
            pipes = self._pipes[event.task_id]
            # The pipes may be a successor's already; they are drained at its own exit.
            if pipes.pid == event.pid:
                pipes.drain()
            status = event.returncode
            self._send("exited", task=event.task_id, pid=event.pid, status=status, at=time.monotonic())
        elif isinstance(event, Restarting):
            self._send("restarting", task=event.task_id, restarts=event.restarts)
        elif isinstance(event, GaveUp):
            self._status = 1
            self._send("gave-up", max_restarts=event.max_restarts)

    def _close_workers_ends(self) -> None:
        for pipes in self._open:
            pipes.close_workers_ends()

    def _send(self, kind: str, body: bytes = b"", **fields: Value) -> None:
        data = encode(kind, body, **fields)
        try:
            # The write blocks while the kernel does not read, so that output waits in the workers' pipes.
            while data:
                data = data[os.write(self._events, data) :]
        except BrokenPipeError:
            if self._supervisor is not None:
                self._supervisor.stop(signal.SIGTERM)

    # In a worker

    def _work(self, number: int) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        up = self._pipes[number].redirect_output()
        for pipes in self._open:
            pipes.close()
        for fd in (self._commands, self._events, self._gate_end, self._kernel):
            if fd is not None:
                os.close(fd)
        self._leader.close()
        for stream in (sys.stdout, sys.stderr):
            # Line buffering, as on a terminal, keeps the lines of several workers apart.
            stream.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
        channel = Channel(number, up, self._gate)
        assert self._body is not None
        self._body.enter({"barrier": channel.barrier, "measure": channel.measure})
        return self._body.work()


def _unpacked(start: Message) -> dict[str, object]:
    """Set ``sys.path`` to the kernel's, and return the variables that came with ``start``."""
    source, path = start.number("source"), start.number("path")
    sys.path[:] = start.body[source : source + path].decode("utf-8", "surrogateescape").split("\0")
    pickled = start.body[source + path :]
    if not pickled:
        return {}
    import pickle

    try:
        variables: dict[str, object] = pickle.loads(pickled)
    except Exception as error:
        raise ValueError(
            f"the pushed variables could not be unpickled ({error!r}); make them in the cell."
        ) from None
    return variables


def _stop(signum: int, _frame: object) -> None:
    raise Stopped(signum)


def _ignore_stops() -> None:
    """Ignore SIGINT and SIGTERM: the helper ends now, and an exception would only be printed."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        try:
            signal.signal(signum, signal.SIG_IGN)
        except (KeyboardInterrupt, Stopped):
            # The signal came during the call, which may or may not have replaced the handler.
            signal.signal(signum, signal.SIG_IGN)


def _status_of(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1
