"""Take a terminal, then become another program: what runs between the fork and a program on a terminal.

Only a session leader can take a controlling terminal, after ``setsid`` and before the program runs. There
`subprocess` has no step except ``preexec_fn``, which may deadlock in a process with threads. So it starts
this program, a Python with few modules, which takes the terminal and executes the program in its place, under
the same pid. It has the kernel's environment itself, and the program gets the one given here, byte by byte.

Its arguments are three fds:

======  =====================================================================================
go      it waits here for a byte, and exits if there is none: the kernel is gone
told    it writes the errno here, if the program cannot be executed and somebody waits for that
what    a file with what to do: the paths to try, the arguments, the environment, the user
======  =====================================================================================
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping, Sequence

from ipyproc.process.platform.pty import control_request

__all__ = ["PROGRAM", "what_to_do"]

# Python ignores SIGPIPE and SIGXFSZ for itself, and an ignored signal stays ignored in the program.
# The error of a path matters as in execvpe(): not that it was not found in one folder of several.
PROGRAM = """
import _signal, fcntl, marshal, posix, sys
go, told, what = map(int, sys.argv[1:])
if not posix.read(go, 1):
    posix._exit(1)
parts = []
while part := posix.read(what, 1 << 20):
    parts.append(part)
request, mask, is_heard, paths, argv, environment, user = marshal.loads(b"".join(parts))
code = 0
try:
    fcntl.ioctl(1, request, 0)
    if user is not None:
        uid, gid, groups = user
        posix.fchown(1, uid, -1)
        posix.setgroups(groups)
        posix.setregid(gid, gid)
        posix.setreuid(uid, uid)
    for fd in (go, told, what):
        posix.set_inheritable(fd, False)
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):
        if hasattr(_signal, name):
            _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    last = 0
    for path in paths:
        try:
            posix.execve(path, argv, environment)
        except OSError as error:
            last = error.errno
            if not code and last not in (2, 20):
                code = last
    code = code or last
except OSError as error:
    code = error.errno
except Exception:
    code = 22
if is_heard:
    posix.write(told, b"%d" % code)
else:
    posix.write(2, b"%b: %b\\n" % (paths[0], posix.strerror(code).encode()))
posix._exit(126 if code == 13 else 127)
"""


def what_to_do(
    paths: Sequence[bytes],
    argv: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    user: tuple[int, int, Sequence[int]] | None,
    *,
    mask: Iterable[int],
    is_heard: bool,
) -> bytes:
    """Return the content of the file that tells the program what to do.

    Args:
        paths: the paths of the program, tried one after another.
        argv: its arguments.
        environment: its environment.
        user: the numbers of its user, its group and its further groups; None for those of this process.
        mask: the signals that it blocks; this program itself has to be started with SIGINT blocked, of which
            Python would make a traceback.
        is_heard: whether somebody waits for the errno; otherwise it is said on the terminal.
    """
    who = None if user is None else (user[0], user[1], list(user[2]))
    return marshal.dumps(
        (
            control_request(),
            [int(one) for one in mask],
            is_heard,
            list(paths),
            list(argv),
            dict(environment),
            who,
        )
    )
