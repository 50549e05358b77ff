"""The readiness of a job: by a pattern in its output, or by an address on which it listens."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ipyproc.hosts.local.census import Census
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.listening import listens
from ipyproc.model.spec import Endpoint
from ipyproc.process.platform.sessions import Member
from ipyproc.spool.output import Output, StreamName
from ipyproc.spool.search import LineSearch

__all__ = ["AT_ONCE", "AtOnce", "Readiness"]

_FIRST_TRY = 0.02
_SLOWEST_TRY = 0.5
_CHUNK = 256 << 10


class AtOnce:
    """The readiness of jobs whose spec names none: they are ready at once."""

    __slots__ = ()
    ready = True
    wants_output = False
    look_queued = False

    def begin(self, driver: Driver, sid: int, offset: int) -> None:
        """Do nothing, as the other methods."""

    def end(self) -> None:
        """Do nothing."""

    def look(self) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


AT_ONCE = AtOnce()

_NO_SEARCHES: dict[StreamName, LineSearch] = {}


class Readiness:
    """Detect that a job is ready. Call its methods where the loop is driven, with the job's lock held.

    Args:
        sign: a pattern for the output, or an endpoint on which the job listens.
        output: the output of the job.
        census: lists the processes of the job.
        on_ready: called once when the job becomes ready.
    """

    __slots__ = (
        "_census",
        "_on_ready",
        "_output",
        "_position",
        "_searches",
        "_sign",
        "_turn",
        "look_queued",
        "ready",
    )

    def __init__(
        self,
        sign: re.Pattern[str] | Endpoint,
        output: Output,
        census: Census,
        on_ready: Callable[[], None],
    ) -> None:
        self.ready = False
        self.look_queued = False
        self._sign = sign
        self._on_ready = on_ready
        self._output = output
        self._position = 0
        # One per stream, since half a line on one is not completed by the other.
        self._searches: Mapping[StreamName, LineSearch] = _NO_SEARCHES
        if isinstance(sign, re.Pattern):
            self._searches = {
                "stdout": LineSearch(sign, output.encoding),
                "stderr": LineSearch(sign, output.encoding),
            }
        self._census = census
        self._turn = 0

    @property
    def wants_output(self) -> bool:
        """True while new output must be passed to `look`."""
        return not self.ready and bool(self._searches)

    def begin(self, driver: Driver, sid: int, offset: int) -> None:
        """Begin to check a process that has been started.

        Args:
            driver: the driver of the job's loop.
            sid: the session of the process.
            offset: the offset at which its output begins; some of it may have been read by now.
        """
        self.ready = False
        self._position = offset
        self._reset()
        self._turn += 1
        if isinstance(self._sign, Endpoint):
            self._look_for_listener(driver, sid, self._sign, self._turn, _FIRST_TRY)
        elif self._output.end > offset:
            driver.call(self.look)

    def end(self) -> None:
        """Stop checking, since the process has ended."""
        self._turn += 1

    def look(self) -> None:
        """Search the output that came since the last call."""
        output = self._output
        while self.wants_output and self._position < output.end:
            start = max(self._position, output.start)
            self._position = min(output.end, start + _CHUNK)
            for name, first, last in output.runs(start, self._position):
                if self._searches[name].feed(output.read(first, last)):
                    self._found()
                    return

    def finish(self) -> None:
        """Search the rest of the output, of which the last line counts though it has no line end."""
        self.look()
        if self.wants_output and any(search.end() for search in self._searches.values()):
            self._found()

    def _found(self) -> None:
        self.ready = True
        self._reset()
        self._on_ready()

    def _reset(self) -> None:
        for search in self._searches.values():
            search.reset()

    def _look_for_listener(
        self, driver: Driver, sid: int, endpoint: Endpoint, turn: int, pause: float
    ) -> None:
        def look(members: list[Member]) -> None:
            found = listens(endpoint, members)
            driver.soon(lambda: take(found))

        def take(found: bool) -> None:
            if turn != self._turn:
                return
            if found:
                self._found()
            else:
                self._look_for_listener(driver, sid, endpoint, turn, min(pause * 1.5, _SLOWEST_TRY))

        self._census.ask(sid, look, pause)
