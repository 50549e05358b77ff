"""Tests that are coroutines, and what they ask about processes."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from tornado.ioloop import IOLoop

PYTHON = (sys.executable, "-I", "-S", "-c")
"""An interpreter that starts at once; the program follows."""


def looped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Has a coroutine run as a test, on a loop of its own."""

    @functools.wraps(test)
    def whole(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(test(*args, **kwargs), 60)

        asyncio.run(bounded())

    return whole


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def loop_in_a_thread() -> Iterator[IOLoop]:
    """A loop that runs in another thread."""
    loops: list[IOLoop] = []
    started = threading.Event()

    async def main() -> None:
        stop = asyncio.Event()
        loops.append(IOLoop.current())
        stops.append(stop)
        started.set()
        await stop.wait()

    stops: list[asyncio.Event] = []
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert started.wait(10)
    try:
        yield loops[0]
    finally:
        loops[0].add_callback(stops[0].set)
        thread.join(10)
