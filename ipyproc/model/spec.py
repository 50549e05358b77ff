"""What a job runs, and how: frozen data, checked on creation."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from signal import SIGINT, valid_signals

from ipyproc.errors import JobSpecError
from ipyproc.model.input import Input
from ipyproc.model.limits import Limits
from ipyproc.model.shell import ShellChoice
from ipyproc.model.text import need_encodable, need_encoding

__all__ = [
    "DEFAULT_COLUMNS",
    "DEFAULT_MAX_OUTPUT",
    "DEFAULT_ROWS",
    "Endpoint",
    "JobSpec",
    "bytes_of",
    "command_of",
    "is_number",
    "need_seconds",
    "need_signal",
    "need_size",
    "parse_ready",
]

# Cached, since `valid_signals` takes as long as all other checks of a spec together.
_SIGNALS = frozenset(map(int, valid_signals()))

DEFAULT_MAX_OUTPUT = 1 << 30
"""The bytes of output that a job keeps by default; past it the oldest are dropped."""

DEFAULT_ROWS = 24
"""The rows of a job's terminal by default."""

DEFAULT_COLUMNS = 100
"""The columns of a job's terminal by default."""

_MOST_CELLS = 0xFFFF


@dataclass(frozen=True)
class Endpoint:
    """A TCP address on which a job is to listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job runs, and how.

    Attributes:
        command: a string for the shell, or a program and its arguments, which is executed directly.
        name: its name in the table.
        cwd: its working directory; None for the kernel's.
        env: variables added to the kernel's environment; None removes one.
        stdin: the bytes for its standard input, which is then closed; None leaves it open for `Job.send`.
        timeout: the seconds after which it is stopped; None for never.
        restart: "no", "on-failure" or "always".
        max_restarts: the number of restarts allowed in a row, without a healthy process between.
        ready: a pattern in its output, or an endpoint on which it listens; None if it is ready at once.
        max_output: the bytes of output to keep.
        quiet: whether its cell shows nothing of it.
        backoff: the seconds before the first restart.
        factor: the ratio of each further delay to the one before.
        cap: the largest delay in seconds.
        healthy: the seconds of uptime after which earlier restarts no longer count.
        stop_signal: the first signal of a stop.
        alive: a command that is run every ``alive_every`` seconds; if it fails, or does not end within that
            time, the process is ended as a failure.
        alive_every: the seconds between two runs of ``alive``.
        silence: the seconds without output after which the process is ended as a failure.
        max_memory: the bytes of resident memory of its session past which it is ended as a failure.
        shell: the shell for a string command.
        clean_env: whether its environment starts empty, rather than as the kernel's.
        kernel_path: whether the directory of the kernel's Python comes first in its PATH.
        limits: its user and its limits.
        encoding: the encoding of its output and input.
        tty: whether it runs on a pseudo-terminal, which is its controlling terminal, its standard output and
            its standard error, and its standard input too unless ``stdin`` is given. Its output is then one
            stream, "stdout".
        rows: the rows of that terminal.
        columns: the columns of that terminal.
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
    tty: bool = False
    rows: int = DEFAULT_ROWS
    columns: int = DEFAULT_COLUMNS

    def __post_init__(self) -> None:
        if not self.command or (isinstance(self.command, str) and not self.command.strip()):
            raise JobSpecError("The command is empty; give a program to run, such as 'ls -la'.")
        for word in (self.command,) if isinstance(self.command, str) else self.command:
            need_encodable("The command", word)
        if self.shell.is_given and not isinstance(self.command, str):
            raise JobSpecError(
                f"A shell was given, but the command {list(self.command)!r} is a list, "
                "which runs without one; give a string."
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
                f"max_restarts is {self.max_restarts!r}, which is not a number of restarts; give 0 or more."
            )
        if not isinstance(self.max_output, int) or self.max_output < 1:
            raise JobSpecError(
                f"max_output is {self.max_output!r}, which is not a number of bytes; give one such as 10**9."
            )
        if self.ready is not None and not _is_sign(self.ready):
            raise JobSpecError(
                f"The readiness {self.ready!r} is neither a string nor a string pattern; "
                "give a regular expression, or the host:port on which the job listens."
            )
        need_signal(self.stop_signal)
        for what, seconds in (("silence", self.silence), ("alive_every", self.alive_every)):
            if seconds is not None and not (is_number(seconds) and seconds > 0):
                raise JobSpecError(
                    f"The value of {what} is {seconds!r}; give a number of seconds above 0, such as 30."
                )
        need_size(self.rows, self.columns)
        if self.max_memory is not None and self.max_memory < 1:
            raise JobSpecError(
                f"max_memory is {self.max_memory!r}; give a number of bytes, or one such as '2G'."
            )

    def renamed(self, name: str) -> JobSpec:
        """Return it under another name; its other values are not checked again."""
        copy = object.__new__(type(self))
        for value in fields(self):
            object.__setattr__(copy, value.name, getattr(self, value.name))
        object.__setattr__(copy, "name", name)
        return copy

    @property
    def is_watched(self) -> bool:
        """True if it has a health check: `alive`, `silence` or `max_memory`."""
        return any(sign is not None for sign in (self.alive, self.silence, self.max_memory))

    @property
    def reads_terminal(self) -> bool:
        """True if its standard input is its terminal."""
        return self.tty and self.stdin is None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of its processes."""
        return () if self.stdin is None else (self.stdin,)

    @property
    def shown_command(self) -> str:
        """The first line of the command, with the program's name instead of its path, for people."""
        command = self.command if isinstance(self.command, str) else shlex.join(self.command)
        first, *more = command.strip().split("\n")
        program, space, rest = first.partition(" ")
        if program.startswith("/") and (name := os.path.basename(program)):
            first = name + space + rest
        return first + (" …" if more else "")


