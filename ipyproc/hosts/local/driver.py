"""What drives the jobs of one loop: work in its order, timers, and how long one turn may take.

The loop drives them as long as it comes round. While a cell holds it, a thread that stands in for it
(`ipyproc.hosts.local.standin`) does the same, or whoever waits for a job from synchronous code
(`Driver.block_until`).
Each piece of work locks the job that it touches: the state of a job has one owner at a time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tornado.ioloop import IOLoop

from ipyproc.process.loops import asyncio_loop, running_loop
from ipyproc.process.turns import turn_of

__all__ = ["Driven", "Driver", "Timer"]

log = logging.getLogger("ipyproc")

_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02

Work = Callable[[], None]


class Driven(Protocol):
    """A process that whoever drives the loop looks after."""

    status: int | None

    @property
    def feeding(self) -> bool:
        """Whether input waits that it has not taken."""

    @property
    def piping(self) -> bool:
        """Whether a pipe of it is not at its end."""

    def look(self) -> None:
        """See whether it has exited, and write what waits for it."""

    def read(self) -> bool:
        """Read what its pipes have; return whether there was anything."""

    def fds(self) -> list[int]:
        """Return the fds that can be read when there is output of it."""


class Timer:
    """One piece of work that is due at a time; it runs once, or never when it is cancelled."""

    __slots__ = ("_work", "due")

    def __init__(self, due: float, work: Work) -> None:
        self.due = due
        self._work: Work | None = work

    @property
    def pending(self) -> bool:
        """Whether it is still to run."""
        return self._work is not None

    def cancel(self) -> None:
        """Keep it from running, unless it does so already; in any thread."""
        self._work = None

    def take(self) -> Work | None:
        """Return the work, for whoever comes first."""
        work, self._work = self._work, None
        return work


class Driver:
    """Drives the jobs of one loop. Every method may be called from any thread.

    Attributes:
        io_loop: the loop.
        on_work: called, in any thread, when there is work or an earlier timer than before; None for nobody.
    """

    def __init__(self, io_loop: IOLoop) -> None:
        self.io_loop = io_loop
        self.on_work: Work | None = None
        self._lock = threading.Lock()
        self._work: deque[Work] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._prune_at = 64
        self._scheduled = False
        self._armed: asyncio.TimerHandle | None = None
        self._armed_due = float("inf")
        self._turn = turn_of(asyncio_loop(io_loop))
        self._running: dict[int, weakref.ref[Driven]] = {}
        self._threads: set[int] = set()

    @property
    def closed(self) -> bool:
        """Whether the loop has been closed: nobody drives any more."""
        return asyncio_loop(self.io_loop).is_closed()

    @property
    def drives_here(self) -> bool:
        """Whether this thread drives: it is the loop's own, or stands in for it."""
        if running_loop() is asyncio_loop(self.io_loop):
            return True
        return threading.get_ident() in self._threads

    # Work

    def call(self, work: Work) -> None:
        """Run ``work`` at once where this thread drives, else as soon as somebody does."""
        if self.drives_here:
            work()
        else:
            self.soon(work)

    def soon(self, work: Work) -> None:
        """Have ``work`` run by whoever drives, after what was handed in before; never on a closed loop."""
        if self.closed:
            return
        with self._lock:
            self._work.append(work)
            if self._scheduled:
                return
            self._scheduled = True
        self._wake(self._turn_of_loop)

    def later(self, seconds: float, work: Work) -> Timer:
        """Have ``work`` run in so many seconds; return what cancels that."""
        return self.at(time.monotonic() + seconds, work)

    def at(self, due: float, work: Work) -> Timer:
        """Have ``work`` run at a time of the monotonic clock; return what cancels that."""
        timer = Timer(due, work)
        with self._lock:
            if len(self._timers) >= self._prune_at:
                # Those of timeouts that were not needed would stay until they are due.
                self._timers = [entry for entry in self._timers if entry[2].pending]
                heapq.heapify(self._timers)
                self._prune_at = 64 + 2 * len(self._timers)
            heapq.heappush(self._timers, (timer.due, next(self._count), timer))
            first = self._timers[0][2] is timer
        if first:
            self._wake(self._arm)
        return timer

    def poke(self) -> None:
        """Tell who stands in for the loop that there is something to look after."""
        if (on_work := self.on_work) is not None:
            on_work()

    # The loop's turns

    def is_spent(self) -> bool:
        """Return True when this turn of the loop has had its time: what can wait is to come again.

        Never where somebody stands in for the loop, which has no turns then.
        """
        if threading.get_ident() in self._threads:
            return False
        loop = asyncio_loop(self.io_loop)
        return running_loop() is loop and self._turn.is_spent(loop)

    def _turn_of_loop(self) -> None:
        while self._work:
            if self.is_spent():
                asyncio_loop(self.io_loop).call_soon(self._turn_of_loop)
                return
            self._run_next()
        with self._lock:
            self._scheduled = bool(self._work)
            if not self._scheduled:
                return
        asyncio_loop(self.io_loop).call_soon(self._turn_of_loop)

    def _arm(self) -> None:
        """See to it that the loop wakes for the next timer; on the loop."""
        self._drop_cancelled()
        with self._lock:
            due = self._timers[0][0] if self._timers else float("inf")
        if self._armed is not None:
            if self._armed_due <= due:
                return
            self._armed.cancel()
            self._armed = None
        if due < float("inf"):
            self._armed_due = due
            self._armed = asyncio_loop(self.io_loop).call_later(
                max(0.0, due - time.monotonic()), self._timers_due
            )

    def _timers_due(self) -> None:
        self._armed = None
        if self._run_timers():
            self._arm()
        else:
            asyncio_loop(self.io_loop).call_soon(self._timers_due)

    # Standing in

    def stand_in(self) -> None:
        """Do what the loop would: work, timers that are due, exits, input; in this thread, now."""
        own = threading.get_ident()
        self._threads.add(own)
        try:
            while self._work:
                self._run_next()
            self._run_timers()
            for run in self.runs():
                run.look()
            while self._work:
                self._run_next()
        finally:
            self._threads.discard(own)

    def next_due(self) -> float:
        """Return when the next timer is due, on the monotonic clock; infinity when there is none."""
        if self._work:
            return 0.0
        self._drop_cancelled()
        with self._lock:
            return self._timers[0][0] if self._timers else float("inf")

    def block_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Block this thread until ``condition`` holds; return whether it does.

        It drives meanwhile, since the loop may be the one that waits here.

        Args:
            condition: asked again and again; it takes no time.
            timeout: seconds to wait at most; None for as long as it takes.
        """
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_PAUSE
        while not condition():
            read = False
            for run in self.runs():
                read |= run.read()
            self.stand_in()
            now = time.monotonic()
            if condition():
                return True
            if now >= deadline or self.closed:
                return False
            pause = _SHORTEST_PAUSE if read else min(pause * 1.5, _LONGEST_PAUSE)
            self._wait(min(pause, deadline - now, max(0.0, self.next_due() - now)))
        return True

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        for run in self.runs():
            for fd in run.fds():
                poll.register(fd, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)

    # What runs

    def add(self, run: Driven) -> None:
        """Take in a process whose exit is to be seen."""
        with self._lock:
            self._running[id(run)] = weakref.ref(run)

    def discard(self, run: Driven) -> None:
        """Forget a process that is over."""
        with self._lock:
            self._running.pop(id(run), None)

    def runs(self) -> list[Driven]:
        """Return the processes that are not over."""
        with self._lock:
            found = [reference() for reference in self._running.values()]
        return [run for run in found if run is not None]

    def lose(self) -> None:
        """Be nobody's in a fork of the process, where a thread that exists no more may hold the lock."""
        self._lock = threading.Lock()
        self.on_work = None
        self._work.clear()
        self._timers.clear()

    # Helpers

    def _run_next(self) -> None:
        try:
            work = self._work.popleft()
        except IndexError:
            return
        self._run(work)

    def _run_timers(self) -> bool:
        """Run those that are due; return whether that was all, or this turn of the loop is spent."""
        now = time.monotonic()
        while not self.is_spent():
            with self._lock:
                if not self._timers or self._timers[0][0] > now:
                    return True
                timer = heapq.heappop(self._timers)[2]
            if (work := timer.take()) is not None:
                self._run(work)
        return False

    def _drop_cancelled(self) -> None:
        with self._lock:
            while self._timers and not self._timers[0][2].pending:
                heapq.heappop(self._timers)

    def _run(self, work: Work) -> None:
        try:
            work()
        except Exception:
            # One job that fails is not to stop the others.
            log.exception("A job's work failed: %r.", work)

    def _wake(self, callback: Work) -> None:
        loop = asyncio_loop(self.io_loop)
        self.poke()
        try:
            if running_loop() is loop:
                callback() if callback == self._arm else loop.call_soon(callback)
            else:
                loop.call_soon_threadsafe(callback)
        except RuntimeError:
            pass  # The loop has been closed; its jobs end by that.
