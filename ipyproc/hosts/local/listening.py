"""Find out if a job listens on an address, by the sockets of its processes in the system's table."""

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
    """Return True if one of these processes has a socket that listens on an address; block for a moment.

    A socket of another process on that address does not count, so that a job that failed to bind its port
    does not become ready. On a system without Linux's ``/proc``, any process that accepts there counts.

    Args:
        endpoint: the address.
        members: the processes of the job.
    """
    processes = list(members)
    if not processes:
        return False
    if not os.path.exists("/proc/self/net/tcp"):
        return _accepts(endpoint)
    sockets: set[str] = set()
    # A job may be in a network namespace of its own (ip netns exec), whose table only its processes have.
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
            return True  # Another user's process (sudo, setuid) does not show its sockets: give it credit.
        except OSError:
            continue
    return False


def _listening_sockets(pid: int, endpoint: Endpoint) -> set[str]:
    """Return the names, as in ``/proc/<pid>/fd``, of the sockets that listen on an address; see `proc(5)`."""
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
    """Return the addresses of a host; empty if it means all addresses, or is not known."""
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
    """Return the bytes of an address that the system writes as words in host byte order."""
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
