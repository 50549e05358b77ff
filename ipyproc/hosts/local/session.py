"""The session that a process of a job leads: signal its members, count those left after the leader."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from ipyproc.hosts.local.census import Census
from ipyproc.hosts.local.driver import Driver
from ipyproc.process.bare import signal
from ipyproc.process.platform.processes import signal_group
from ipyproc.process.platform.sessions import Member, find_members, is_surely_empty, ours, signal_members

__all__ = ["Session"]

_FAST = 0.02
_SLOW = 1.0
_CERTAIN_SECONDS = 2.0


class Session:
    """The processes of one session. Call its methods where the loop is driven, with the job's lock held.

    Args:
        sid: its number, which is the pid of the leader.
        driver: the driver of the job's loop.
        census: lists the processes.
        lock: the lock of the job.
        changed: called, with the lock held, when the number of members after the leader's exit has changed.

    Attributes:
        members: the members at the last count after the leader's exit; None before that.
    """

    def __init__(
        self,
        sid: int,
        driver: Driver,
        census: Census,
        lock: AbstractContextManager[object],
        changed: Callable[[], None],
    ) -> None:
        self.sid = sid
        self.members: list[Member] | None = None
        self._driver = driver
        self._census = census
        self._lock = lock
        self._changed = changed
        self._leaderless = False
        self._signum: int | None = None
        self._reached: set[int] = set()
        self._hurry = False
        self._looking = 0
        self._looked_at = 0.0
        self._stopped_looking = False

    @property
    def left(self) -> int:
        """The known number of members after the leader's exit."""
        return len(self.members or ())

    @property
    def is_empty(self) -> bool:
        """True if the leader has exited and the last count found no members."""
        return self._leaderless and self.members == []

    def signal(self, signum: int) -> None:
        """Signal every process of the session; those in other process groups after the next count."""
        self._signum, self._reached = signum, set()
        if not self._leaderless:
            self._reached.add(self.sid)
            signal_group(self.sid, signum)
        elif self.members:
            signal_members(self.sid, self.members, signum)
            self._reached.update(member.pgid for member in self.members)
        self.look()

    def leader_exited(self) -> None:
        """Record that the leader has exited, and count the members that are left."""
        self._leaderless = True
        self._looking += 1  # Earlier requests have counted the leader: ignore their answers.
        if is_surely_empty(self.sid):
            self.members = []
        else:
            self.look()

    def hurry(self, hurry: bool = True) -> None:
        """Count 50 times per second while the end is waited for, otherwise once per second."""
        if hurry and not self._hurry:
            self._hurry = True
            self.look()
        self._hurry = hurry

    def look(self, after: float = 0.0) -> None:
        """Request a count from the census."""
        self._looking += 1
        turn = self._looking

        def answer(found: list[Member]) -> None:
            # The answer may be handled much later, if a cell holds the loop.
            at = time.monotonic()
            self._driver.soon(lambda: self._take(turn, found, at))

        self._census.ask(self.sid, answer, after)

    def may_be_ended(self) -> bool:
        """List the members now; return True if some are the job's, so that they may be killed. Blocks."""
        if not self._leaderless or self.members is None:
            return True
        return bool(self._ours(find_members([self.sid])[self.sid], time.monotonic()))

    def close(self) -> None:
        """Stop counting; the session counts as empty from now on."""
        self._stopped_looking = self._leaderless = True
        self.members = []

    def _take(self, turn: int, found: list[Member], at: float) -> None:
        with self._lock:
            if turn != self._looking or self._stopped_looking:
                return
            if self._leaderless:
                found = self._ours(found, at)
                self._looked_at = at
            self._reach(found)
            if not self._leaderless:
                if self._hurry:
                    self.look(_FAST)
                return
            before, self.members = self.members, found
            if found:
                self.look(_FAST if self._hurry else _SLOW)
            if before is None or len(before) != len(found):
                self._changed()

    def _ours(self, found: list[Member], at: float) -> list[Member]:
        found = ours(self.sid, found, None)
        known = {(member.pid, member.started) for member in self.members or ()}
        if not self._looked_at or at - self._looked_at < _CERTAIN_SECONDS:
            return found
        # The last count is too old to exclude that another session has got the number since.
        return found if any((member.pid, member.started) in known for member in found) else []

    def _reach(self, found: list[Member]) -> None:
        """Signal the process groups that have not got the last signal yet; after SIGKILL, all that run."""
        if self._signum is None:
            return
        if self._signum == signal.SIGKILL:
            self._reached = set()
        missed = [member for member in found if member.pgid not in self._reached]
        if missed:
            signal_members(self.sid, missed, self._signum)
            self._reached.update(member.pgid for member in missed)
            # A stopped process handles the signal only when it is continued.
            if self._signum != signal.SIGKILL:
                signal_members(self.sid, missed, signal.SIGCONT)
