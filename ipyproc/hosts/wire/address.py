"""Where a host listens: a Unix socket of this user's alone, and who is at its other end."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from contextlib import ExitStack, suppress

__all__ = ["LONGEST_PATH", "connect", "listen", "need_own_peer"]

LONGEST_PATH = 107 if sys.platform.startswith("linux") else 103
_BACKLOG = 64
_CONNECT_SECONDS = 1.0


def listen(path: str) -> socket.socket:
    """Return a socket that listens at ``path``, which is this user's alone.

    What a host that was killed has left at that path is replaced.

    Args:
        path: the socket's; its directory has to be this user's, with the mode 0700.

    Raises:
        PermissionError: others have access to its directory.
        OSError: the path is too long, a host listens there already, or no socket can be made there.
    """
    _need_short(path)
    _need_private(os.path.dirname(os.path.abspath(path)))
    _remove_dead(path)
    with ExitStack() as stack:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stack.callback(listening.close)
        # The directory keeps others out until the mode is set.
        listening.bind(path)
        stack.callback(os.unlink, path)
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
        stack.pop_all()
    return listening


def connect(path: str) -> socket.socket:
    """Return a socket that is connected to the host at ``path``.

    Raises:
        PermissionError: the host is another user's.
        OSError: nobody listens there, or the path is too long.
    """
    _need_short(path)
    with ExitStack() as stack:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stack.callback(connection.close)
        connection.settimeout(_CONNECT_SECONDS)
        try:
            connection.connect(path)
        except OSError as error:
            # Python does not say where it tried.
            number = error.errno or errno.ETIMEDOUT
            raise OSError(number, os.strerror(number), path) from None
        need_own_peer(connection)
        stack.pop_all()
    return connection


def need_own_peer(connection: socket.socket) -> None:
    """See to it that the other end is this user's, where the system tells.

    Raises:
        PermissionError: it is somebody else's.
    """
    uid = _peer_uid(connection)
    if uid is not None and uid != os.geteuid():
        raise PermissionError(
            f"The other end of a host's socket belongs to the user {uid}, and this process to "
            f"{os.geteuid()}; use a host of your own."
        )


def _peer_uid(connection: socket.socket) -> int | None:
    if hasattr(socket, "SO_PEERCRED"):
        # pid, uid, gid
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    if hasattr(socket, "LOCAL_PEERCRED"):
        # macOS and FreeBSD: struct xucred, a version and the uid first; its level is 0.
        credentials = connection.getsockopt(0, socket.LOCAL_PEERCRED, 128)
        return int(struct.unpack_from("2I", credentials)[1])
    return None


def _need_short(path: str) -> None:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError(
            f"The path {path!r} of a host's socket has more than {LONGEST_PATH} bytes, which the system "
            "refuses; give a shorter one."
        )


def _need_private(directory: str) -> None:
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(
            f"The directory {directory!r} of a host's socket is not yours alone; "
            "give one that you own and that has the mode 0700."
        )


def _remove_dead(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return  # To bind there fails, and says why.
        connect(path).close()
    except ConnectionRefusedError:
        with suppress(FileNotFoundError):
            os.unlink(path)
    except FileNotFoundError:
        pass
