"""Whether a job is ready: by a pattern in its output, or by an address at which it listens."""

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
    """The readiness of all jobs that have no sign of it."""

    __slots__ = ()
    ready = True
    wants_output = False
    look_queued = False

    def begin(self, driver: Driver, sid: int, offset: int) -> None:
        """Do nothing, as the other methods: it is ready."""

    def end(self) -> None:
        """Do nothing."""

    def look(self) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


AT_ONCE = AtOnce()

_NO_SEARCHES: dict[StreamName, LineSearch] = {}


class Readiness:
    """Looks out for the sign that a job is ready; where the job's loop is driven, under the job's lock.

    Args:
        sign: a pattern in the output, or an endpoint at which the job listens.
        output: the job's output.
        census: looks who listens.
        on_ready: called when the sign is there.
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
        # One a stream: half a line on one is not finished by the other.
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
        """Whether new output should be looked at."""
        return not self.ready and bool(self._searches)

    def begin(self, driver: Driver, sid: int, offset: int) -> None:
        """Look out for the sign of a process that has been started.

        Args:
            driver: of the loop on which it is looked after.
            sid: its session.
            offset: where its output begins; some of it may have been read by now.
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
        """Look no more: the process has ended."""
        self._turn += 1

    def look(self) -> None:
        """Look at the output that came since the last look."""
        output = self._output
        while self.wants_output and self._position < output.end:
            start = max(self._position, output.start)
            self._position = min(output.end, start + _CHUNK)
            for name, first, last in output.runs(start, self._position):
                if self._searches[name].feed(output.read(first, last)):
                    self._found()
                    return

    def finish(self) -> None:
        """Look once more: no more output comes, so that what has no line end counts as a line."""
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
