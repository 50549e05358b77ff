"""Another user who reaches the socket of a host is turned away; there is one only where root runs this."""

from __future__ import annotations

import os
import socket
import tempfile

from ipyproc.hosts.wire.address import connect, need_own_peer
from tests.privileges import NOBODY

directory = tempfile.mkdtemp(dir="/tmp", prefix="w-")
path = os.path.join(directory, "host")
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
# Both are let through here: it is the last door that is tried.
os.chmod(directory, 0o755)
os.chmod(path, 0o777)
stranger = NOBODY if os.getuid() == 0 else os.getuid()
child = os.fork()
if child == 0:
    status = 1
    try:
        if os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            connect(path).close()
            status = 0 if stranger == os.getuid() != NOBODY else 1
        except PermissionError as error:
            status = 0 if f"belongs to the user 0, and this process to {NOBODY}" in str(error) else 2
    finally:
        os._exit(status)
connection, _ = listening.accept()
try:
    need_own_peer(connection)
    refused = False
except PermissionError as error:
    refused = f"belongs to the user {NOBODY}" in str(error)
assert refused == (os.getuid() == 0)
connection.close()
_, status = os.waitpid(child, 0)
assert status == 0, status
listening.close()
os.unlink(path)
os.rmdir(directory)
