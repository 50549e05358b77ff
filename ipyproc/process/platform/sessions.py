"""The processes of a session: who is in it, and signals that reach all of them.

A job leads a session (`setsid(2)`). Whatever process groups its processes make, as shells with job control
and ``timeout`` do, the session has them all; only another ``setsid`` leaves it. The number of a session is
the pid of its leader, and the system gives it to nobody else as long as the session has a process, a zombie
included (`pid_namespaces(7)`, ``alloc_pid``): the danger of a reused number begins when it is empty.

Imports little: the warden, a small program, has no other part of the package.
"""

from __future__ import annotations

import os
import time

from ipyproc.process.bare import signal
from ipyproc.process.platform import processes
from ipyproc.process.platform.processes import has_group, signal_group, start_time

# Known to type checkers by its name: `typing` and `collections.abc` are slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ipyproc.process.platform.processes import Listing

__all__ = [
    "Member",
    "end_sessions",
    "find_members",
    "is_surely_empty",
    "need_other_session",
    "ours",
    "session_members",
    "signal_members",
]

_KILL_SECONDS = 1.0
_NEAR = 256


class Member:
    """A living process of a session.

    Attributes:
        pid: its process id.
        pgid: its process group.
        started: when it started; with the pid it names a process for good. 0 where the system does not
            tell.
    """

    __slots__ = ("pgid", "pid", "started")

    def __init__(self, pid: int, pgid: int, started: int) -> None:
        self.pid = pid
        self.pgid = pgid
        self.started = started

    def __repr__(self) -> str:
        return f"<Member pid {self.pid}, group {self.pgid}>"


def find_members(sids: Collection[int]) -> dict[int, list[Member]]:
    """Return the living processes of each session, in one look over all processes of the system.

    Zombies do not count; they are their parents' to reap. It costs half a microsecond for each process
    there is, and about 15 for each that counts. Where nothing lists the processes
    (`ipyproc.process.platform.processes`), the session's first process group stands for all of it, by its
    number.

    Args:
        sids: the sessions.
    """
    found: dict[int, list[Member]] = {sid: [] for sid in sids}
    listing = processes.listing()
    try:
        last = None if listing is None else listing.last_pid()
        pids: Collection[int] = () if listing is None else listing.pids()
    except OSError:
        listing = None  # No fd is left.
    if listing is None:
        for sid in found:
            if has_group(sid):
                found[sid].append(Member(sid, sid, 0))
        return found
    while pids:
        for pid in pids:
            try:
                # getsid costs a fiftieth of a look at the process, which is left to the few that matter.
                sid = os.getsid(pid)
            except OSError:
                continue
            if sid in found and (seen := listing.look(pid)) is not None and not seen.zombie:
                found[sid].append(Member(pid, seen.group or sid, seen.started))
        # One that forks and exits meanwhile is missed, and its child was not there yet: that has one of the
        # numbers which were given out since.
        pids, last = _given_out_since(listing, last)
    return found


def session_members(sid: int) -> list[int]:
    """Return the pids of a session's living processes, in ascending order."""
    return sorted(member.pid for member in find_members([sid])[sid])


def is_surely_empty(sid: int) -> bool:
    """Return True when a session, whose leader has exited, certainly has no other process.

    It looks only at the numbers that were given out since the leader got its own, where these are few:
    5 microseconds for a command that started nothing. False says nothing.
    """
    listing, looked_at = processes.listing(), sid
    if listing is None:
        return False
    # Again until nobody was born meanwhile: one that forks and exits is missed, and so would be its child.
    while (last := listing.last_pid()) is not None and looked_at <= last < sid + _NEAR:
        if last == looked_at:
            return True
        for pid in range(looked_at + 1, last + 1):
            try:
                if os.getsid(pid) == sid:
                    return False
            except ProcessLookupError:
                pass
        looked_at = last
    return False


def ours(sid: int, found: list[Member], leader_started: int | None) -> list[Member]:
    """Return the members that belong to the job which led the session ``sid``.

    A process that has the session's own number is its leader. When that is not the job's, the session
    was empty once, and a stranger has got the number: none of it is the job's.

    Args:
        sid: the session.
        found: its members.
        leader_started: when the job's leader started; None once it has been reaped, since whoever has its
            number after that is another.
    """
    for member in found:
        # Where the system lists no processes (started is 0), nobody can tell.
        if member.started and member.pid == sid and member.started != leader_started:
            return []
    return found


