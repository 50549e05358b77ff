"""The resources that the jobs of the local host share."""

from __future__ import annotations

from collections import deque
from weakref import ref

from ipyproc.hosts.base import HostedJob
from ipyproc.hosts.local.census import Census
from ipyproc.hosts.local.loops import Loops
from ipyproc.hosts.local.pipes import Pipes
from ipyproc.hosts.local.usage_watch import UsageWatch
from ipyproc.hosts.local.warden import Warden
from ipyproc.spool.files import Reserve

__all__ = ["Resources"]

_RESTED = 64


class Resources:
    """What the jobs of one local host share.

    Attributes:
        pipes: all pipes that are being read.
        warden: ends the jobs' processes if this process dies.
        census: looks at the processes of sessions.
        loops: finds the loop of a new job.
        reserve: an fd for when no other is left.
        living: the jobs that run, or have left processes or open pipes.
        usage: measures them.
    """

    def __init__(self) -> None:
        self.pipes = Pipes()
        self.warden = Warden()
        self.census = Census()
        self.loops = Loops(self.warden.watch)
        self.reserve = Reserve()
        self.living: set[HostedJob] = set()
        self.usage = UsageWatch(self.census, self.living)
        self._rested: deque[ref[HostedJob]] = deque()

    def at_rest(self, job: HostedJob) -> None:
        """Record that a job has ended and left nothing; its events are dropped after 64 more such jobs."""
        self.living.discard(job)
        self._rested.append(ref(job))
        if len(self._rested) > _RESTED and (oldest := self._rested.popleft()()) is not None:
            oldest.forget_events()
