"""Making Tornado's streams for a loop that need not be the current one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tornado.ioloop import IOLoop
from tornado.iostream import PipeIOStream

from ipyproc.process.watch import asyncio_loop

__all__ = ["running", "stream_on"]

StreamT = TypeVar("StreamT", bound=PipeIOStream)


def stream_on(
    io_loop: IOLoop,
    fd: int,
    kind: type[StreamT],
    init: Callable[[StreamT, int], None] = PipeIOStream.__init__,
) -> StreamT:
    """Make the stream of ``io_loop`` that owns ``fd``; in any thread.

    Args:
        io_loop: the loop.
        fd: a pipe's end. It is closed when this raises.
        kind: the class of the stream.
        init: initializes the stream; the loop is current meanwhile.
    """
    stream = kind.__new__(kind)
    try:
        with running(io_loop):
            init(stream, fd)
    except BaseException:
        try:
            stream.close_fd()
        except AttributeError:  # It has not got so far as to own it.
            os.close(fd)
        raise
    return stream


@contextmanager
def running(io_loop: IOLoop) -> Iterator[None]:
    """Have ``io_loop`` be the current loop of this thread, where an IOStream or a Future takes that."""
    # Off the loop's own thread IOLoop.current() would make a second loop that nobody runs.
    loop, before = asyncio_loop(io_loop), asyncio._get_running_loop()
    if before is loop:
        yield
        return
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)
