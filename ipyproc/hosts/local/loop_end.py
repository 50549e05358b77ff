"""Notice that an event loop was closed, or garbage-collected."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from functools import partial

from tornado.ioloop import IOLoop

from ipyproc.process.loops import asyncio_loop, loop_of_timer, on_loop, running_loop

__all__ = ["LoopEnd"]

_NEVER = 1e9


class LoopEnd:
    """Call a function when a loop is closed or garbage-collected.

    Args:
        on_end: called then, on the thread that closes the loop.
    """

    class _Sentinel:
        """An object that only the loop refers to, so that it is deleted with the loop's timers."""

        def __init__(self, on_end: Callable[[], None]) -> None:
            self.on_end: Callable[[], None] | None = on_end
            self._owner = os.getpid()

        def __call__(self) -> None:
            """Do nothing; the loop holds this as a timer that is never due."""

        def __del__(self) -> None:
            # A fork that closes its copy of the loop must not end the jobs of the loop itself.
            if self.on_end is not None and os.getpid() == self._owner:
                self.on_end()

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._sentinel: weakref.ref[LoopEnd._Sentinel] | None = None
        self._timer: weakref.ref[asyncio.TimerHandle] | None = None

    def watch(self, io_loop: IOLoop) -> None:
        """Begin to watch a loop; any thread may call it."""
        sentinel = self._Sentinel(self._on_end)
        self._sentinel = weakref.ref(sentinel)
        on_loop(io_loop, partial(self._hang, io_loop, sentinel))

    def forget(self) -> None:
        """Stop watching; call where the loop is driven, or after it was closed."""
        if self._sentinel is not None and (sentinel := self._sentinel()) is not None:
            sentinel.on_end = None
        if self._timer is not None and (timer := self._timer()) is not None:
            loop = loop_of_timer(timer)
            if loop is None or running_loop() is loop or loop.is_closed():
                timer.cancel()
            else:
                loop.call_soon_threadsafe(timer.cancel)

    def _hang(self, io_loop: IOLoop, sentinel: _Sentinel) -> None:
        if sentinel.on_end is not None:
            self._timer = weakref.ref(asyncio_loop(io_loop).call_later(_NEVER, sentinel))
