"""The result of a job, with its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ipyproc.spool.output import Output

__all__ = ["Result"]


class _MadeOnce:
    """A property that is computed on first access and cached.

    Unlike `functools.cached_property` before Python 3.12, it has no lock, for which a fork of the process
    could wait for ever.
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
    """The result of a job.

    The output can be read for as long as a reference to the result or to the job exists, even if the table
    has dropped the job. After `JobTable.forget`, only texts that were read before are available.

    Attributes:
        returncode: the exit status, negative for a signal.
        elapsed: the seconds from its start to its end.
        ended_by: the signal of a stop that ended it, such as ``SIGTERM``; None if it ended by itself.
        timed_out: whether its timeout stopped it.
        notes: remarks for people, one sentence each.
    """

    returncode: int
    elapsed: float
    ended_by: str | None
    timed_out: bool
    notes: tuple[str, ...]
    _output: Output = field(repr=False, compare=False)

    @_MadeOnce
    def output(self) -> str:
        """The output, as far as it was kept, both streams in the order of their arrival."""
        return self._output.text()

    @_MadeOnce
    def stdout(self) -> str:
        """The standard output, as far as it was kept."""
        return self._output.text("stdout")

    @_MadeOnce
    def stderr(self) -> str:
        """The standard error, as far as it was kept."""
        return self._output.text("stderr")
