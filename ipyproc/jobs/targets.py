"""Whom a signal for a job is meant for: its program, not the shell that runs it."""

from __future__ import annotations

import os
from signal import (
    SIGCHLD,
    SIGCONT,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGQUIT,
    SIGSTOP,
    SIGTERM,
    SIGTSTP,
    SIGTTIN,
    SIGTTOU,
    SIGURG,
    SIGWINCH,
)

from ipyproc.process.sessions import find_members

__all__ = ["program_targets"]

_ENDING = frozenset({SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM})
# Those by which nothing is ended.
_HARMLESS = frozenset({SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH})


def program_targets(pid: int, command: str | tuple[str, ...], signum: int) -> list[int]:
    """Return the pids that a signal for a job goes to.

    A program that the job itself is gets the signal alone: a server reloads at SIGHUP, and its workers do
    not die of it. Where the job's process is a shell that runs a script, the shell's process group has the
    program: all of the group get it. The shell itself is left out of it when the signal would end it
    without having been meant to (SIGUSR1, say, which the shell does not trap and the training that it runs
    does): the program would lose the script around it.

    Args:
        pid: the job's process, which leads its session and process group.
        command: the job's.
        signum: the signal.
    """
    if not isinstance(command, str) or not _is_shell(pid):
        return [pid]
    group = [member.pid for member in find_members([pid])[pid] if member.pgid == pid]
    if pid not in group:
        group.append(pid)
    spared = len(group) > 1 and signum not in _ENDING and not _is_handled(pid, signum)
    return [member for member in group if member != pid or not spared]


def _is_shell(pid: int) -> bool:
    """Whether a process is still the shell in which its command was started."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False
    name = os.path.basename(program).removesuffix(" (deleted)")
    return name.endswith("sh") or name == "busybox"


def _is_handled(pid: int, signum: int) -> bool:
    """Whether a process catches or ignores a signal, or would not be ended by it."""
    if signum in _HARMLESS:
        return True
    try:
        with open(f"/proc/{pid}/status") as file:
            masks = dict(line.split(":", 1) for line in file if line.startswith(("SigIgn", "SigCgt")))
    except OSError:
        return True
    bit = 1 << (signum - 1)
    return any(int(mask, 16) & bit for mask in masks.values())
