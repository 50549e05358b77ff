"""Driving jobs while a cell holds the loop."""

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
    """Who shows what jobs write, and does so in any thread."""

    def flush_due(self) -> float:
        """Show what is due; return when the next is, on the monotonic clock."""

    def tick(self) -> None:
        """Show what is due, on the loop."""


class StandIn:
    """The thread that drives jobs in the loop's stead while a cell holds the loop.

    It sleeps until a pipe has something to read, a timer is due, or there is work for the loop. When the
    loop has not come round 100 ms after that, it does all that the loop would until the loop is back: it
    reads and publishes, sees exits, restarts, times out, stops, writes input. A child that writes to a
    full pipe stalls, and a cell that waits for that child would wait for ever.

    Args:
        driver: of the loop.
        pipes: of the table.
        publisher: shows what was read.
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
        """Start the thread, when it does not run yet."""
        if self._thread is None:
            self._pipes.open()
            self._driver.on_work = self.poke
            self._thread = threading.Thread(target=self._watch, name="ipyproc stand-in", daemon=True)
            self._thread.start()

    def poke(self) -> None:
        """Wake it: there is work for the loop, or an earlier timer. In any thread."""
        if self._asleep:
            self._asleep = False
            self._pipes.wake()

    def on_started(self, job: object) -> None:
        """Show at once what a new job has written by the time that its status stands in its cell."""
        if self._idle:
            # It may exit without a word, which is looked for as long as a process runs.
            self.poke()
        self._begin(self._pipes.take_new())

    def on_event(self, job: object, event: Event) -> None:
        """Do nothing: what is written is told by the pipes."""

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
                # The next output is another try; without this a held loop would stall every job.
                log.exception("The stand-in failed.")
            # A pipe that floods is looked at ten times a second, not at every byte.
            self._closing.wait(max(0.0, _HELD_SECONDS - (time.monotonic() - began)))
            self._rearm(ends)

    def _sleep(self) -> list[ReadingEnd]:
        self._asleep = True
        due = self._driver.next_due()
        alive = [run for run in self._driver.runs() if run.status is None]
        if alive:
            # One that has closed its pipes exits without a word, as one takes its input; and one that has
            # left them to another process exits so too, which is rare.
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
        """Show a job's very first output, which often comes before the cell that started it is over."""
        first = [end for end in ends if end.reads == 0 and end.read()]
        if first:
            self._publisher.flush_due()

    def _stand_in(self, back: threading.Event) -> None:
        """Do all that the loop would until the loop is back."""
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
