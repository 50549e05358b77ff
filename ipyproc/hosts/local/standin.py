"""Drive jobs while a cell holds the loop."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from ipyproc.process.loops import asyncio_loop

if TYPE_CHECKING:
    from ipyproc.hosts.local.driver import Driver
    from ipyproc.hosts.local.pipes import Pipes, ReadingEnd
    from ipyproc.model.event import Event

__all__ = ["Publisher", "StandIn"]

log = logging.getLogger("ipyproc")

_HELD_SECONDS = 0.1
_QUIET_SECONDS = 1.0
_LONGEST_PAUSE = 0.05
_INPUT_PAUSE = 0.002


class Publisher(Protocol):
    """An object that shows the output of jobs, on any thread."""

    def flush_due(self) -> float:
        """Show what is due; return the time of the next call on the monotonic clock."""

    def tick(self) -> None:
        """Show what is due; called on the loop."""


class StandIn:
    """The thread that drives jobs in place of the loop while a cell holds the loop.

    It sleeps until a pipe is readable, a timer is due, or there is work for the loop. If the loop has run no
    callback 100 ms later, this thread does the loop's work until the loop runs again: it reads and publishes
    output, sees exits, restarts, times out and stops jobs, and writes input. Without it, a child that writes
    to a full pipe would stall, and a cell that waits for that child would never end.

    Args:
        driver: the driver of the loop.
        pipes: the pipes of all jobs.
        publisher: shows the output that was read.
    """

    def __init__(self, driver: Driver, pipes: Pipes, publisher: Publisher) -> None:
        self._driver = driver
        self._pipes = pipes
        self._publisher = publisher
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._asleep = False
        self._idle = False

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is None:
            self._pipes.open()
            self._driver.on_work = self.poke
            self._thread = threading.Thread(target=self._watch, name="ipyproc stand-in", daemon=True)
            self._thread.start()

    def poke(self) -> None:
        """Wake the thread, since there is work for the loop or an earlier timer; any thread may call it."""
        if self._asleep:
            self._asleep = False
            self._pipes.wake()

    def on_started(self, job: object) -> None:
        """Show at once the output that a new job has written so far; called after its status was shown."""
        if self._idle:
            # It may exit without a word, which is looked for as long as a process runs.
            self.poke()
        self._begin(self._pipes.take_new())

    def on_event(self, job: object, event: Event) -> None:
        """Do nothing, since the pipes report output."""

    def cell_ends(self, _result: object = None) -> None:
        """Show the first output of jobs that the cell started, without waiting for the loop."""
        ends = self._pipes.ready()
        self._begin(ends)
        self._rearm(ends)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._driver.on_work = None
        if self._thread is not None:
            self._pipes.wake()
            self._thread.join(timeout=2.0)
            self._thread = None

    def _watch(self) -> None:
        while not self._closing.is_set():
            ends = self._sleep()
            began = time.monotonic()
            try:
                if not self._closing.is_set():
                    self._look_after(ends)
            except Exception:
                # The thread must go on, or a held loop would stall every job.
                log.exception("The stand-in failed.")
            # A flooded pipe is read ten times per second here, not at each byte.
            self._closing.wait(max(0.0, _HELD_SECONDS - (time.monotonic() - began)))
            self._rearm(ends)

    def _sleep(self) -> list[ReadingEnd]:
        self._asleep = True
        due = self._driver.next_due()
        alive = [run for run in self._driver.runs() if run.status is None]
        if alive:
            # No fd reports the exit of a process without pipes, nor that input was read: poll for these. A
            # process may also leave its pipes to another one, which is rare.
            soon = any(run.feeding or not run.piping for run in alive)
            due = min(due, time.monotonic() + (_HELD_SECONDS if soon else _QUIET_SECONDS))
        self._idle = due == float("inf")
        ends = self._pipes.wait(None if self._idle else max(0.0, due - time.monotonic()))
        self._asleep = self._idle = False
        return ends

    def _look_after(self, ends: list[ReadingEnd]) -> None:
        self._begin(ends)
        back = threading.Event()
        self._driver.io_loop.add_callback(back.set)
        if not back.wait(_HELD_SECONDS):
            self._stand_in(back)

    def _begin(self, ends: list[ReadingEnd]) -> None:
        """Show the very first output of jobs, which often comes before the cell that started them ends."""
        first = [end for end in ends if end.reads == 0 and end.read()]
        if first:
            self._publisher.flush_due()

    def _stand_in(self, back: threading.Event) -> None:
        """Do the loop's work until the loop runs again."""
        loop = asyncio_loop(self._driver.io_loop)
        ends = self._pipes.all()
        while not back.is_set() and not self._closing.is_set() and not loop.is_closed():
            for end in ends:
                end.read()
            self._driver.stand_in()
            due = min(self._publisher.flush_due(), self._driver.next_due()) - time.monotonic()
            self._rearm(ends)
            longest = _INPUT_PAUSE if any(run.feeding for run in self._driver.runs()) else _LONGEST_PAUSE
            self._asleep = True
            ends = self._pipes.wait(min(max(due, 0.0), longest))
            self._asleep = False
        self._rearm(ends)
        self._driver.io_loop.add_callback(self._publisher.tick)

    def _rearm(self, ends: list[ReadingEnd]) -> None:
        for end in ends:
            self._pipes.rearm(end)
