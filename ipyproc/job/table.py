"""The jobs of this kernel: starting them, finding them, ending them all."""

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
from ipyproc.hosts.local.environment import checked_environment
from ipyproc.hosts.local.host import LocalHost
from ipyproc.job.job import Announce, Claim, Job, release
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

# With these a script begins, and they say nothing of what it does.
_SCRIPT_WORDS = {"case", "cd", "export", "for", "function", "if", "set", "source", "until", "while"}

_MAX_ENDED = 1000
_MOST_NAMES = 20
# Of 20,000 jobs hardly any has others: they are not to have each a copy.
_NO_CHANGES: Mapping[str, str | None] = {}
_USUAL_SHELL = ShellChoice()
_NO_LIMITS = Limits()


class JobWatcher(Protocol):
    """Somebody who is told of all jobs, such as whoever shows them."""

    def on_started(self, job: Job) -> None:
        """Called in the thread that spawns, when the job has been started."""

    def on_event(self, job: Job, event: Event) -> None:
        """Called where the job's loop is driven; for ``WROTE``, in any thread that reads."""


class JobTable:
    """The jobs of this process, by name and by pid; `ipyproc.jobs` is the one there is.

    ::

        for job in ipyproc.jobs:
            print(job)
        ipyproc.jobs["build"]
        ipyproc.jobs[4211]

    A job stays in the table after its end, until another takes its name, `forget` is called, or a thousand
    jobs have ended after it. That many are kept, or what `max_ended` says; of the older ones whoever has the
    job, or its result, can still read the output.

    Args:
        max_ended: how many ended jobs stay in the table.

    Attributes:
        max_ended: likewise.
        forgotten: how many ended ones had to go for want of room.
        kernel_path: whether jobs that are started find this interpreter first in their PATH.
        local: the host that runs jobs in this process.
        say: writes a line for whoever started this process, about a job that its end has ended.
    """

    def __init__(self, max_ended: int = _MAX_ENDED) -> None:
        self.max_ended = max_ended
        self.forgotten = 0
        self.kernel_path = True
        self.say: Callable[[str], object] = say_on_stderr
        self.local = LocalHost()
        self._others: set[Host] = set()
        # Bound once, for all jobs.
        self._announce = self.tell
        self._claim = self.claim
        self._jobs: dict[str, Job] = {}
        # In the order of their ends; its single steps need no lock.
        self._ended: OrderedDict[Job, None] = OrderedDict()
        self._last_numbers: dict[str, int] = {}
        self._lock = threading.RLock()
        self._watchers: list[JobWatcher] = []
        self._pid = os.getpid()
        self._at_exit = False
        self._said_what_ends = False
        _tables.add(self)

    # Looking at it

    def __iter__(self) -> Iterator[Job]:
        """The jobs, in the order in which they were started."""
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        """How many jobs there are, those that have ended too."""
        return len(self._jobs)

    def __contains__(self, key: object) -> bool:
        """Whether a job has this name or this pid, or is this one."""
        return key in self._jobs or any(job is key or job.pid == key for job in self)

    def __getitem__(self, key: str | int) -> Job:
        """The job of this name, or of this pid.

        Raises:
            UnknownJobError: there is none (a `KeyError`).
        """
        if isinstance(key, str) and key in self._jobs:
            return self._jobs[key]
        pid = int(key) if isinstance(key, str) and key.isdecimal() else key
        # The number of a process that has ended may be another one's by now.
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
        """Starts a job, and returns at once; what ``%spawn`` is in Python.

        Example::

            job = ipyproc.spawn(["make", "-j4"], name="build", timeout=600)
            result = await job
            print(result.stdout)

        In a notebook in which the extension is loaded, the cell that calls it shows the job's state
        and its output, live. Called from another thread, the job still lives on the kernel's loop.

        Args:
            command: a string goes to the shell, or to the interpreter that its first line names after
                ``#!``; a list is executed as it is.
            name: its name in the table; by default that of the program.
            cwd: its working directory.
            env: variables added to the kernel's environment; one that is None is removed. Its PATH finds
                the kernel's own Python first. ``PYTHONUNBUFFERED=1`` is there already, so that output comes
                at once; it costs a write for every piece that a Python program prints, so that processes
                that print at the same time break each other's lines. ``{"PYTHONUNBUFFERED": None}``
                leaves it out.
            stdin: written to its standard input, which is closed after it. By default it stays open
                for `Job.send`.
            timeout: seconds after which it is stopped.
            restart: "no", "on-failure" (another exit status than 0, or a signal) or "always".
            max_restarts: restarts without a healthy while between, until it gives up.
            ready: a regular expression in its output, or a ``host:port`` that accepts connections,
                for `Job.ready`.
            max_output: bytes of output that are kept, 1 GiB by default; past it the oldest go.
            quiet: whether its cell shows nothing of it.
            backoff: seconds before the first restart; 0 for at once.
            factor: what each further delay is, in the one before.
            cap: seconds that no delay exceeds.
            healthy: seconds of uptime after which all restarts before are forgiven.
            stop_signal: the first signal of a stop; SIGTERM and SIGKILL follow it as needed.
            alive: a shell command that is run every ``alive_every`` seconds; when it fails, or takes longer
                than that, the job is ended as one that failed, and the restart policy says what follows.
            alive_every: seconds between two of them.
            silence: seconds without output after which it is ended likewise.
            max_memory: bytes of memory that its processes may use together, or a text such as "2G";
                past it the job is ended likewise.
            shell: the shell for a string, such as "bash" or "zsh -x"; by default ``$SHELL``, or
                ``/bin/sh`` where that is none. A program that is no shell is given a file to run.
            login: whether it is a login shell, with the functions and aliases of the profile.
            strict: whether the shell runs under ``set -euo pipefail``.
            clean_env: whether the environment starts from nothing, and has what ``env`` says alone.
            nice: how much nicer than the kernel it is, as for ``nice -n``.
            user: as whom it runs, a name or a number; for kernels of root.
            umask: the permissions that its new files do not have, such as ``0o077``.
            affinity: the CPUs on which it may run, such as ``{0, 1}``.
            encoding: what its bytes are as text; its input too.
            on: the host that runs it; by default this process.

        Raises:
            FileNotFoundError: the program of a list, or the shell, does not exist. What a shell does not
                find is in the job's notes, and its exit status is 127.
            PermissionError: it may not be executed, or is a directory.
            OSError: the system has no room for one more process, or no more files may be opened.
            JobNameError: a job of that name is running.
            JobSpecError: an argument cannot be (a `ValueError`).
            NoLoopError: no event loop runs here.
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
        """Starts a job of any kind, and takes it in; `spawn` is this for commands.

        Args:
            name: its name; None for one made of the command's.
            command: what it is named after.
            spec_of: makes its spec for a name.
            kind: makes the job of what its host holds.
            host: who runs it; None for this process.

        Raises:
            JobNameError: a job of that name is running.
            NoLoopError: no event loop runs here.
            OSError: it cannot be started.
        """
        with self._lock:
            spec = spec_of(self._free_name(name, command))
            self._end_at_exit()
            # Nobody could end a job that is started, and stands nowhere.
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

    # Being somebody's

    def claim(self, job: Job) -> None:
        """See to it that a job that is started anew stands in the table under its name.

        Raises:
            JobNameError: another job has the name by now.
        """
        with self._lock:
            holder = self._jobs.get(job.name)
            if holder is None:
                self._jobs[job.name] = job
            elif holder is not job:
                raise JobNameError(
                    f"Another job has the name {job.name!r} by now, so the old one cannot be started again; "
                    "start its command anew under another name."
                )

    def add_watcher(self, watcher: JobWatcher) -> None:
        """Tell ``watcher`` of every job that is started from now on, and of what happens to all."""
        self._watchers.append(watcher)

    def remove_watcher(self, watcher: JobWatcher) -> None:
        """Tell ``watcher`` of nothing any more."""
        self._watchers.remove(watcher)

    def sample(self) -> dict[int, Usage]:
        """Return what each job uses that runs, or has left processes running, by its pid; in any thread."""
        return self.local.sample([job.pid for job in self if not job.done or job.left])

    def tell(self, job: Job, event: Event) -> None:
        """Hands on what happened to a job; called by the job.

        Args:
            job: the one to which it happened.
            event: what happened.
        """
        for watcher in tuple(self._watchers):
            try:
                watcher.on_event(job, event)
            except Exception:
                # It is told in the midst of a job's life, which goes on.
                log.exception("%r failed at %s of job %r.", watcher, event.kind.name, job.name)
        if event.kind is EventKind.STARTED:
            self._ended.pop(job, None)
        elif event.kind is EventKind.DONE:
            self._ended[job] = None
            # Whoever starts a job has the lock for milliseconds, and does this as well.
            if self._lock.acquire(blocking=False):
                try:
                    self._forget_oldest()
                finally:
                    self._lock.release()

    # Ending

    def forget(self, key: str | int) -> None:
        """Take a job that has ended out of the table, and give back its output.

        Raises:
            UnknownJobError: there is none.
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
        """Forgets all jobs that have ended."""
        for job in self:
            if job.done and not job.left:
                self.forget(job.name)

    def end_all(self) -> None:
        """End every job with its whole session, now, and wait for it; for the kernel's end.

        SIGTERM, then SIGKILL after a short grace. Blocks for a second or so at most.
        """
        if os.getpid() != self._pid:
            return
        for host in {self.local, *self._others}:
            host.close()
        atexit.unregister(self._say_and_end_all)
        self._at_exit = False

    def say_what_ends(self) -> None:
        """Name the jobs that this process's end ends, once, for whoever started it; in any thread."""
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
        """Take the oldest ended jobs out of the table where there are too many; with the lock held."""
        for _ in range(len(self._ended) - self.max_ended):
            job, _ = self._ended.popitem(last=False)
            if job.lingers:
                # What it left running is in the table by it.
                self._ended[job] = None
            else:
                self._remove(job)
                self.forgotten += 1

    def _remove(self, job: Job) -> None:
        self._ended.pop(job, None)
        if self._jobs.get(job.name) is job:
            del self._jobs[job.name]

    def lose(self) -> None:
        """Wait for nobody's lock in a fork of the process."""
        self._lock = threading.RLock()

    def _end_at_exit(self) -> None:
        if not self._at_exit:
            self._at_exit = True
            # Finalizers run at the exit from when the first one was made, and the warden's ends all jobs:
            # ours is to come before them, so it is registered after.
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
        # Not from 1 each time: of 20,000 jobs of one program each would try all names before it.
        number = self._last_numbers.get(base, 0) + 1
        while (candidate := base if number == 1 else f"{base}-{number}") in self._jobs:
            number += 1
        self._last_numbers[base] = number
        return candidate


_tables: WeakSet[JobTable] = WeakSet()


def _forked() -> None:
    """In a fork of the process the jobs' pipes are nobody's: a child that reads its input sees its end."""
    for table in list(_tables):
        table.lose()


os.register_at_fork(after_in_child=_forked)


def _shared(value: Value, usual: Value) -> Value:
    return usual if value == usual else value


def say_on_stderr(line: str) -> None:
    """Write a line to the standard error with which this process was started, if it has it still."""
    if sys.__stderr__ is not None:
        with suppress(OSError, ValueError):
            print(line, file=sys.__stderr__, flush=True)


def _program(command: str | tuple[str, ...]) -> str:
    """A name for a command: that of its program."""
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
