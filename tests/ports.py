"""Ports that no other test run on this machine is given: several processes may run tests at once.

A port that was found free by binding it, and let go of, may be anybody's before the program that it was
meant for binds it: the system gives ports from its own range to every socket that names none. These are
below that range, in a block that belongs to one process as long as it holds the first port of the block.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["free_port", "own_ports"]

_FIRST, _LAST, _SIZE = 12000, 32000, 100

_ports: Iterator[int] | None = None


@contextmanager
def own_ports() -> Iterator[None]:
    """Holds a block of ports, from which `free_port` takes its."""
    global _ports
    starts = list(range(_FIRST, _LAST, _SIZE))
    at = os.getpid() % len(starts)
    for start in starts[at:] + starts[:at]:
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", start))
        except OSError:
            holder.close()
            continue
        with holder:
            _ports = itertools.cycle(range(start + 1, start + _SIZE))
            yield
            _ports = None
        return
    raise AssertionError("Every block of ports is taken.")


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, and which nobody else is given."""
    assert _ports is not None, "free_port() is for tests, in own_ports()"
    for port in itertools.islice(_ports, _SIZE):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("Every port of this process's block is taken.")
