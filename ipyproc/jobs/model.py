"""What a job is: its spec, states, exits, events and snapshot. Frozen data, no I/O."""

from __future__ import annotations

import enum
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from signal import SIGINT, valid_signals
from typing import TYPE_CHECKING

from ipyproc.errors import JobSpecError, signal_name
from ipyproc.jobs.input import Input
from ipyproc.jobs.limits import Limits
from ipyproc.jobs.shell import ShellChoice
from ipyproc.jobs.text import native, need_encodable, need_encoding

if TYPE_CHECKING:
    from ipyproc.jobs.output import Output

__all__ = [
    "DEFAULT_MAX_OUTPUT",
    "Endpoint",
    "Event",
    "EventKind",
    "Exit",
    "JobSpec",
    "JobState",
    "Result",
    "Snapshot",
    "bytes_of",
    "command_of",
    "describe_status",
    "is_number",
    "need_seconds",
    "need_signal",
    "parse_ready",
]

# The system is asked once: for each job it would take as long as all else that is looked at.
_SIGNALS = frozenset(map(int, valid_signals()))

DEFAULT_MAX_OUTPUT = 1 << 30
"""Bytes of output that a job keeps by default; past it the oldest go."""


class JobState(str, enum.Enum):
    """Where a job is in its life."""

    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "waiting to restart"
    EXITED = "exited"
    GAVE_UP = "gave up"

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.EXITED, JobState.GAVE_UP)


class EventKind(str, enum.Enum):
    """What happened to a job."""

    STARTED = "started"
    READY = "ready"
    WROTE = "wrote"
    EXITED = "exited"
    RESTARTING = "restarting"
    GAVE_UP = "gave up"
    STOPPING = "stopping"
    AWAITED = "awaited"
    LEFT = "left running"
    RELEASED = "released"
    MEASURED = "measured"
    DONE = "done"


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    Attributes:
        kind: what.
        at: when, in seconds since the epoch.
        detail: for people, such as the signal that was sent; may be empty.
        worker: the number of the worker of a group to which it happened; None for the job itself.
    """

    kind: EventKind
    at: float
    detail: str = ""
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How one process of a job ended.

    Attributes:
        pid: its process id.
        status: the exit status, negative for a signal.
        started: when it was started, in seconds since the epoch.
        ended: when its exit was seen, likewise.
    """

    pid: int
    status: int
    started: float
    ended: float


@dataclass(frozen=True)
class Endpoint:
    """A TCP address at which a job is to accept connections."""

    host: str
    port: int