def signal_members(sid: int, members: Iterable[Member], signum: int) -> bool:
    """Signal every process group of a session; return whether there was one.

    By groups: for the system that is one step, which misses no child that is just being forked. A group
    is signalled only while one of the members named, which its start time tells from whoever got its number,
    is still in it and in the session, so that no group that got a number anew is hit.
    """
    groups: dict[int, list[Member]] = {}
    for member in members:
        groups.setdefault(member.pgid, []).append(member)
    reached = False
    for pgid, group in groups.items():
        for member in group:
            try:
                # Where the system lists no processes (started is 0), the group is all that is known.
                if member.started and not _is_still(member, sid):
                    continue
            except ProcessLookupError:
                continue
            if signal_group(pgid, signum):
                reached = True
                break
    return reached


def _is_still(member: Member, sid: int) -> bool:
    """Return whether a member is still in its group and session; raise ProcessLookupError when it is gone."""
    return (
        os.getsid(member.pid) == sid
        and os.getpgid(member.pid) == member.pgid
        and start_time(member.pid) == member.started
    )


def end_sessions(
    sids: Iterable[int],
    grace: float = 0.5,
    *,
    started: dict[int, int | None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> None:
    """End every process of some sessions: SIGTERM, and SIGKILL for what is left after ``grace``.

    Blocks until all have exited, for ``grace`` and one second at most, to which the time of the looks is
    added. Zombies count as gone.

    Args:
        sids: the sessions.
        grace: seconds between the two signals; 0 for SIGKILL alone, without a word.
        started: for sessions whose leader may live, when it started (`ours`); for all others the leader
            has been reaped.
        tell: called with a sentence before a SIGKILL.

    Raises:
        ValueError: one of the sessions is the caller's own, or no job's.
    """
    leaders = started or {}
    sessions = set(sids)
    for sid in sessions:
        need_other_session(sid)

    def living() -> dict[int, list[Member]]:
        found = find_members(sessions)
        left = {sid: ours(sid, members, leaders.get(sid)) for sid, members in found.items()}
        return {sid: members for sid, members in left.items() if members}

    def signal_all(left: dict[int, list[Member]], *signums: int) -> None:
        for signum in signums:
            for sid, members in left.items():
                signal_members(sid, members, signum)

    def poll_until_gone(seconds: float, signum: int | None = None) -> dict[int, list[Member]]:
        deadline, paused, pause = time.monotonic() + seconds, 0.0, 0.002
        while left := living():
            # SIGKILL is sent again at each look, and looks are not lost while this process stands still.
            remaining = seconds - paused if signum is not None else deadline - time.monotonic()
            if remaining <= 0:
                break
            if signum is not None:
                signal_all(left, signum)
            time.sleep(min(pause, remaining))
            paused += pause
            pause = min(pause * 2, 0.04)
        return left

    if grace > 0:
        # What is stopped takes its SIGTERM only when it goes on.
        signal_all(living(), signal.SIGTERM, signal.SIGCONT)
    if left := poll_until_gone(grace):
        if tell is not None and grace > 0:
            number = sum(map(len, left.values()))
            tell(f"SIGKILL to {number} processes that lived on for {grace:g} s after a SIGTERM.")
        poll_until_gone(_KILL_SECONDS, signal.SIGKILL)


def need_other_session(sid: int) -> None:
    """Raise ValueError when a session is the caller's own, or no job's."""
    if sid <= 1 or sid == os.getsid(0):
        whose = "the caller's own" if sid > 1 else "no job's"
        raise ValueError(f"The session {sid} is {whose}; start the job in a session of its own.")


def _given_out_since(listing: Listing, last: int | None) -> tuple[Collection[int], int | None]:
    """Return the numbers that were given out after ``last``, and the last of them."""
    now = listing.last_pid()
    if last is None or now is None:
        return (), None
    if now >= last:
        return range(last + 1, now + 1), now
    # They have begun anew from the lowest.
    try:
        return listing.pids(), now
    except OSError:
        return (), now
