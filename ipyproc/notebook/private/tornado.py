"""Private APIs of Tornado that the notebook room uses; tried with 6.3 to 6.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tornado.ioloop import IOLoop
from tornado.platform.asyncio import AsyncIOLoop

if TYPE_CHECKING:
    import asyncio

__all__ = ["io_loop_around"]


def io_loop_around(loop: asyncio.AbstractEventLoop) -> IOLoop:
    """Return Tornado's loop for an asyncio loop, which need not be running.

    `IOLoop.current()` finds only a running loop. Without ``_ioloop_for_asyncio`` a new IOLoop is created,
    which is harmless beside another.
    """
    known: IOLoop | None = getattr(IOLoop, "_ioloop_for_asyncio", {}).get(loop)
    return known or AsyncIOLoop(asyncio_loop=loop, make_current=False)
