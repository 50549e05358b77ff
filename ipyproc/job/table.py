"""The table of this process's jobs: start jobs, find them, end them all."""

from __future__ import annotations

import atexit
import logging
import os
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from signal import SIGINT
from typing import Protocol, TypeVar
from weakref import WeakSet, finalize

from ipyproc.errors import JobNameError, JobSpecError, JobStateError, UnknownJobError
from ipyproc.hosts.base import Host, HostedJob
from ipyproc.hosts.local.host import LocalHost
from ipyproc.job.job import Announce, Claim, Job, release
from ipyproc.model.environment import checked_environment
from ipyproc.model.event import Event, EventKind
from ipyproc.model.input import Input
from ipyproc.model.limits import Limits, cpus_of
from ipyproc.model.shell import ShellChoice, naming_words
from ipyproc.model.spec import (
    DEFAULT_MAX_OUTPUT,
    Endpoint,
    JobSpec,
    bytes_of,
    command_of,
    parse_ready,
)
from ipyproc.model.text import input_bytes, need_encodable, need_encoding
from ipyproc.model.usage import Usage
from ipyproc.process.interrupts import interrupts_after
from ipyproc.safe import line

__all__ = ["JobTable", "JobWatcher", "jobs", "say_on_stderr", "spawn"]

log = logging.getLogger("ipyproc")

AnyJob = TypeVar("AnyJob", bound=Job)
Value = TypeVar("Value")

# Words that a script may begin with, and that would be useless as a job's name.
_SCRIPT_WORDS = {"case", "cd", "export", "for", "function", "if", "set", "source", "until", "while"}

_MAX_ENDED = 1000
_MOST_NAMES = 20
# Defaults that nearly all jobs share, so that 20,000 jobs do not have a copy each.
_NO_CHANGES: Mapping[str, str | None] = {}
_USUAL_SHELL = ShellChoice()
_NO_LIMITS = Limits()


class JobWatcher(Protocol):
    """An observer of all jobs, such as a screen that shows them."""

    def on_started(self, job: Job) -> None:
        """Called on the thread that spawns, once the job has been started."""

    def on_event(self, job: Job, event: Event) -> None:
        """Called where the job's loop is driven; for ``WROTE`` and ``AWAITED``, on any thread."""


