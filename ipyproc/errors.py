"""The exceptions of ipyproc.

Each derives from `IpyprocError` and from the built-in exception that a caller would catch.
"""

from __future__ import annotations

import subprocess

from ipyproc.safe import SafeText, line
from ipyproc.seen import seen
from ipyproc.signal_names import signal_name

__all__ = [
    "ExpectTimeout",
    "IpyprocError",
    "JobFailed",
    "JobNameError",
    "JobSpecError",
    "JobStateError",
    "JoinTimeout",
    "MissingPackageError",
    "NoLoopError",
    "NotReadyError",
    "OutputEnded",
    "ReadyTimeout",
    "UnknownJobError",
    "UnsatisfiableReadError",
    "WireError",
    "WorkerCodeError",
    "signal_name",
]


class IpyprocError(Exception):
    """The base of every exception that ipyproc raises on purpose.

    ``str`` returns a text that is safe to show: control characters in names and output are removed.
    """

    def __str__(self) -> SafeText:
        return seen(str(self.args[0])) if self.args else SafeText("")


class JobSpecError(IpyprocError, ValueError):
    """An argument of `ipyproc.spawn`, or of another call, is invalid."""


class JobNameError(IpyprocError, ValueError):
    """A running job has the name already."""


class UnknownJobError(IpyprocError, KeyError):
    """No job has this name or pid."""


class JobStateError(IpyprocError, RuntimeError):
    """The job's state does not allow the call, such as a write to a job that has ended."""


class JoinTimeout(IpyprocError, TimeoutError):
    """The job did not end within the timeout."""


class MissingPackageError(IpyprocError, ImportError):
    """The call needs a package that is not installed."""


class ExpectTimeout(IpyprocError, TimeoutError):
    """The job did not write what was expected within the timeout."""


class OutputEnded(IpyprocError, EOFError):
    """The job ended before it wrote what was waited for."""


class UnsatisfiableReadError(IpyprocError, ValueError):
    """The job wrote more than the allowed bytes, and what was waited for is not among them."""


class NoLoopError(IpyprocError, RuntimeError):
    """No event loop runs on which the job could live."""


class NotReadyError(IpyprocError, RuntimeError):
    """The job ended before it was ready."""


class ReadyTimeout(IpyprocError, TimeoutError):
    """The job was not ready within the timeout."""


class WireError(IpyprocError, ValueError):
    """The bytes on the pipe between a kernel and its helper break the protocol."""


class WorkerCodeError(IpyprocError, ValueError):
    """The code for workers is invalid, or a variable could not be sent to them."""


class JobFailed(IpyprocError, subprocess.CalledProcessError):
    """A job ended with a non-zero exit status, or by a signal.

    Attributes:
        returncode: the exit status; negative for the signal that ended it.
        cmd: the command as given.
        output: None; the job keeps its output (`Job.output`).
        detail: the last lines of its stderr, or of its output if stderr was empty.
        note: a remark on how it ended; may be empty.
        shown: the command on one line, for people.
    """

    def __init__(
        self, returncode: int, cmd: str | list[str], detail: str = "", note: str = "", shown: str = ""
    ) -> None:
        super().__init__(returncode, cmd)
        self.detail = detail
        self.note = note
        self.shown = shown

    def __str__(self) -> SafeText:
        code = self.returncode
        how = f"was ended by {signal_name(-code)}" if code < 0 else f"exited with status {code}"
        text = f"Command {self.shown or self.cmd!r} {how}"
        if self.note:
            text += f" ({line(self.note)})"
        return SafeText(f"{text}:\n{seen(self.detail)}" if self.detail else f"{text}.")
