"""Whether a job listens at an address: a socket in the system's table that one of its processes holds."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable

from ipyproc.model.spec import Endpoint
from ipyproc.process.platform.sessions import Member

__all__ = ["listens"]

_LISTEN = "0A"
_CONNECT_SECONDS = 0.2
_MAPPED = b"\0" * 10 + b"\xff\xff"


def listens(endpoint: Endpoint, members: Iterable[Member]) -> bool:
    """Return whether one of these processes has a socket that accepts connections at an address.

    A stranger's socket at that address does not count, so that a job which cannot bind its port is not
    taken for ready. Blocks for a moment. Where the system has no ``/proc`` of Linux's kind, whoever
    accepts there counts.

    Args:
        endpoint: the address.
        members: the job's processes.
    """
    processes = list(members)
    if not processes:
        return False
    if not os.path.exists("/proc/self/net/tcp"):
        return _accepts(endpoint)
    sockets: set[str] = set()
    # A job may be in a network of its own (ip netns exec): its processes see that one's table.
    for member in processes[:1] + processes[-1:]:
        sockets |= _listening_sockets(member.pid, endpoint)
    if not sockets:
        return False
    for member in processes:
        try:
            directory = f"/proc/{member.pid}/fd"
            if any(_link(f"{directory}/{fd}") in sockets for fd in os.listdir(directory)):
                return True
        except PermissionError:
            return True  # It is another user's (sudo, setuid): nobody can tell whose the socket is.
        except OSError:
            continue
    return False


def _listening_sockets(pid: int, endpoint: Endpoint) -> set[str]:
    """What ``/proc/<pid>/fd`` calls the sockets that listen there, from `proc(5)`'s ``net/tcp``."""
    wanted = _addresses(endpoint.host)
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] != _LISTEN or int(port, 16) != endpoint.port:
                continue
            packed = _packed(address)
            if not any(packed) or not wanted or packed in wanted or packed.removeprefix(_MAPPED) in wanted:
                found.add(f"socket:[{fields[9]}]")
    return found


def _addresses(host: str) -> set[bytes]:
    """The addresses of a host; none where it stands for all of them, or is not known."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()
    packed = set()
    for address in found:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed.add(socket.inet_pton(family, address.partition("%")[0]))
    return packed if all(any(address) for address in packed) else set()


def _packed(text: str) -> bytes:
    """The bytes of an address that the system writes as words in its own order."""
    raw = bytes.fromhex(text)
    return b"".join(
        int.from_bytes(raw[i : i + 4], sys.byteorder).to_bytes(4, "big") for i in range(0, len(raw), 4)
    )


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _accepts(endpoint: Endpoint) -> bool:
    try:
        with socket.create_connection((endpoint.host, endpoint.port), _CONNECT_SECONDS):
            return True
    except OSError:
        return False
