"""Start a program on a terminal by ``posix_spawn``, which takes a millisecond.

On Linux the leader of a session that has no terminal gets the first one that it opens (`tty_ioctl(4)`). The
child of ``posix_spawn`` calls ``setsid``, and opens the slave as one of its file actions. It can set neither
a working directory nor a umask nor a user: for these there is `ipyproc.process.terminal_program`.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["CAN_SPAWN", "TerminalPopen"]


def _keeps_given_fds() -> bool:
    """Return whether an action that copies an fd to its own number leaves it open, as in glibc since 2.29."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return name != "glibc" or tuple(map(int, version.split(".")[:2])) >= (2, 29)
    except ValueError:
        return True  # Another library, in which all do.


CAN_SPAWN = (
    sys.platform.startswith("linux")
    and hasattr(os, "posix_spawn")
    # What `TerminalPopen` replaces; private, and in CPython 3.10 to 3.14.
    and hasattr(subprocess.Popen, "_execute_child")
    and _keeps_given_fds()
)
"""Whether `TerminalPopen` works on this system."""

_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR)
_IGNORED_BY_PYTHON = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]


class TerminalPopen(subprocess.Popen[bytes]):
    """A process that leads a session and has a terminal as its controlling one, and as its streams.

    Args:
        argv: its arguments.
        paths: the paths of the program, tried one after another.
        program: the name of the program, for an error.
        environment: its environment.
        slave: the slave of the terminal.
        stdin: the fd for its standard input; the slave for the terminal.
        pass_fds: further fds that it inherits.

    Raises:
        OSError: it could not be started; the error of a path that exists comes first, as in ``execvpe``.
    """

    def __init__(
        self,
        argv: Sequence[bytes],
        paths: Sequence[bytes],
        environment: Mapping[bytes, bytes],
        *,
        program: str | bytes,
        slave: int,
        stdin: int,
        pass_fds: Sequence[int],
    ) -> None:
        self._paths = paths
        self._program = program
        self._environment = environment
        self._actions = _file_actions(slave, stdin, pass_fds)
        super().__init__(list(argv))

    def _execute_child(self, argv: list[bytes], *_others: object) -> None:
        code = last = errno.ENOENT
        for path in filter(os.path.exists, self._paths):
            try:
                self.pid = os.posix_spawn(
                    path,
                    argv,
                    self._environment,
                    file_actions=self._actions,
                    setsid=True,
                    setsigdef=_IGNORED_BY_PYTHON,
                )
            except OSError as error:
                last = error.errno or last
                if code in _NOT_FOUND:
                    code = last
            else:
                self._child_created = True
                # It lives for long, and these were for its start.
                del self._environment, self._actions, self._paths
                return
        raise OSError(code, os.strerror(code), self._program)


def _file_actions(slave: int, stdin: int, pass_fds: Sequence[int]) -> list[tuple[Any, ...]]:
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 1, os.ttyname(slave), os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_DUP2, 1 if stdin == slave else stdin, 0),
    ]
    actions += ((os.POSIX_SPAWN_DUP2, fd, fd) for fd in pass_fds)
    kept = {0, 1, 2, *pass_fds}
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in kept and _is_inheritable(fd):
            actions.append((os.POSIX_SPAWN_CLOSE, fd))
    return actions


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False  # The one by which the folder was listed.
