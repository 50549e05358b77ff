"""Waiting for what happens on another loop, or in another thread."""

from __future__ import annotations

import asyncio
import os
import threading

from ipyproc.process.loops import running_loop

__all__ = ["Waiters"]


_lock = threading.Lock()
"""For all of them: it is held for a step or two."""


class Waiters:
    """Futures of any loops in any threads, woken together.

    A waiter takes its future first, looks at the state second, and awaits third: what happens in
    between wakes it.
    """

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] | None = None

    def __bool__(self) -> bool:
        return bool(self._futures)

    def future(self) -> asyncio.Future[None]:
        """A future on the running loop, resolved by the next `wake`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with _lock:
            if self._futures is None:
                self._futures = set()
            self._futures.add(future)
        return future

    def forget(self, future: asyncio.Future[None]) -> None:
        """Takes back a future that nobody awaits any more."""
        with _lock:
            if self._futures is not None:
                self._futures.discard(future)
                self._futures = self._futures or None

    def wake(self) -> None:
        """Resolves all futures; callable from any thread."""
        with _lock:
            futures, self._futures = self._futures, None
        running = running_loop()
        for future in futures or ():
            loop = future.get_loop()
            if loop is running:
                # Nobody has to wake it: that takes a system call.
                _resolve(future)
                continue
            try:
                loop.call_soon_threadsafe(_resolve, future)
            except RuntimeError:
                # The waiter's loop has been closed: nobody waits there.
                pass


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