def parse_ready(ready: str) -> re.Pattern[str] | Endpoint:
    """Parse the readiness of a job: ``host:port``, or else a regular expression.

    Raises:
        JobSpecError: it is neither, or the host or the port is invalid.
    """
    if not ready:
        raise JobSpecError(
            "The readiness is empty; give a regular expression, or the host:port on which the job listens."
        )
    if match := re.fullmatch(r"([\w.-]*|\[[0-9a-fA-F:]+\]):(\d{1,5})", ready):
        host, port = match[1].strip("[]") or "127.0.0.1", int(match[2])
        if not 0 < port < 65536:
            raise JobSpecError(
                f"The port {port} in {ready!r} is invalid; give one from 1 to 65535, as in localhost:8000."
            )
        try:
            host.encode("idna")
        except UnicodeError:
            raise JobSpecError(
                f"The host {host!r} in {ready!r} is not a host name; give one as in localhost:8000."
            ) from None
        return Endpoint(host, port)
    try:
        # Output is searched by lines, so ^ and $ match at the ends of each line.
        return re.compile(ready, re.MULTILINE)
    except re.error as error:
        raise JobSpecError(
            f"The readiness {ready!r} is not a regular expression ({error}); "
            "give one, or the host:port on which the job listens."
        ) from None


def command_of(command: str | Sequence[str]) -> str | tuple[str, ...]:
    """Return a command as a spec holds it.

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
    """Check that ``value`` is None or a number of seconds of 0 or more.

    Raises:
        JobSpecError: it is not.
    """
    if value is not None and not (is_number(value) and value >= 0):
        raise JobSpecError(f"The {what} {value!r} is not a number of seconds; give one such as 2.5.")


def need_size(rows: int, columns: int) -> None:
    """Check that a terminal may have this size.

    Raises:
        JobSpecError: it may not.
    """
    for what, size in (("rows", rows), ("columns", columns)):
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= _MOST_CELLS:
            raise JobSpecError(
                f"The number of {what} {size!r} is not one of a terminal; give one such as 80."
            )


def need_signal(signum: int) -> None:
    """Check that ``signum`` is the number of a signal.

    Raises:
        JobSpecError: it is not.
    """
    if not isinstance(signum, int) or signum not in _SIGNALS:
        raise JobSpecError(f"{signum!r} is not a signal number; give one such as signal.SIGTERM.")


def bytes_of(what: str, size: int | str | None) -> int | None:
    """Return a size in bytes, given as a number, or as a string such as ``2G``, ``500MB`` or ``64k``.

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
    """Return True if ``value`` is an int or a float, not a bool, and fits in a float."""
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
