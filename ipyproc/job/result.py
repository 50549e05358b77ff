"""How a job ended, with its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ipyproc.spool.output import Output

__all__ = ["Result"]


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
