"""The jobs of a process: enter them, find them, watch them, end them all."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from typing import Protocol, TypeVar
from weakref import WeakSet, finalize

from ipyproc.errors import JobNameError, JobStateError, UnknownJobError
from ipyproc.hosts.base import Host, HostedGroup, HostedJob
from ipyproc.hosts.local.host import LocalHost
from ipyproc.job.group import WorkerGroup
from ipyproc.job.job import Announce, Claim, Job, release
from ipyproc.job.names import FreeNames
from ipyproc.model.event import Event, EventKind
from ipyproc.model.spec import JobSpec
from ipyproc.model.usage import Usage
from ipyproc.process.interrupts import interrupts_after
from ipyproc.safe import line

__all__ = ["JobRegistry", "JobWatcher", "say_on_stderr"]

log = logging.getLogger("ipyproc")

AnyJob = TypeVar("AnyJob", bound=Job)

_MAX_ENDED = 1000
_MOST_NAMES = 8
_LONGEST_NAME = 40


class JobWatcher(Protocol):
    """An observer of all jobs, such as the views that show them."""

    def on_started(self, job: Job) -> None:
        """Called on the thread that spawns, once the job has been started."""

    def on_event(self, job: Job, event: Event) -> None:
        """Called where the job's loop is driven; for ``WROTE`` and ``AWAITED``, on any thread."""


