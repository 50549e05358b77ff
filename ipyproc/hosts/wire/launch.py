"""Starting a server in a process of its own, and the client for it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from ipyproc.hosts.wire.client import WireHost
from ipyproc.process.leftovers import PREFIX, remove_directory

__all__ = ["Launched", "launch"]

_HOME = str(Path(__file__).resolve().parents[3])
# No module of the folder that the kernel works in, which Python would look into first.
_PROGRAM = (
    f"import sys; sys.path[:1] = [{_HOME!r}]; "
    "from ipyproc.hosts.wire.program import main; sys.exit(main(sys.argv[1:]))"
)
_READY_SECONDS = 30.0
_END_SECONDS = 5.0
_REMOVE_SECONDS = 1.0


def launch() -> WireHost:
    """Start a server with a local host, and return the client whose `WireHost.close` ends it.

    Blocks until the server listens, for some tenths of a second. It has this process's environment and
    working directory, a session of its own, and ends with this process, however that ends.

    Raises:
        OSError: it cannot be started; nothing is left of it.
    """
    with ExitStack() as undo:
        directory = tempfile.mkdtemp(prefix=PREFIX)
        undo.callback(remove_directory, directory, _REMOVE_SECONDS)
        path = os.path.join(directory, "host")
        launched = Launched([sys.executable, "-c", _PROGRAM, path], directory)
        undo.callback(launched.end)
        launched.wait_until_ready()
        undo.pop_all()
    return WireHost(path, launched)


class Launched:
    """The process of a server.

    Args:
        command: the program and its arguments; it says ``ready`` on its standard output when it listens.
        directory: of its socket, to be removed at its end.

    Attributes:
        pid: its process id.
    """

    def __init__(self, command: list[str], directory: str) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        # Its standard input is the lifeline: the other end is closed with this process at the latest.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._owner = os.getpid()

    def wait_until_ready(self) -> None:
        """Block until it listens.

        Raises:
            OSError: it does not, for the reason that it has given.
        """
        said = b""
        assert self._process.stdout is not None
        with self._process.stdout as out:
            deadline = time.monotonic() + _READY_SECONDS
            poll = select.poll()
            poll.register(out, select.POLLIN)
            while not said.endswith(b"\n") and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                if not (data := os.read(out.fileno(), 4096)):
                    break
                said += data
        if said.strip() != b"ready":
            why = said.decode("utf-8", "replace").strip().rstrip(".") or "it said nothing"
            raise OSError(f"The host's process could not be started ({why}); run the job in this kernel.")

    def end(self) -> None:
        """Close its lifeline, and wait until it has ended its jobs and itself; harmless when called again."""
        if self._owner != os.getpid():
            return
        with self._lock:
            if self._process.stdin is not None:
                self._process.stdin.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                # Its warden ends the jobs.
                self._process.kill()
                self._process.wait()
            remove_directory(self._directory, _REMOVE_SECONDS)