class JobTable:
    """The jobs of this process, by name and by pid; `ipyproc.jobs` is the table that users see.

    ::

        for job in ipyproc.jobs:
            print(job)
        ipyproc.jobs["build"]
        ipyproc.jobs[4211]

    A job that has ended stays in the table until another job gets its name, `forget` is called, or
    `max_ended` jobs (by default a thousand) have ended after it. The output of a job that the table has
    dropped can still be read through the job or its result.

    Args:
        max_ended: the number of ended jobs that stay in the table.

    Attributes:
        max_ended: the number of ended jobs that stay in the table.
        forgotten: the number of ended jobs that the table has dropped to make room.
        kernel_path: whether new jobs find this interpreter first in their PATH.
        local: the host that runs jobs in this process.
        say: called with a line on a job that the end of this process has ended, for the parent process.
    """

    def __init__(self, max_ended: int = _MAX_ENDED) -> None:
        self.max_ended = max_ended
        self.forgotten = 0
        self.kernel_path = True
        self.say: Callable[[str], object] = say_on_stderr
        self.local = LocalHost()
        self._others: set[Host] = set()
        # The same bound methods for all jobs.
        self._announce = self.tell
        self._claim = self.claim
        self._jobs: dict[str, Job] = {}
        # In the order of their ends. A single operation on it needs no lock.
        self._ended: OrderedDict[Job, None] = OrderedDict()
        self._last_numbers: dict[str, int] = {}
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
        raise UnknownJobError(f"There is no job {key!r}; {self._names()}.")

    def __repr__(self) -> str:
        running = sum(not job.done for job in self)
        return f"<JobTable of {len(self)} jobs, {running} running>"

    def _names(self) -> str:
        names = [line(name) for name in self._jobs]
        which = "the jobs are" if len(names) <= _MOST_NAMES else f"the last of {len(names):,} jobs are"
        older = f"; {self.forgotten:,} earlier ones were forgotten" if self.forgotten else ""
        return f"{which}: {', '.join(names[-_MOST_NAMES:]) or 'none'}{older}"

    # Starting

    def spawn(
        self,
        command: str | Sequence[str],
        *,
        name: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        restart: str = "no",
        max_restarts: int = 10,
        ready: str | re.Pattern[str] | Endpoint | None = None,
        max_output: int = DEFAULT_MAX_OUTPUT,
        quiet: bool = False,
        backoff: float = 0.25,
        factor: float = 2.0,
        cap: float = 30.0,
        healthy: float = 10.0,
        stop_signal: int = SIGINT,
        alive: str | None = None,
        alive_every: float = 10.0,
        silence: float | None = None,
        max_memory: int | str | None = None,
        shell: str | None = None,
        login: bool = False,
        strict: bool = False,
        clean_env: bool = False,
        nice: int | None = None,
        user: str | int | None = None,
        umask: int | None = None,
        affinity: Iterable[int] | None = None,
        encoding: str = "utf-8",
        on: Host | None = None,
    ) -> Job:
        """Start a job and return at once; the Python form of ``%spawn``.

        Example::

            job = ipyproc.spawn(["make", "-j4"], name="build", timeout=600)
            result = await job
            print(result.stdout)

        In a notebook with the extension loaded, the cell that calls it shows the job's status and its output,
        live. A job that another thread starts still lives on the kernel's loop.

        Args:
            command: a string for the shell, or for the interpreter that its first line names after ``#!``;
                or a list, which is executed directly.
            name: its name in the table; by default the name of the program.
            cwd: its working directory.
            env: variables added to the kernel's environment; None removes one. The directory of the
                kernel's Python comes first in its PATH. ``PYTHONUNBUFFERED=1`` is set, so that output comes
                at once; each piece that a Python program prints is then one write, so that processes that
                print at the same time may break each other's lines. ``{"PYTHONUNBUFFERED": None}``
                removes it.
            stdin: the text for its standard input, which is then closed. By default it stays open for
                `Job.send`.
            timeout: the seconds after which it is stopped.
            restart: "no", "on-failure" (an exit status other than 0, or a signal) or "always".
            max_restarts: the number of restarts allowed in a row, without a healthy process between.
            ready: a regular expression for its output, or the ``host:port`` on which it listens, for
                `Job.ready`.
            max_output: the bytes of output to keep, 1 GiB by default; past it the oldest are dropped.
            quiet: whether its cell shows nothing of it.
            backoff: the seconds before the first restart; 0 for at once.
            factor: the ratio of each further delay to the one before.
            cap: the largest delay in seconds.
            healthy: the seconds of uptime after which earlier restarts no longer count.
            stop_signal: the first signal of a stop; SIGTERM and SIGKILL follow it as needed.
            alive: a shell command that is run every ``alive_every`` seconds; if it fails, or takes longer
                than that, the job is ended as failed, and its restart policy applies.
            alive_every: the seconds between two runs of ``alive``.
            silence: the seconds without output after which it is ended as failed.
            max_memory: the bytes of memory that its processes may use together, or a string such as "2G";
                above it the job is ended as failed.
            shell: the shell for a string, such as "bash" or "zsh -x"; by default ``$SHELL``, or ``/bin/sh``
                if that is not set. A program that is not a shell gets the command as a file to run.
            login: whether it is a login shell, with the functions and aliases of the profile.
            strict: whether the shell runs under ``set -euo pipefail``.
            clean_env: whether its environment has only the variables of ``env``.
            nice: the increment to the kernel's niceness, as for ``nice -n``.
            user: the user to run it as, by name or number, if the kernel is root's.
            umask: the permissions that its new files do not have, such as ``0o077``.
            affinity: the CPUs on which it may run, such as ``{0, 1}``.
            encoding: the encoding of its output and input.
            on: the host that runs it; by default this process.

        Raises:
            FileNotFoundError: the program of a list, or the shell, does not exist. If a shell does not find
                a program, the job exits with status 127, and its notes say so.
            PermissionError: the program may not be executed, or is a directory.
            OSError: the system allows no more processes or open files.
            JobNameError: a job of that name is running, or has left processes running.
            JobSpecError: an argument is invalid (a `ValueError`).
            NoLoopError: no event loop runs on which the job could live.
        """
        given = command_of(command)
        need_encoding(encoding)

        def spec_of(name: str) -> JobSpec:
            return JobSpec(
                command=given,
                name=name,
                cwd=_checked_cwd(cwd),
                env=checked_environment(env) or _NO_CHANGES,
                stdin=None if stdin is None else Input(input_bytes(stdin, encoding)),
                timeout=timeout,
                restart=restart,
                max_restarts=max_restarts,
                ready=parse_ready(ready) if isinstance(ready, str) else ready,
                max_output=max_output,
                quiet=quiet,
                backoff=backoff,
                factor=factor,
                cap=cap,
                healthy=healthy,
                stop_signal=stop_signal,
                alive=alive,
                alive_every=alive_every,
                silence=silence,
                max_memory=bytes_of("max_memory", max_memory),
                shell=_shared(ShellChoice(shell, login, strict), _USUAL_SHELL),
                clean_env=clean_env,
                kernel_path=self.kernel_path,
                limits=_shared(Limits(nice, user, umask, cpus_of(affinity)), _NO_LIMITS),
                encoding=encoding,
            )

        return self.enter(name, given, spec_of, Job, on)

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
            spec = spec_of(self._free_name(name, command))
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
                    self._remove(before)
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

    # Jobs and watchers

    def claim(self, job: Job) -> None:
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

    def tell(self, job: Job, event: Event) -> None:
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
        job = self[key]
        if not job.done:
            raise JobStateError(f"Job {job.name!r} is {job.state.value}; stop it before it is released.")
        if job.left:
            raise JobStateError(
                f"Job {job.name!r} has left {job.left} running; stop it before it is released."
            )
        release(job)
        self._remove(job)
        self._last_numbers.clear()

    def clear(self) -> None:
        """Forget all jobs that have ended, except those that left processes running."""
        for job in self:
            if job.done and not job.left:
                self.forget(job.name)

    def end_all(self) -> None:
        """End all jobs with their whole sessions, and wait for that; called at the kernel's end.

        It sends SIGTERM, and SIGKILL after a short grace, and blocks for about a second at most.
        """
        if os.getpid() != self._pid:
            return
        for host in {self.local, *self._others}:
            host.close()
        atexit.unregister(self._say_and_end_all)
        self._at_exit = False

    def say_what_ends(self) -> None:
        """Report the jobs that the end of this process ends, once, to its parent; any thread may call it."""
        if os.getpid() != self._pid or self._said_what_ends:
            return
        self._said_what_ends = True
        for job in self:
            if not job.done:
                self.say(f"ipyproc: job {job.name!r} (pid {job.pid}) was still running and was ended.")

    def _say_and_end_all(self) -> None:
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

    def lose(self) -> None:
        """Replace the lock in a fork of the process, where its holder may not exist."""
        self._lock = threading.RLock()

    def _end_at_exit(self) -> None:
        if not self._at_exit:
            self._at_exit = True
            # The first finalizer registers one exit handler for all finalizers, and that of the warden ends
            # all jobs. Exit handlers run in reverse order: this one is registered later, and so runs before.
            finalize(self, list).detach()
            atexit.register(self._say_and_end_all)

    def _free_name(self, name: str | None, command: str | tuple[str, ...]) -> str:
        if name is not None:
            if not isinstance(name, str) or not name.strip() or "\n" in name:
                raise JobSpecError(
                    f"The job name {name!r} is not a text of one line; give one such as 'build'."
                )
            need_encodable("The job name", name)
            taken = self._jobs.get(name)
            if taken is not None and not taken.done:
                raise JobNameError(
                    f"A job named {name!r} is running already (pid {taken.pid}); "
                    "stop it, see it by %logs, or give the new one another name."
                )
            if taken is not None and taken.left:
                raise JobNameError(
                    f"A job named {name!r} has ended and left {taken.left} running; "
                    "stop it, or give the new one another name."
                )
            return name
        base = _program(command)
        # Counting from 1 each time would make each of 20,000 jobs of one program try all names before it.
        number = self._last_numbers.get(base, 0) + 1
        while (candidate := base if number == 1 else f"{base}-{number}") in self._jobs:
            number += 1
        self._last_numbers[base] = number
        return candidate