@dataclass(frozen=True)
class JobSpec:
    """What a job runs, and how.

    Attributes:
        command: a string for the shell, or the arguments of a program, executed as they are.
        name: its name in the table.
        cwd: its working directory; None for the kernel's.
        env: variables added to the kernel's environment; None removes one.
        stdin: what is written to its standard input, which is closed after it; None leaves it open
            for `Job.send`.
        timeout: seconds after which it is stopped; None for never.
        restart: "no", "on-failure" or "always".
        max_restarts: how many restarts, without a healthy while between, until it gives up.
        ready: a pattern in its output, or an endpoint that accepts; None when it is ready at once.
        max_output: bytes of output that are kept.
        quiet: whether its cell shows nothing of it.
        backoff: seconds before the first restart.
        factor: what each further delay is, in the one before.
        cap: seconds that no delay exceeds.
        healthy: seconds of uptime after which the restarts before are forgiven.
        stop_signal: the first signal of a stop.
        alive: a command that is run every ``alive_every`` seconds; when it fails, or does not answer in
            that time, the process is ended as a failure.
        alive_every: seconds.
        silence: seconds without output after which the process is ended as a failure.
        max_memory: bytes of resident memory, over its session, past which it is ended as a failure.
        shell: the shell for a string.
        clean_env: whether its environment has nothing of the kernel's.
        kernel_path: whether the kernel's own Python comes first in its PATH.
        limits: as whom, and within which limits, it runs.
        encoding: what its bytes are as text.
    """

    command: str | tuple[str, ...]
    name: str
    cwd: str | None = None
    env: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    stdin: Input | None = None
    timeout: float | None = None
    restart: str = "no"
    max_restarts: int = 10
    ready: re.Pattern[str] | Endpoint | None = None
    max_output: int = DEFAULT_MAX_OUTPUT
    quiet: bool = False
    backoff: float = 0.25
    factor: float = 2.0
    cap: float = 30.0
    healthy: float = 10.0
    stop_signal: int = SIGINT
    alive: str | None = None
    alive_every: float = 10.0
    silence: float | None = None
    max_memory: int | None = None
    shell: ShellChoice = field(default_factory=ShellChoice)
    clean_env: bool = False
    kernel_path: bool = True
    limits: Limits = field(default_factory=Limits)
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if not self.command or (isinstance(self.command, str) and not self.command.strip()):
            raise JobSpecError("The command is empty; give a program to run, such as 'ls -la'.")
        for word in (self.command,) if isinstance(self.command, str) else self.command:
            need_encodable("The command", word)
        if self.shell.is_given and not isinstance(self.command, str):
            raise JobSpecError(
                f"A shell was asked for, and the command {list(self.command)!r} is a list, which needs none; "
                "give a string."
            )
        need_encoding(self.encoding)
        if self.timeout is not None and not (is_number(self.timeout) and self.timeout > 0):
            raise JobSpecError(
                f"The timeout {self.timeout!r} is not a positive number of seconds; "
                "give one such as 30, or leave it out for none."
            )
        if self.restart not in ("no", "on-failure", "always"):
            raise JobSpecError(
                f"The restart policy {self.restart!r} is unknown; give 'no', 'on-failure' or 'always'."
            )
        if not isinstance(self.max_restarts, int) or not 0 <= self.max_restarts <= sys.maxsize:
            raise JobSpecError(
                f"max_restarts is {self.max_restarts!r}, which is no number of restarts; give 0 or more."
            )
        if not isinstance(self.max_output, int) or self.max_output < 1:
            raise JobSpecError(
                f"max_output is {self.max_output!r}, which is no number of bytes; give one such as 10**9."
            )
        if self.ready is not None and not _is_sign(self.ready):
            raise JobSpecError(
                f"The readiness {self.ready!r} is neither a text nor a pattern of text; "
                "give a regular expression, or a host:port that is to accept connections."
            )
        need_signal(self.stop_signal)
        for what, seconds in (("silence", self.silence), ("alive_every", self.alive_every)):
            if seconds is not None and not (is_number(seconds) and seconds > 0):
                raise JobSpecError(
                    f"The value of {what} is {seconds!r}; give a number of seconds above 0, such as 30."
                )
        if self.max_memory is not None and self.max_memory < 1:
            raise JobSpecError(
                f"max_memory is {self.max_memory!r}; give a number of bytes, or one such as '2G'."
            )
        cwd = None if self.cwd is None else native(self.cwd)
        if cwd is not None and not os.path.isdir(cwd):
            why = "is not a directory" if os.path.exists(cwd) else "does not exist"
            raise JobSpecError(f"The working directory {self.cwd!r} {why}; create it, or give another.")
        if cwd is not None and not os.access(cwd, os.X_OK):
            raise JobSpecError(f"The working directory {self.cwd!r} may not be entered; give another.")

    @property
    def is_watched(self) -> bool:
        """Whether there is something by which a process is known not to be well."""
        return any(sign is not None for sign in (self.alive, self.silence, self.max_memory))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What its processes are given to read."""
        return () if self.stdin is None else (self.stdin,)

    @property
    def shown_command(self) -> str:
        """The command on one line, for people: its first line, and the program without its folder."""
        command = self.command if isinstance(self.command, str) else shlex.join(self.command)
        first, *more = command.strip().split("\n")
        program, space, rest = first.partition(" ")
        if program.startswith("/") and (name := os.path.basename(program)):
            first = name + space + rest
        return first + (" …" if more else "")


@dataclass(frozen=True)
class Snapshot:
    """An immutable picture of a job at one moment; all that a view is given.

    Attributes:
        name: its name in the table.
        command: its command on one line.
        state: where it is in its life.
        pid: of its current or last process.
        elapsed: seconds since it was started, until its end.
        uptime: seconds since its current process was started; None when there is none.
        returncode: the exit status of its last process; None while one runs.
        exits: how its processes ended, the last ones.
        restarts: how often it was restarted.
        max_restarts: how many restarts it may have; None when it has no restart policy.
        ready: whether it is ready; None when it has nothing to be ready for.
        size: bytes of output that arrived.
        dropped: bytes that went because of ``max_output``.
        lost: bytes that could not be kept, such as for a full disk.
        last_line: the last line of its output.
        notes: what else there is to say, a sentence each.
        ended_by: the signal of ours that ended it, such as ``SIGINT``; None when it ended by itself.
        left_running: how many processes it has left running, once it has ended.
        ends_with_kernel: whether the kernel's end is about to end it.
    """

    name: str
    command: str
    state: JobState
    pid: int
    elapsed: float
    uptime: float | None
    returncode: int | None
    exits: tuple[Exit, ...]
    restarts: int
    max_restarts: int | None
    ready: bool | None
    size: int
    dropped: int
    lost: int
    last_line: str
    notes: tuple[str, ...]
    ended_by: str | None = None
    left_running: int = 0
    ends_with_kernel: bool = False


def at_kernels_end(snapshot: Snapshot) -> Snapshot:
    """Return the picture of a job that the kernel's end is about to end; of another, what was given."""
    return snapshot if snapshot.state.done else replace(snapshot, ends_with_kernel=True)


