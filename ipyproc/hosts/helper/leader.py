"""Detach a helper from the kernel's process tree, behind a session leader that represents it there.

A program that sweeps or counts the kernel's descendants, as ipykernel does when it shuts down, finds no
worker: their ancestors are the helper and ``init``. The kernel's child is the leader of the session, which
only waits: it passes SIGINT and SIGTERM on to the helper, and exits as the helper does.
"""

from __future__ import annotations

import os
import stat
import sys

from ipyproc.hosts.helper.detached import Detached
from ipyproc.process.bare import signal

__all__ = ["main"]

_KILLED = -9
_MISUSED = 2


def main() -> None:
    """Run a helper, and in each of its forks the worker; do not return."""
    if complaint := _misuse(sys.argv[1:]):
        print(f"ipyproc helper: {complaint}", file=sys.stderr)
        sys.exit(_MISUSED)
    kernel, events, *start = map(int, sys.argv[1:])
    del sys.argv[1:]
    for fd in (events, *start):
        os.set_inheritable(fd, False)
    # A worker that reads its standard input must not consume the kernel's commands.
    commands = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    leader = _detach(commands, events, *start)
    # Imported after the forks: a process that has imported little forks faster.
    from ipyproc.hosts.helper.helper import Helper

    sys.exit(Helper(kernel, commands, events, leader, *start).run())


def _detach(*fds: int) -> Detached:
    """Fork the helper and return in it; this process stays as the leader, and does not return.

    The helper is a grandchild of this process, so that ``init`` adopts it.

    Args:
        fds: the fds that the helper alone keeps.
    """
    report, report_end = os.pipe()
    alive, alive_end = os.pipe()
    middle = os.fork()
    if middle:
        for fd in (report_end, alive, *fds):
            os.close(fd)
        os.waitpid(middle, 0)
        _lead(report)
    os.close(report)
    os.close(alive_end)
    if os.fork():
        os._exit(0)
    os.write(report_end, os.getpid().to_bytes(4, "big"))
    return Detached(alive, report_end)


def _lead(report: int) -> None:
    helper = int.from_bytes(_read(report), "big")

    # Imported here, so that the helper's start does not wait for it.
    from ipyproc.process.platform.processes import signal_process

    def pass_on(signum: int, _frame: object) -> None:
        signal_process(helper, signum)

    if helper:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, pass_on)
    told = _read(report)
    os.read(report, 1)  # End of file: the helper has exited.
    status = int.from_bytes(told, "big", signed=True) if told else _KILLED
    if status >= 0:
        os._exit(status)
    if not told:
        # The helper was killed: no other process ends what its workers have started.
        os.killpg(0, signal.SIGKILL)
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)


def _read(fd: int) -> bytes:
    """Return four bytes; empty if the writer has exited."""
    data = os.read(fd, 4)
    return data if len(data) == 4 else b""


def _misuse(arguments: list[str]) -> str:
    """Return what is wrong with the program's arguments, in one sentence; empty if they are right."""
    try:
        kernel, events, *start = arguments
        # A group that is kept has no kernel to end with, and its first message is in a file.
        is_kept = int(kernel) == 0 and len(start) == 1 and stat.S_ISREG(os.fstat(int(start[0])).st_mode)
        if (is_kept or (int(kernel) > 0 and not start)) and stat.S_ISFIFO(os.fstat(int(events)).st_mode):
            return ""
    except (ValueError, OSError):
        pass
    given = " ".join(arguments) or "nothing"
    return (
        "this program runs the workers of a notebook, and is started by ipyproc with the kernel's pid "
        f"and a pipe, but {given!r} was given; write %%fork -n 4 in a cell instead."
    )


if __name__ == "__main__":
    main()