_tables: WeakSet[JobTable] = WeakSet()


def _forked() -> None:
    """Replace the locks of all tables in a fork of the process."""
    for table in list(_tables):
        table.lose()


os.register_at_fork(after_in_child=_forked)


def _shared(value: Value, usual: Value) -> Value:
    return usual if value == usual else value


def say_on_stderr(line: str) -> None:
    """Write a line to the standard error that this process was started with, if it is still open."""
    if sys.__stderr__ is not None:
        with suppress(OSError, ValueError):
            print(line, file=sys.__stderr__, flush=True)


def _program(command: str | tuple[str, ...]) -> str:
    """Return a name for a command: the name of its program."""
    if isinstance(command, tuple):
        word = command[0] if command else ""
    else:
        words = [word for word in naming_words(command) if not re.match(r"\w+=", word)]
        word = words[0] if words else ""
    if word in _SCRIPT_WORDS:
        return "script"
    return re.sub(r"[^\w.+-]", "", os.path.basename(word)) or "job"


def _checked_cwd(cwd: str | os.PathLike[str] | None) -> str | None:
    try:
        return None if cwd is None else os.path.expanduser(os.fsdecode(cwd))
    except TypeError:
        raise JobSpecError(f"The working directory {cwd!r} is not a path; give one such as '/tmp'.") from None


jobs = JobTable()
"""The jobs of this process."""

spawn = jobs.spawn
