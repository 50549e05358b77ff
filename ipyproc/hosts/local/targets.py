"""Find the processes that a signal for a job goes to: its program, not the shell that runs it."""

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
    SIGVTALRM,
    SIGWINCH,
    SIGXCPU,
    SIGXFSZ,
)

from ipyproc.process.platform.processes import catches, handles, parent_of, program_of
from ipyproc.process.platform.sessions import Member, find_members

__all__ = ["program_targets"]

_BY_BASH = (SIGVTALRM, SIGXCPU, SIGXFSZ)
_ENDING = frozenset({SIGINT, SIGKILL, SIGQUIT, SIGTERM})
# The signals that end no process.
_HARMLESS = frozenset({SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH})


def program_targets(pid: int, command: str | tuple[str, ...], signum: int) -> list[int]:
    """Return the pids that a signal for a job goes to.

    If the job's process is the program itself, only that gets the signal: a server reloads at SIGHUP, and
    its workers do not die of it. If it is a shell that runs a script, the signal decides:

    - A signal that ends (SIGINT, SIGTERM), stops or continues processes goes to the shell's process group,
      as from a terminal.
    - Any other signal, such as SIGUSR1, goes to the programs of the script that handle it, and not to
      processes that it would only end: the shell, a ``tee`` in a pipeline, the programs' own workers. If no
      process handles it, SIGHUP goes to the process group, and other signals to the programs without the
      shell. If the system does not tell who handles it (without Linux's ``/proc``), both go to the programs
      that the shell itself has started.

    Args:
        pid: the process of the job, which leads its session and process group.
        command: the command of the job.
        signum: the signal.
    """
    if not isinstance(command, str) or not _is_shell(pid):
        return [pid]
    members = find_members([pid])[pid]
    if signum not in _ENDING and signum not in _HARMLESS:
        below = _by_parent(members)
        if found := _nearest(pid, below, signum):
            return found
        known = handles(pid, signum)
        if below.get(pid) and not known and (signum != SIGHUP or known is None):
            return below[pid]
    group = [member.pid for member in members if member.pgid == pid]
    return group if pid in group else [*group, pid]


def _by_parent(members: list[Member]) -> dict[int, list[int]]:
    below: dict[int, list[int]] = {}
    for member in members:
        below.setdefault(parent_of(member.pid), []).append(member.pid)
    return below


def _nearest(pid: int, below: dict[int, list[int]], signum: int) -> list[int]:
    """Return the processes that handle a signal: the first of each branch, and a shell with a trap for it."""
    found = []
    for child in below.get(pid, ()):
        found += [child] if handles(child, signum) else _nearest(child, below, signum)
    return [pid, *found] if _is_shell(pid) and _is_trapped(pid, signum) else found


def _is_shell(pid: int) -> bool:
    """Return True if a process is still the shell that its command was started in."""
    name = os.path.basename(program_of(pid))
    return name.endswith("sh") or name == "busybox"


def _is_trapped(pid: int, signum: int) -> bool:
    """Return True if a shell seems to handle a signal by a trap of its script."""
    # With a trap for EXIT, bash catches all signals that end a process, and still ends by them. A shell that
    # is about to fork may block all signals for a moment.
    return bool(catches(pid, signum)) and not all(catches(pid, other) for other in _BY_BASH)