class _MadeOnce:
    """A text that is made when it is first asked for, and kept.

    As `functools.cached_property`, but for the lock that has in Python before 3.12: a fork of the process
    would wait for ever for a thread that held it.
    """

    def __init__(self, make: Callable[[Result], str]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, result: Result | None, owner: type) -> str:
        if result is None:
            return self  # type: ignore[return-value]
        text = result.__dict__[self._name] = self._make(result)
        return text


@dataclass(frozen=True)
class Result:
    """How a job ended.

    Its output can be read as long as somebody has the result, or the job, though the table has forgotten the
    oldest ended jobs by then; after `JobTable.forget` only what was read before it.

    Attributes:
        returncode: the exit status, negative for a signal.
        elapsed: seconds from its start to its end.
        ended_by: the signal of ours that ended it, such as ``SIGTERM``; None when it ended by itself.
        timed_out: whether its timeout stopped it.
        notes: what else there is to say, a sentence each.
    """

    returncode: int
    elapsed: float
    ended_by: str | None
    timed_out: bool
    notes: tuple[str, ...]
    _output: Output = field(repr=False, compare=False)

    @_MadeOnce
    def output(self) -> str:
        """Everything that was kept of its output, both streams in the order of their arrival."""
        return self._output.text()

    @_MadeOnce
    def stdout(self) -> str:
        """What it wrote to its standard output."""
        return self._output.text("stdout")

    @_MadeOnce
    def stderr(self) -> str:
        """What it wrote to its standard error."""
        return self._output.text("stderr")


def describe_status(status: int) -> str:
    """An exit status for people: ``exit 2``, or the name of the signal."""
    return signal_name(-status) if status < 0 else f"exit {status}"


def parse_ready(ready: str) -> re.Pattern[str] | Endpoint:
    """What a job is to be ready by: ``host:port``, or else a regular expression.

    Raises:
        JobSpecError: it is neither.
    """
    if not ready:
        raise JobSpecError(
            "The readiness is empty; give a regular expression, or a host:port that is to accept connections."
        )
    if match := re.fullmatch(r"([\w.-]*|\[[0-9a-fA-F:]+\]):(\d{1,5})", ready):
        host, port = match[1].strip("[]") or "127.0.0.1", int(match[2])
        if not 0 < port < 65536:
            raise JobSpecError(
                f"The port {port} in {ready!r} cannot be; give one between 1 and 65535, as in localhost:8000."
            )
        try:
            host.encode("idna")
        except UnicodeError:
            raise JobSpecError(
                f"The host {host!r} in {ready!r} is no host's name; give one as in localhost:8000."
            ) from None
        return Endpoint(host, port)
    try:
        # Output is lines: ^ and $ are to stand for the ends of each, not of all that was written.
        return re.compile(ready, re.MULTILINE)
    except re.error as error:
        raise JobSpecError(
            f"The readiness {ready!r} is not a regular expression ({error}); "
            "give one, or a host:port that is to accept connections."
        ) from None


def command_of(command: str | Sequence[str]) -> str | tuple[str, ...]:
    """The command as a spec holds it.

    Raises:
        JobSpecError: it is neither a string nor a sequence of strings and paths.
    """
    if isinstance(command, str):
        return command
    try:
        return tuple(os.fsdecode(part) for part in command)
    except TypeError:
        raise JobSpecError(
            f"The command {command!r} is not a string or a list of strings; give 'ls -la' or ['ls', '-la']."
        ) from None


def need_seconds(what: str, value: float | None) -> None:
    """Sees to it that ``value`` is a time.

    Raises:
        JobSpecError: it is not a number of seconds, of 0 or more.
    """
    if value is not None and not (is_number(value) and value >= 0):
        raise JobSpecError(f"The {what} {value!r} is not a number of seconds; give one such as 2.5.")


def need_signal(signum: int) -> None:
    """Sees to it that ``signum`` is the number of a signal.

    Raises:
        JobSpecError: there is no such signal.
    """
    if not isinstance(signum, int) or signum not in _SIGNALS:
        raise JobSpecError(f"The signal {signum!r} is none; give one such as signal.SIGTERM, or its number.")


def bytes_of(what: str, size: int | str | None) -> int | None:
    """Return a number of bytes that is given as such, or as a text such as ``2G``, ``500MB`` or ``64k``.

    Raises:
        JobSpecError: it is neither.
    """
    if size is None or (isinstance(size, int) and not isinstance(size, bool)):
        return size
    match = (
        re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)i?[bB]?\s*", size) if isinstance(size, str) else None
    )
    if match is None:
        raise JobSpecError(f"{what} is {size!r}; give a number of bytes, or one such as '2G'.")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def is_number(value: object) -> bool:
    """Whether ``value`` is a number with which one can reckon."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_sign(ready: object) -> bool:
    if isinstance(ready, re.Pattern):
        return isinstance(ready.pattern, str)
    return isinstance(ready, Endpoint)
