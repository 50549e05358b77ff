"""Futures for changes that happen on another loop or in another thread."""

from __future__ import annotations

import asyncio
import os
import threading

from ipyproc.process.loops import running_loop

__all__ = ["Waiters"]


_lock = threading.RLock()
"""One lock for all waiters, held for a few instructions only.

Reentrant, as those of drivers and wardens are: the garbage collector may run within, and close a coroutine
that waits, which then forgets its future.
"""


class Waiters:
    """Futures of any loops in any threads, resolved together.

    A waiter first gets its future, then checks the state, then awaits: a change in between resolves it.
    """

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] | None = None

    def __bool__(self) -> bool:
        return bool(self._futures)

    def future(self) -> asyncio.Future[None]:
        """Return a future of the running loop, which the next `wake` resolves."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with _lock:
            if self._futures is None:
                self._futures = set()
            self._futures.add(future)
        return future

    def forget(self, future: asyncio.Future[None]) -> None:
        """Remove a future that is no longer awaited; any thread may call it."""
        with _lock:
            if self._futures is not None:
                self._futures.discard(future)
                self._futures = self._futures or None

    def wake(self) -> None:
        """Resolve all futures; any thread may call it."""
        with _lock:
            futures, self._futures = self._futures, None
        running = running_loop()
        for future in futures or ():
            loop = future.get_loop()
            if loop is running:
                # The loop runs here, and need not be woken by a system call.
                _resolve(future)
                continue
            try:
                loop.call_soon_threadsafe(_resolve, future)
            except RuntimeError:
                # The waiter's loop has been closed, and nothing awaits the future.
                pass


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _forked() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_forked)
