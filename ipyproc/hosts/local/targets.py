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
    SIGVTALRM,
    SIGWINCH,
    SIGXCPU,
    SIGXFSZ,
)

from ipyproc.process.platform.processes import handles, parent_of, program_of
from ipyproc.process.platform.sessions import Member, find_members

__all__ = ["program_targets"]

_BY_BASH = (SIGVTALRM, SIGXCPU, SIGXFSZ)
_ENDING = frozenset({SIGINT, SIGKILL, SIGQUIT, SIGTERM})
# Those by which nothing is ended.
_HARMLESS = frozenset({SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH})


def program_targets(pid: int, command: str | tuple[str, ...], signum: int) -> list[int]:
    """Return the pids that a signal for a job goes to.

    A program that the job itself is gets the signal alone: a server reloads at SIGHUP, and its workers do
    not die of it. Where the job's process is a shell that runs a script, it depends on the signal:

    - one that ends (SIGINT, SIGTERM) or stops and continues goes to the shell's process group, as from a
      terminal;
    - any other (SIGUSR1, say) goes to the programs that the script runs and that handle it, and not to what
      would only die of it: the shell, a ``tee`` in a pipeline, the programs' own workers. Where nobody
      handles it, a SIGHUP goes to the process group, and another to the programs without the shell. Where
      the system does not tell who handles it (no ``/proc`` of Linux's kind), both go to the programs that
      the shell itself has started.

    Args:
        pid: the job's process, which leads its session and process group.
        command: the job's.
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
    """The processes that handle a signal: the first of each branch, a script's shell beside its programs."""
    found = []
    for child in below.get(pid, ()):
        found += [child] if handles(child, signum) else _nearest(child, below, signum)
    return [pid, *found] if _is_shell(pid) and _is_trapped(pid, signum) else found


def _is_shell(pid: int) -> bool:
    """Whether a process is still the shell in which its command was started."""
    name = os.path.basename(program_of(pid))
    return name.endswith("sh") or name == "busybox"


def _is_trapped(pid: int, signum: int) -> bool:
    """Whether a shell handles a signal by a trap of the script's, as far as can be seen."""
    # With a trap for its exit, bash catches all signals that end a process, and ends by them.
    return bool(handles(pid, signum)) and not all(handles(pid, other) for other in _BY_BASH)
