"""Every exception of ipyproc, in one leaf module.

Each derives from `IpyprocError` and from the built-in exception that a caller would catch.
"""

from __future__ import annotations

import subprocess

from ipyproc.safe import SafeText, line
from ipyproc.seen import seen
from ipyproc.signal_names import signal_name

__all__ = [
    "IpyprocError",
    "JobFailed",
    "JobNameError",
    "JobSpecError",
    "JobStateError",
    "JoinTimeout",
    "MissingPackageError",
    "NoLoopError",
    "NotReadyError",
    "ReadyTimeout",
    "UnknownJobError",
    "WireError",
    "WorkerCodeError",
    "signal_name",
]


class IpyprocError(Exception):
    """The base of every exception that ipyproc raises on purpose.

    Its text may be shown: what came from outside and is in it, such as a name, has no control characters.
    """

    def __str__(self) -> SafeText:
        return seen(str(self.args[0])) if self.args else SafeText("")


class JobSpecError(IpyprocError, ValueError):
    """An argument of `ipyproc.spawn` cannot be."""


class JobNameError(IpyprocError, ValueError):
    """The name is that of a job that still runs."""


class UnknownJobError(IpyprocError, KeyError):
    """No job has this name or pid."""


class JobStateError(IpyprocError, RuntimeError):
    """The job's state does not allow what was asked, such as writing to one that has ended."""


class JoinTimeout(IpyprocError, TimeoutError):
    """The job had not ended in time."""


class MissingPackageError(IpyprocError, ImportError):
    """What was asked for needs a package that is not installed."""


class NoLoopError(IpyprocError, RuntimeError):
    """There is no event loop on which the job could live."""


class NotReadyError(IpyprocError, RuntimeError):
    """The job ended before it was ready."""


class ReadyTimeout(IpyprocError, TimeoutError):
    """The job was not ready in time."""


class WireError(IpyprocError, ValueError):
    """What came over the pipe between a kernel and its helper is not what was agreed on."""


class WorkerCodeError(IpyprocError, ValueError):
    """The code for workers, or a variable that is to be sent to them, cannot be."""


class JobFailed(IpyprocError, subprocess.CalledProcessError):
    """A job ended with a non-zero exit status, or by a signal.

    Attributes:
        returncode: the exit status; negative for the signal that ended it.
        cmd: the command as it was given.
        output: None; the job keeps its output (`Job.output`).
        detail: the last lines of its stderr, or of its output where stderr was empty.
        note: what else there is to say of its end; may be empty.
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
