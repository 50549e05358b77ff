"""What takes the current loop, such as Tornado's streams, for a loop that need not be the current one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tornado.ioloop import IOLoop

from ipyproc.process.watch import asyncio_loop

__all__ = ["call_as_current"]

T = TypeVar("T")


def call_as_current(io_loop: IOLoop, function: Callable[[], T]) -> T:
    """Call ``function`` with ``io_loop`` as the current loop of this thread; return what it returns.

    An IOStream and a Future take the current loop when they are made. Off the thread of ``io_loop`` that
    would be a second loop, which nobody runs.
    """
    loop, before = asyncio_loop(io_loop), asyncio._get_running_loop()
    if before is loop:
        return function()
    asyncio._set_running_loop(loop)
    try:
        return function()
    finally:
        asyncio._set_running_loop(before)
