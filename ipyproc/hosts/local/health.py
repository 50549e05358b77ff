"""Health checks of a process: by a command, by a limit on silence, by a limit on memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from ipyproc.hosts.local.driver import Driver, Timer
from ipyproc.hosts.local.errand import run_errand
from ipyproc.hosts.local.usage import sample
from ipyproc.model.spec import JobSpec
from ipyproc.spool.output import Output

if TYPE_CHECKING:
    from ipyproc.hosts.local.resources import Resources
    from ipyproc.process.platform.sessions import Member

__all__ = ["Health"]

log = logging.getLogger("ipyproc")

_MEMORY_SECONDS = 1.0


class Health:
    """The health checks of one process. Call its methods where the loop is driven, with the job's lock held.

    Args:
        spec: the spec of the job, which names the checks.
        resources: the resources of the host.
        driver: the driver of the job's loop.
        lock: the lock of the job.
        output: the output of the job.
        unwell: called with the reason, where the loop is driven, if a check fails.
    """

    def __init__(
        self,
        spec: JobSpec,
        resources: Resources,
        driver: Driver,
        lock: AbstractContextManager[object],
        output: Output,
        unwell: Callable[[str], None],
    ) -> None:
        self._spec = spec
        self._resources = resources
        self._driver = driver
        self._lock = lock
        self._output = output
        self._unwell = unwell
        self._timers: dict[str, Timer] = {}
        self._turn = 0

    def begin(self, sid: int) -> None:
        """Begin to check a process that has been started and leads the session ``sid``."""
        self._turn += 1
        if self._spec.silence is not None:
            self._look_for_output(self._output.end)
        if self._spec.max_memory is not None:
            self._later("memory", _MEMORY_SECONDS, lambda: self._measure(sid))
        if self._spec.alive is not None:
            self._later("alive", self._spec.alive_every, self._ask)

    def end(self) -> None:
        """End the checks, since the process has ended."""
        self._turn += 1
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _look_for_output(self, before: int) -> None:
        assert self._spec.silence is not None

        def look() -> None:
            if self._output.end == before:
                self._unwell(f"it was silent for {self._spec.silence:g} s, and was ended")
            else:
                self._look_for_output(self._output.end)

        self._later("silence", self._spec.silence, look)

    def _measure(self, sid: int) -> None:
        turn = self._turn

        def answer(_members: list[Member]) -> None:
            rss = sample([sid])[sid].rss
            self._driver.soon(lambda: self._settled(turn, lambda: take(rss)))

        def take(rss: int) -> None:
            most = self._spec.max_memory
            assert most is not None
            if rss > most:
                self._unwell(f"it used {rss:,} bytes of memory, more than {most:,}, and was ended")
            else:
                self._later("memory", _MEMORY_SECONDS, lambda: self._measure(sid))

        self._resources.census.ask(sid, answer)

    def _ask(self) -> None:
        """Run the ``alive`` command in a thread that waits for it."""
        turn = self._turn

        def run() -> None:
            answer = self._answer()
            self._driver.soon(lambda: self._settled(turn, lambda: take(answer)))

        def take(answer: str) -> None:
            if answer:
                self._unwell(f"{self._spec.alive!r} {answer}, and it was ended")
            else:
                self._later("alive", self._spec.alive_every, self._ask)

        threading.Thread(target=run, name="ipyproc alive", daemon=True).start()

    def _answer(self) -> str:
        """Run the command and wait for it; return what is wrong, or an empty string."""
        assert self._spec.alive is not None
        spec = replace(self._spec, command=self._spec.alive, tty=False)
        try:
            status = run_errand(spec, self._resources, self._driver.io_loop, self._spec.alive_every)
        except OSError as error:
            # A check that could not run says nothing of the job: try again the next time.
            log.warning("The alive command of job %r could not be started: %s", spec.name, error)
            return ""
        if status is None:
            return f"did not answer within {self._spec.alive_every:g} s"
        return f"exited with {status}" if status else ""

    def _settled(self, turn: int, work: Callable[[], None]) -> None:
        with self._lock:
            if turn == self._turn:
                work()

    def _later(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        turn = self._turn
        self._timers[name] = self._driver.later(seconds, lambda: self._settled(turn, work))