class JobRegistry:
    """The jobs of a process by name and by pid: lookup, watchers, forgetting, ending.

    `JobTable` says what its arguments and attributes are.
    """

    def __init__(self, max_ended: int = _MAX_ENDED) -> None:
        self.max_ended = max_ended
        self.forgotten = 0
        self.kernel_path = True
        self.say: Callable[[str], object] = say_on_stderr
        self.farewells: list[Callable[[], object]] = []
        self.local = LocalHost()
        self._others: set[Host] = set()
        # The same bound methods for all jobs.
        self._announce = self._tell
        self._claim = self._claim_name
        self._jobs: dict[str, Job] = {}
        # In the order of their ends. A single operation on it needs no lock.
        self._ended: OrderedDict[Job, None] = OrderedDict()
        self._free_names = FreeNames()
        self._lock = threading.RLock()
        self._watchers: list[JobWatcher] = []
        self._pid = os.getpid()
        self._at_exit = False
        self._said_what_ends = False
        _tables.add(self)

    # Lookup

    def __iter__(self) -> Iterator[Job]:
        """Iterate over the jobs in the order in which they were started."""
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        """Return the number of jobs, ended ones included."""
        return len(self._jobs)

    def __contains__(self, key: object) -> bool:
        """Return True if ``key`` is the name or the pid of a job, or a job of the table."""
        return key in self._jobs or any(job is key or job.pid == key for job in self)

    def __getitem__(self, key: str | int) -> Job:
        """Return the job with this name or pid.

        Raises:
            UnknownJobError: there is no such job (a `KeyError`).
        """
        if isinstance(key, str) and key in self._jobs:
            return self._jobs[key]
        pid = int(key) if isinstance(key, str) and key.isdecimal() else key
        # Running jobs first, since the pid of an ended job may have been given to another process.
        for job in sorted(self, key=lambda job: job.done):
            if job.pid == pid:
                return job
        raise UnknownJobError(f"There is no job {key!r}; {self.names_near(key)}.")

    def __repr__(self) -> str:
        running = sum(not job.done for job in self)
        return f"<{type(self).__name__} of {len(self)} jobs, {running} running>"

    def names_near(self, key: object) -> str:
        """Return a few names as a part of a sentence: those like ``key``, or else the last; all if few."""
        names = list(self._jobs)
        which = "the jobs are"
        if len(names) > _MOST_NAMES:
            near = get_close_matches(key.strip("*?"), names, _MOST_NAMES) if isinstance(key, str) else []
            which = f"of {len(names):,} jobs " + ("these come near" if near else "the last are")
            names = near or names[-_MOST_NAMES:]
        older = f"; {self.forgotten:,} earlier ones were forgotten" if self.forgotten else ""
        return f"{which}: {', '.join(map(_short, names)) or 'none'}{older}"

    # Starting

    def enter(
        self,
        name: str | None,
        command: str | tuple[str, ...],
        spec_of: Callable[[str], JobSpec],
        kind: Callable[[HostedJob, Announce, Claim], AnyJob],
        host: Host | None = None,
    ) -> AnyJob:
        """Start a job of a given class and enter it in the table.

        Args:
            name: its name; None for one derived from the command.
            command: the command that names it.
            spec_of: returns its spec for a name.
            kind: creates the job from the host's job.
            host: the host that runs it; None for this process.

        Raises:
            JobNameError: a job of that name is running, or has left processes running.
            NoLoopError: no event loop runs on which the job could live.
            OSError: it could not be started.
        """
        with self._lock:
            free, made = self._free_names.take(self._jobs, name, command)
            spec = spec_of(free)
            self._end_at_exit()
            # An interrupt between the start and the entry would leave a job that no one could end.
            with interrupts_after():
                hosted = (host or self.local).start(spec)
                try:
                    job = kind(hosted, self._announce, self._claim)
                except BaseException:
                    hosted.abandon()
                    raise
                if host is not None:
                    self._others.add(host)
                if (before := self._jobs.get(spec.name)) is not None:
                    if made:
                        self._rename(before, self._free_names.numbered(self._jobs, made))
                    else:
                        self._remove(before)
                if made:
                    job.made_name = made
                self._jobs[spec.name] = job
                self._pid = os.getpid()
                job.begin()
            self._forget_oldest()
        for watcher in tuple(self._watchers):
            try:
                watcher.on_started(job)
            except Exception:
                log.exception("%r failed at the start of job %r.", watcher, job.name)
        return job

    def adopt(self, hosted: HostedJob) -> Job:
        """Enter a job that was started elsewhere; no cell shows it.

        Args:
            hosted: the job, as its host holds it. One whose name another has gets a number.
        """
        with self._lock:
            kind = WorkerGroup if isinstance(hosted, HostedGroup) else Job
            job: Job = kind(hosted, self._announce, self._claim)  # type: ignore[arg-type]
            if job.name in self._jobs:
                hosted.spec = hosted.spec.renamed(self._free_names.numbered(self._jobs, job.name))
            self._jobs[job.name] = job
            self._pid = os.getpid()
            self._end_at_exit()
            job.begin()
            if job.done:
                self._ended[job] = None
        return job

    # Jobs and watchers

    def _claim_name(self, job: Job) -> None:
        """Enter a job that is about to be started anew, unless it is in the table.

        Raises:
            JobNameError: another job has its name by now.
        """
        with self._lock:
            holder = self._jobs.get(job.name)
            if holder is None:
                self._jobs[job.name] = job
            elif holder is not job:
                raise JobNameError(
                    f"Another job has the name {job.name!r} by now, so the old one was not restarted; "
                    "start its command as a new job under another name."
                )

    def add_watcher(self, watcher: JobWatcher) -> None:
        """Notify ``watcher`` of each job that is started from now on, and of each event of any job."""
        self._watchers.append(watcher)

    def remove_watcher(self, watcher: JobWatcher) -> None:
        """Stop notifying ``watcher``."""
        self._watchers.remove(watcher)

    def sample(self) -> dict[int, Usage]:
        """Return the usage of each job that has processes running, by its pid; any thread may call it."""
        return self.local.sample([job.pid for job in self if not job.done or job.left])

    def _tell(self, job: Job, event: Event) -> None:
        """Pass an event on to the watchers; the job calls this.

        Args:
            job: the job.
            event: its event.
        """
        for watcher in tuple(self._watchers):
            try:
                watcher.on_event(job, event)
            except Exception:
                # A watcher that fails must not stop the job's life, in the middle of which it is called.
                log.exception("%r failed at %s of job %r.", watcher, event.kind.name, job.name)
        if event.kind is EventKind.STARTED:
            self._ended.pop(job, None)
        elif event.kind is EventKind.DONE:
            self._ended[job] = None
            # A thread that starts a job holds the lock for milliseconds, and then drops old jobs itself.
            if self._lock.acquire(blocking=False):
                try:
                    self._forget_oldest()
                finally:
                    self._lock.release()

    # Forgetting and ending

    def forget(self, key: str | int) -> None:
        """Remove a job that has ended from the table, and free its output.

        Raises:
            UnknownJobError: there is no such job.
            JobStateError: it has not ended, or has left processes running.
        """
        self.forget_all([self[key]])

    def forget_all(self, jobs: Iterable[Job]) -> None:
        """Forget jobs of the table, as `forget` does; none of them if one has not ended.

        Args:
            jobs: the jobs.

        Raises:
            JobStateError: one has not ended, or has left processes running.
        """
        jobs = list(jobs)
        for job in jobs:
            if not job.done:
                raise JobStateError(f"Job {job.name!r} is {job.state.value}; stop it before it is released.")
            if job.left:
                raise JobStateError(
                    f"Job {job.name!r} has left {job.left} running; stop it before it is released."
                )
        for job in jobs:
            release(job)
            self._remove(job)
        self._free_names.start_over()

    def clear(self) -> None:
        """Forget all jobs that have ended, except those that left processes running."""
        self.forget_all([job for job in self if job.done and not job.left])

    def end_all(self) -> None:
        """End all jobs with their whole sessions, and wait for that; called at the kernel's end.

        It sends SIGTERM, and SIGKILL after a short grace, and blocks for about a second at most.
        """
        if os.getpid() != self._pid:
            return
        for host in {self.local, *self._others}:
            try:
                host.close()
            except Exception:
                # The jobs of the other hosts are to end all the same.
                log.exception("Host %r failed to end its jobs.", host)
        atexit.unregister(self._say_and_end_all)
        self._at_exit = False

    def say_what_ends(self) -> None:
        """Report the jobs that the end of this process ends, once, to its parent; any thread may call it."""
        if os.getpid() != self._pid or self._said_what_ends:
            return
        self._said_what_ends = True
        for job in self:
            if not job.done and not job.hosted.is_kept:
                self.say(f"ipyproc: job {job.name!r} (pid {job.pid}) was still running and was ended.")

    def _say_and_end_all(self) -> None:
        for farewell in self.farewells if os.getpid() == self._pid else ():
            try:
                farewell()
            except Exception:
                # The jobs are to end all the same.
                log.exception("A farewell failed.")
        self.say_what_ends()
        self.end_all()

    def _forget_oldest(self) -> None:
        """Remove the oldest ended jobs past `max_ended` from the table; call with the lock held."""
        for _ in range(len(self._ended) - self.max_ended):
            job, _ = self._ended.popitem(last=False)
            if job.lingers:
                # The table still needs the job to show and stop the processes that it left.
                self._ended[job] = None
            else:
                self._remove(job)
                self.forgotten += 1

    def _remove(self, job: Job) -> None:
        self._ended.pop(job, None)
        if self._jobs.get(job.name) is job:
            del self._jobs[job.name]

    def _rename(self, job: Job, name: str) -> None:
        """Give an ended job another name, and its place in the order of the table."""
        before, job.hosted.spec = job.name, job.hosted.spec.renamed(name)
        if next(reversed(self._jobs)) == before:
            self._jobs[name] = job
            del self._jobs[before]
        else:
            # Other threads may be iterating over the dictionary.
            self._jobs = {name if key == before else key: value for key, value in self._jobs.items()}

    def _end_at_exit(self) -> None:
        if not self._at_exit:
            self._at_exit = True
            # The first finalizer registers one exit handler for all finalizers, and that of the warden ends
            # all jobs. Exit handlers run in reverse order: this one is registered later, and so runs before.
            finalize(self, list).detach()
            atexit.register(self._say_and_end_all)


def _short(name: str) -> str:
    name = line(name)
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


_tables: WeakSet[JobRegistry] = WeakSet()


def _forked() -> None:
    """Replace the locks of all tables in a fork of the process."""
    for table in list(_tables):
        # Another thread may have held it at the fork, and is not there to release it.
        table._lock = threading.RLock()


os.register_at_fork(after_in_child=_forked)


def say_on_stderr(line: str) -> None:
    """Write a line to the standard error that this process was started with, if it is still open."""
    if sys.__stderr__ is not None:
        with suppress(OSError, ValueError):
            print(line, file=sys.__stderr__, flush=True)
