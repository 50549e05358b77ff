"""Keeping output flowing while a cell holds the loop."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from ipyproc.process.watch import asyncio_loop

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.jobs.job import Job
    from ipyproc.jobs.model import Event
    from ipyproc.jobs.pump import Pipes, Pump
    from ipyproc.notebook.screen import Screen

__all__ = ["Guard"]

log = logging.getLogger("ipyproc")

_HELD_SECONDS = 0.1
_LONGEST_PAUSE = 0.05


class Guard:
    """The thread that reads and publishes in the loop's stead while a cell holds the loop.

    It sleeps until a pipe has something to read. When the loop has not come round 100 ms after
    that, it reads and publishes itself until the loop is back. A child that writes to a full pipe
    stalls, and a cell that waits for that child would wait for ever.
    """

    def __init__(self, io_loop: IOLoop, pipes: Pipes, screen: Screen) -> None:
        self._io_loop = io_loop
        self._pipes = pipes
        self._screen = screen
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread, when it does not run yet."""
        if self._thread is None:
            self._pipes.open()
            self._thread = threading.Thread(target=self._watch, name="ipyproc guard", daemon=True)
            self._thread.start()

    def spawned(self, job: Job) -> None:
        """Shows at once what a new job has written by the time that its status stands in its cell."""
        self._begin(self._pipes.take_new())

    def happened(self, job: Job, event: Event) -> None:
        """Does nothing: what is written is told by the pipes."""

    def cell_ends(self, _result: object = None) -> None:
        """Shows the first output of jobs that the cell started, without waiting for the loop."""
        pumps = self._pipes.ready()
        self._begin(pumps)
        self._rearm(pumps)

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        if self._thread is not None:
            self._pipes.wake()
            self._thread.join(timeout=2.0)
            self._thread = None

    def _watch(self) -> None:
        while not self._closing.is_set():
            pumps = self._pipes.wait(None)
            began = time.monotonic()
            try:
                if not self._closing.is_set():
                    self._look_after(pumps)
            except Exception:
                # The next output is another try; without a guard a held loop would stall every job.
                log.exception("The guard failed.")
            # A pipe that floods is looked at ten times a second, not at every byte.
            self._closing.wait(max(0.0, _HELD_SECONDS - (time.monotonic() - began)))
            self._rearm(pumps)

    def _look_after(self, pumps: list[Pump]) -> None:
        self._begin(pumps)
        back = threading.Event()
        self._io_loop.add_callback(back.set)
        if not back.wait(_HELD_SECONDS):
            self._stand_in(back)

    def _begin(self, pumps: list[Pump]) -> None:
        """Shows a job's very first output, which often comes before the cell that started it is over."""
        first = [pump for pump in pumps if pump.reads == 0 and pump.read()]
        if first:
            self._screen.flush_due()

    def _stand_in(self, back: threading.Event) -> None:
        """Does the loop's reading and publishing until the loop is back."""
        loop = asyncio_loop(self._io_loop)
        pumps = self._pipes.all()
        while not back.is_set() and not self._closing.is_set() and not loop.is_closed():
            for pump in pumps:
                pump.read()
            due = self._screen.flush_due() - time.monotonic()
            self._rearm(pumps)
            pumps = self._pipes.wait(min(max(due, 0.0), _LONGEST_PAUSE))
        self._rearm(pumps)
        self._io_loop.add_callback(self._screen.tick)

    def _rearm(self, pumps: list[Pump]) -> None:
        for pump in pumps:
            self._pipes.rearm(pump)
