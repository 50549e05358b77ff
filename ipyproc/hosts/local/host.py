"""The host that runs jobs as children of this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from weakref import WeakSet

from tornado.ioloop import IOLoop

from ipyproc.errors import JobSpecError, NoLoopError
from ipyproc.hosts.base import Host, HostedJob
from ipyproc.hosts.local.environment import environment_of
from ipyproc.hosts.local.group import LocalGroup
from ipyproc.hosts.local.job import LocalJob
from ipyproc.hosts.local.limits import need_limits
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.standin import Publisher, StandIn
from ipyproc.hosts.local.usage import sample
from ipyproc.hosts.local.warden import end_sessions
from ipyproc.model.group import GroupSpec
from ipyproc.model.spec import JobSpec
from ipyproc.model.text import native
from ipyproc.model.usage import Usage
from ipyproc.process.interrupts import interrupts_after
from ipyproc.spool.files import directory_path

__all__ = ["LocalHost"]

_END_GRACE = 0.7
_REAP_SECONDS = 0.2


class LocalHost(Host):
    """The host that runs jobs as children of this process, on its event loop.

    The loop drives the jobs, or the stand-in thread while a cell holds the loop. A warden ends their
    processes if this process is killed.
    """

    def __init__(self) -> None:
        self.resources = Resources()
        self._pid = os.getpid()
        _hosts.add(self)

    def start(self, spec: JobSpec) -> HostedJob:
        """Start a job; see `Host.start`."""
        self._need_owner()
        _need_directory(spec.cwd)
        need_limits(spec.limits)
        shared = self.resources
        driver = shared.loops.find_driver()
        shared.pipes.open()
        shared.warden.clear(directory_path())
        job = (
            LocalGroup(spec, shared, driver)
            if isinstance(spec, GroupSpec)
            else LocalJob(spec, shared, driver)
        )
        # An interrupt in the middle of a start would leave a process that no one could end.
        with interrupts_after():
            job.start()
        # Opened last, so that the job comes first if few fds are left.
        shared.reserve.open()
        return job

    def settle(self, io_loop: IOLoop) -> None:
        """Let all new jobs live on ``io_loop``, whichever thread and loop starts them."""
        self.resources.loops.settle(io_loop)

    @property
    def io_loop(self) -> IOLoop:
        """The loop on which the jobs live.

        Raises:
            NoLoopError: no job has been started yet.
        """
        current = self.resources.loops.current
        if current is None:
            raise NoLoopError("No job has been started yet, so there is no loop for jobs; start one first.")
        return current

    def stand_in(self, io_loop: IOLoop, publisher: Publisher) -> StandIn:
        """Return the thread that drives a loop's jobs while a cell holds it; the caller starts and closes it.

        Args:
            io_loop: the loop.
            publisher: shows the output that was read.
        """
        return StandIn(self.resources.loops.driver_of(io_loop), self.resources.pipes, publisher)

    def block_until(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Block this thread until ``condition`` holds, and drive the jobs of its loop meanwhile.

        Args:
            condition: asked again and again; it takes no time.
            timeout: seconds to wait at most; None for as long as it takes.

        Raises:
            NoLoopError: there is no loop.
        """
        return self.resources.loops.find_driver().block_until(condition, timeout)

    def sample(self, pids: Collection[int]) -> dict[int, Usage]:
        """Return the usage of sessions, by the pids that lead them; any thread may call it."""
        return sample(pids)

    def environment(self, kernel_path: bool) -> dict[bytes, bytes]:
        """Return the environment of a job that is started now without changes to it.

        Args:
            kernel_path: whether this interpreter comes first in its PATH.
        """
        return environment_of({}, kernel_path=kernel_path)

    def close(self) -> None:
        """End all jobs with their whole sessions, and wait for that; called at the kernel's end.

        It sends SIGTERM, and SIGKILL after a short grace, and blocks for about a second at most.
        """
        if os.getpid() != self._pid:
            return
        shared = self.resources
        jobs = [job for job in shared.living if isinstance(job, LocalJob)]
        living = [job for job in jobs if job.ending is None]
        # A job that waits to be restarted has none, and its last pid may be a stranger's by now.
        sessions = {sid for job in jobs for sid in job.sessions()}
        for job in jobs:
            # The number may belong to another process by now, which the warden must not end.
            if job.ending is not None and job.pid not in sessions:
                shared.warden.release(job.pid)
        end_sessions(sessions, _END_GRACE)
        for job in living:
            # The loop does not run any more, so the exit status is collected here.
            job.reap(_REAP_SECONDS)
        shared.warden.close()

    def lose(self) -> None:
        """Drop all jobs and drivers in a fork of the process."""
        self.resources.loops.lose()
        for job in list(self.resources.living):
            if isinstance(job, LocalJob):
                job.lose()

    def _need_owner(self) -> None:
        if self._pid == os.getpid():
            return
        if self.resources.loops.current is not None:
            raise NoLoopError(
                "This process is a fork of the one that has the jobs, and cannot start any; "
                "start them there, or start this process by multiprocessing's 'spawn'."
            )
        self._pid = os.getpid()


_hosts: WeakSet[LocalHost] = WeakSet()


def _forked() -> None:
    """Drop all jobs in a fork of the process, so that it does not keep their pipes open."""
    for host in list(_hosts):
        host.lose()


os.register_at_fork(after_in_child=_forked)


def _need_directory(given: str | None) -> None:
    """Check that a working directory may be entered.

    Raises:
        JobSpecError: it does not exist, is not a directory, or may not be entered.
    """
    if given is None:
        return
    cwd = native(given)
    if not os.path.isdir(cwd):
        why = "is not a directory" if os.path.exists(cwd) else "does not exist"
        raise JobSpecError(f"The working directory {given!r} {why}; create it, or give another.")
    if not os.access(cwd, os.X_OK):
        raise JobSpecError(f"The working directory {given!r} may not be entered; give another.")
