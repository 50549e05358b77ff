"""Waiting for what happens on another loop, or in another thread."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["Waiters"]


class Waiters:
    """Futures of any loops in any threads, woken together.

    A waiter takes its future first, looks at the state second, and awaits third: what happens in
    between wakes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: set[asyncio.Future[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._futures)

    def future(self) -> asyncio.Future[None]:
        """A future on the running loop, resolved by the next `wake`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._futures.add(future)
        return future

    def forget(self, future: asyncio.Future[None]) -> None:
        """Takes back a future that nobody awaits any more."""
        with self._lock:
            self._futures.discard(future)

    def wake(self) -> None:
        """Resolves all futures; callable from any thread."""
        with self._lock:
            futures, self._futures = self._futures, set()
        for future in futures:
            try:
                future.get_loop().call_soon_threadsafe(_resolve, future)
            except RuntimeError:
                # The waiter's loop has been closed: nobody waits there.
                pass


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
