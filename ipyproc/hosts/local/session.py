"""The session that a process of a job leads: signals for all of it, and what its leader leaves."""

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
    """The processes of one session. Its methods are called where the loop is driven, under the job's lock.

    Args:
        sid: its number, the pid of the leader.
        driver: of the job's loop.
        census: looks at the processes.
        lock: the job's.
        changed: called, as all of this is, when a look after the leader's exit has found other members.

    Attributes:
        members: what lived at the last look after the leader's exit; None before that look.
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
        """How many processes it still has after its leader's exit, as far as is known."""
        return len(self.members or ())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of it: the leader has exited, and a look has found nobody."""
        return self._leaderless and self.members == []

    def signal(self, signum: int) -> None:
        """Signal every process of the session; those in groups of their own within a look's time."""
        self._signum, self._reached = signum, set()
        if not self._leaderless:
            self._reached.add(self.sid)
            signal_group(self.sid, signum)
        elif self.members:
            signal_members(self.sid, self.members, signum)
            self._reached.update(member.pgid for member in self.members)
        self.look()

    def leader_exited(self) -> None:
        """Take note that the leader has exited, and find out what is left."""
        self._leaderless = True
        self._looking += 1  # What was asked before has counted the leader.
        if is_surely_empty(self.sid):
            self.members = []
        else:
            self.look()

    def hurry(self, hurry: bool = True) -> None:
        """Look 50 times a second while somebody waits for its end, else once a second."""
        if hurry and not self._hurry:
            self._hurry = True
            self.look()
        self._hurry = hurry

    def look(self, after: float = 0.0) -> None:
        """Have the census look."""
        self._looking += 1
        turn = self._looking

        def answer(found: list[Member]) -> None:
            # The answer may be taken long after, where a cell holds the loop.
            at = time.monotonic()
            self._driver.soon(lambda: self._take(turn, found, at))

        self._census.ask(self.sid, answer, after)

    def may_be_ended(self) -> bool:
        """Look now, and return whether it has processes that are the job's; for the kernel's end."""
        if not self._leaderless or self.members is None:
            return True
        return bool(self._ours(find_members([self.sid])[self.sid], time.monotonic()))

    def close(self) -> None:
        """Look no more: nothing of it is the job's any longer."""
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
        # Too long ago to be sure that the number has not been another session's since.
        return found if any((member.pid, member.started) in known for member in found) else []

    def _reach(self, found: list[Member]) -> None:
        """Signal the groups that have not had the last signal yet; after a SIGKILL, all that live."""
        if self._signum is None:
            return
        if self._signum == signal.SIGKILL:
            self._reached = set()
        missed = [member for member in found if member.pgid not in self._reached]
        if missed:
            signal_members(self.sid, missed, self._signum)
            self._reached.update(member.pgid for member in missed)
            # What is stopped takes its signal only when it goes on.
            if self._signum != signal.SIGKILL:
                signal_members(self.sid, missed, signal.SIGCONT)
