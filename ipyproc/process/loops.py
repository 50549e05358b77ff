"""The loops of Tornado and asyncio, and all that is private in those two packages and used here.

No other module below the views and the notebook touches a private name of theirs. They were tried with
CPython 3.10 to 3.13 and with Tornado 6.4 and 6.6; each function says what happens where its name is missing.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tornado.ioloop import IOLoop

__all__ = [
    "asyncio_loop",
    "current_as",
    "has_open_io_loop",
    "loop_of_timer",
    "on_loop",
    "own_poll",
    "running_loop",
]


def asyncio_loop(io_loop: IOLoop) -> asyncio.AbstractEventLoop:
    """Return the asyncio loop under a Tornado loop, by the attribute that `AsyncIOLoop` documents."""
    loop: asyncio.AbstractEventLoop = io_loop.asyncio_loop  # type: ignore[attr-defined]
    return loop


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread; None when there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


# The public function raises where no loop runs, and that costs four times as much as this.
running_loop: Callable[[], asyncio.AbstractEventLoop | None] = getattr(
    asyncio, "_get_running_loop", _running_loop
)
"""Return the loop that runs in this thread; None when there is none.

`asyncio._get_running_loop`; where that is missing, `asyncio.get_running_loop` and its exception.
"""


def on_loop(io_loop: IOLoop, callback: Callable[[], None]) -> None:
    """Run ``callback`` on the loop: at once when this is the loop's own thread, else queued."""
    if running_loop() is asyncio_loop(io_loop):
        callback()
    else:
        io_loop.add_callback(callback)


def own_poll(io_loop: IOLoop) -> None:
    """In a fork of the process, give a loop an epoll of its own, which watches the same fds.

    A fork has the epoll of its parent: a fork that closes its copy of the loop, as one does that leaves by
    `SystemExit`, would take the loop's own wake-up pipe out of the parent's poll, where nothing that another
    thread hands in is seen any more. By ``loop._selector``; where that is missing, nothing is done.
    """
    selector = getattr(asyncio_loop(io_loop), "_selector", None)
    kind = getattr(selectors, "EpollSelector", None)
    if not hasattr(select, "epoll") or kind is None or not isinstance(selector, kind):
        return
    # ValueError: the loop is closed; OSError: there is no fd for it, or one of the fds is closed.
    with suppress(OSError, ValueError), select.epoll() as own:
        for key in list((selector.get_map() or {}).values()):
            events = select.EPOLLIN * bool(key.events & selectors.EVENT_READ)
            events |= select.EPOLLOUT * bool(key.events & selectors.EVENT_WRITE)
            with suppress(OSError):
                own.register(key.fd, events)
        os.dup2(own.fileno(), selector.fileno(), inheritable=False)


@contextmanager
def current_as(io_loop: IOLoop) -> Iterator[None]:
    """Make a loop the one that `IOLoop.current` returns in this thread, within the ``with``.

    `asyncio._set_running_loop`. Where that is missing, `IOLoop.current` returns the loop of this thread, and
    makes one in a thread that has none: whoever makes a stream sets its ``io_loop`` afterwards.
    """
    loop, before = asyncio_loop(io_loop), running_loop()
    set_running_loop = getattr(asyncio, "_set_running_loop", None)
    if before is loop or set_running_loop is None:
        yield
        return
    set_running_loop(loop)
    try:
        yield
    finally:
        set_running_loop(before)


def loop_of_timer(timer: asyncio.TimerHandle) -> asyncio.AbstractEventLoop | None:
    """Return the loop on which a timer was set, by ``Handle._loop``; None where that is missing."""
    loop: asyncio.AbstractEventLoop | None = getattr(timer, "_loop", None)
    return loop


def has_open_io_loop() -> bool:
    """Return whether an IOLoop of this process is open, by ``IOLoop._ioloop_for_asyncio``.

    Where that is missing, it returns False. Neither Tornado's loop nor asyncio's is imported for it.
    """
    ioloop = sys.modules.get("tornado.ioloop")
    if ioloop is None:
        return False
    # asyncio.run() closes its loop and leaves the IOLoop around it in the table.
    return not all(loop.is_closed() for loop in list(getattr(ioloop.IOLoop, "_ioloop_for_asyncio", ())))
