"""The server as a program: a local host behind a Unix socket.

``python -m ipyproc.hosts.wire PATH`` listens at PATH, says ``ready`` on its standard output, and runs jobs
for its clients until it gets SIGTERM, or its standard input is at its end: whoever started it holds the other
end, and need not say anything to end it. With ``--stays`` it does not look at its standard input, and jobs
outlive the clients that started them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from tornado.ioloop import IOLoop

from ipyproc.hosts.base import Host
from ipyproc.hosts.local.host import LocalHost
from ipyproc.hosts.wire.address import listen
from ipyproc.hosts.wire.server import serve
from ipyproc.process.leftovers import remove_directory

__all__ = ["main", "run"]

_USAGE = "usage: python -m ipyproc.hosts.wire [--stays] PATH"
_MISUSED, _BROKEN = 2, 1
_REMOVE_SECONDS = 1.0


def main(arguments: Sequence[str]) -> int:
    """Run the program; return its exit status."""
    stays = "--stays" in arguments
    paths = [argument for argument in arguments if argument != "--stays"]
    if len(paths) != 1 or paths[0].startswith("-"):
        print(_USAGE, file=sys.stderr)
        return _MISUSED
    return run(paths[0], _local, stays=stays)


def run(path: str, make: Callable[[IOLoop], Host], *, stays: bool = False) -> int:
    """Serve a host at ``path`` until there is an end of it; return the program's exit status.

    Args:
        path: of the socket.
        make: makes the host, on the loop.
        stays: whether jobs outlive the clients that started them, and the server its starter.
    """
    try:
        asyncio.run(_serve(path, make, stays))
    except OSError as error:
        print(error, flush=True)
        return _BROKEN
    finally:
        if not stays:
            # Whoever made it for us may be gone. It is removed only if it was made for this.
            remove_directory(os.path.dirname(os.path.abspath(path)), _REMOVE_SECONDS)
    return 0


async def _serve(path: str, make: Callable[[IOLoop], Host], stays: bool) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A server that stays does so when its terminal goes.
        loop.add_signal_handler(signum, over.set if signum == signal.SIGTERM or not stays else lambda: None)
    with ExitStack() as stack:
        # First, so that nothing has to be undone where that fails.
        listening = listen(path)
        io_loop = IOLoop.current()
        host = make(io_loop)
        stack.callback(host.close)
        server = serve(host, listening, io_loop, stays=stays)
        stack.callback(server.close)
        print("ready", flush=True)
        with open(os.devnull, "r+b") as nothing:
            os.dup2(nothing.fileno(), 1)
            if stays:
                os.dup2(nothing.fileno(), 0)
        if not stays:
            _watch_lifeline(loop, over)
        await over.wait()


def _watch_lifeline(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    def look() -> None:
        with suppress(BlockingIOError):
            if not os.read(0, 4096):
                loop.remove_reader(0)
                over.set()

    os.set_blocking(0, False)
    loop.add_reader(0, look)


def _local(io_loop: IOLoop) -> Host:
    host = LocalHost()
    host.settle(io_loop)
    return host
