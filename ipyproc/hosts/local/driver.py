"""Drive the jobs of one loop: queued work in order, timers, and a limit on the time of one turn.

The loop drives its jobs while it runs callbacks. While a cell holds it, the stand-in thread
(`ipyproc.hosts.local.standin`) drives them, or a thread that waits for a job from synchronous code
(`Driver.block_until`). Each piece of work locks the job that it touches, so that one thread at a time owns
the state of a job.
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

from ipyproc.process.loops import asyncio_loop, own_poll, running_loop
from ipyproc.process.turns import turn_of

__all__ = ["Driven", "Driver", "Timer"]

log = logging.getLogger("ipyproc")

_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02

Work = Callable[[], None]


class Driven(Protocol):
    """A process that the driver polls."""

    status: int | None

    @property
    def feeding(self) -> bool:
        """True while input waits that the process has not read."""

    @property
    def piping(self) -> bool:
        """True while one of its pipes is not at its end."""

    def look(self) -> None:
        """Check for its exit, and write the input that waits."""

    def read(self) -> bool:
        """Read what its pipes hold; return True if bytes came."""

    def fds(self) -> list[int]:
        """Return the fds of its pipes that are not at their end."""


class Timer:
    """One piece of work that is due at a time; it runs once, or never if it is cancelled."""

    __slots__ = ("_work", "due")

    def __init__(self, due: float, work: Work) -> None:
        self.due = due
        self._work: Work | None = work

    @property
    def pending(self) -> bool:
        """True until the work was started or cancelled."""
        return self._work is not None

    def cancel(self) -> None:
        """Cancel the work, unless it has been started; any thread may call it."""
        self._work = None

    def take(self) -> Work | None:
        """Return the work, to the first caller only; None to all others, and after `cancel`."""
        work, self._work = self._work, None
        return work


class Driver:
    """The driver of one loop's jobs. Any thread may call any method, unless the method says otherwise.

    Attributes:
        io_loop: the loop.
        on_work: called on any thread when there is new work, or a timer that is due earlier than the others;
            None for no call.
    """

    def __init__(self, io_loop: IOLoop) -> None:
        self.io_loop = io_loop
        self.on_work: Work | None = None
        self._lock = threading.RLock()
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
        """True if the loop has been closed, so that nothing runs any more."""
        return asyncio_loop(self.io_loop).is_closed()

    @property
    def drives_here(self) -> bool:
        """True if this thread drives the jobs: it runs the loop, or stands in for it."""
        if running_loop() is asyncio_loop(self.io_loop):
            return True
        return threading.get_ident() in self._threads

    # Work

    def call(self, work: Work) -> None:
        """Run ``work`` now if this thread drives the jobs, otherwise as `soon` does."""
        if self.drives_here:
            work()
        else:
            self.soon(work)

    def soon(self, work: Work) -> None:
        """Queue ``work`` for the thread that drives the jobs; do nothing if the loop is closed."""
        if self.closed:
            return
        with self._lock:
            self._work.append(work)
            if self._scheduled:
                return
            self._scheduled = True
        self._wake(self._turn_of_loop)

    def later(self, seconds: float, work: Work) -> Timer:
        """Run ``work`` after ``seconds``; return the timer, which can be cancelled."""
        return self.at(time.monotonic() + seconds, work)

    def at(self, due: float, work: Work) -> Timer:
        """Run ``work`` at a time of `time.monotonic`; return the timer, which can be cancelled."""
        timer = Timer(due, work)
        with self._lock:
            if len(self._timers) >= self._prune_at:
                # Cancelled timers of long timeouts would stay until they are due.
                self._timers = [entry for entry in self._timers if entry[2].pending]
                heapq.heapify(self._timers)
                self._prune_at = 64 + 2 * len(self._timers)
            heapq.heappush(self._timers, (timer.due, next(self._count), timer))
            first = self._timers[0][2] is timer
        if first:
            self._wake(self._arm)
        return timer

    def poke(self) -> None:
        """Notify the stand-in that there is work."""
        if (on_work := self.on_work) is not None:
            on_work()

    # The loop's turns

    def is_spent(self) -> bool:
        """Return True if this turn of the loop has used up its time, so that work should wait for the next.

        Return False on a thread that stands in for the loop, which has no turns.
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
        """Set the loop's timer for the next timer that is due; call on the loop."""
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
        """Do the loop's work on this thread, now: queued work, due timers, exits, input."""
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
        """Return the time of the next timer on the monotonic clock; 0 if work is queued, infinity if none."""
        if self._work:
            return 0.0
        self._drop_cancelled()
        with self._lock:
            return self._timers[0][0] if self._timers else float("inf")

    def block_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Block this thread until ``condition`` returns True; return False after ``timeout``.

        This thread drives the jobs meanwhile, since it may be the one that runs the loop. Return False at
        once if the loop is closed.

        Args:
            condition: called repeatedly; it must be quick.
            timeout: the seconds to wait at most; None for no limit.
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

    # Processes

    def add(self, run: Driven) -> None:
        """Add a process to poll; it is held weakly."""
        with self._lock:
            self._running[id(run)] = weakref.ref(run)

    def discard(self, run: Driven) -> None:
        """Remove a process that needs no more polling."""
        with self._lock:
            self._running.pop(id(run), None)

    def runs(self) -> list[Driven]:
        """Return the processes to poll."""
        with self._lock:
            found = [reference() for reference in self._running.values()]
        return [run for run in found if run is not None]

    def lose(self) -> None:
        """Drop all work in a fork of the process, and the lock, whose holder may not exist there.

        The loop gets a poll of its own, so that its end there is not that of the parent's.
        """
        self._lock = threading.RLock()
        self.on_work = None
        self._work.clear()
        self._timers.clear()
        own_poll(self.io_loop)

    # Helpers

    def _run_next(self) -> None:
        try:
            work = self._work.popleft()
        except IndexError:
            return
        self._run(work)

    def _run_timers(self) -> bool:
        """Run the due timers; return False if the turn was used up before all of them had run."""
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
            # Work of one job that fails must not stop the others.
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
            pass  # The loop has been closed, which ends its jobs.
