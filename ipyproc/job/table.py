"""The table of this kernel's jobs, and `spawn`, which starts them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from signal import SIGINT

from ipyproc.errors import JobSpecError
from ipyproc.hosts.base import Host, HostedJob
from ipyproc.job.at_end import checked_on_end, do_at_end
from ipyproc.job.job import Announce, Claim, Job, log_to
from ipyproc.job.kept import KeptRegistry
from ipyproc.model.environment import checked_environment
from ipyproc.model.input import Input
from ipyproc.model.limits import Limits, cpus_of
from ipyproc.model.shell import ShellChoice
from ipyproc.model.spec import (
    DEFAULT_COLUMNS,
    DEFAULT_MAX_OUTPUT,
    DEFAULT_ROWS,
    Endpoint,
    JobSpec,
    bytes_of,
    command_of,
    parse_ready,
)
from ipyproc.model.text import input_bytes, need_encoding
from ipyproc.spool.copy import CopyFile

__all__ = ["JobTable", "jobs", "spawn"]


# Defaults that nearly all jobs share, so that 20,000 jobs do not have a copy each.
_NO_CHANGES: Mapping[str, str | None] = {}
_USUAL_SHELL = ShellChoice()
_NO_LIMITS = Limits()


class JobTable(KeptRegistry):
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
        farewells: called at the end of this process, before its jobs are ended.
    """

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
        tag: bool = False,
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
        log: str | os.PathLike[str] | None = None,
        log_size: int | str = "100M",
        log_keep: int = 3,
        tty: bool = False,
        rows: int = DEFAULT_ROWS,
        columns: int = DEFAULT_COLUMNS,
        on_end: str | Sequence[str] | Callable[[Job], object] | None = None,
        notify: bool = False,
        on: Host | None = None,
        keep: bool = False,
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
                kernel's Python comes first in its PATH. On pipes ``PYTHONUNBUFFERED=1`` is set, so that
                output comes at once; each piece that a Python program prints is then one write, so that
                processes that print at the same time may break each other's lines.
                ``{"PYTHONUNBUFFERED": None}`` removes it.
            stdin: the text for its standard input, which is then closed. By default it stays open for
                `Job.send`.
            timeout: the seconds after which it is stopped.
            restart: "no", "on-failure" (an exit status other than 0, or a signal) or "always".
            max_restarts: the number of restarts allowed in a row, without a healthy process between.
            ready: a regular expression for its output, or the ``host:port`` on which it listens, for
                `Job.ready`.
            max_output: the bytes of output to keep, 1 GiB by default; past it the oldest are dropped.
            quiet: whether its cell shows nothing of it.
            tag: whether its cell shows its name before each line, in a colour of its own, as where one cell
                starts several jobs; its output does not have it.
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
            log: a file that its output is appended to as well, as it comes; a relative path is relative to
                this process's working directory, as for a shell's redirection. If the disk fails, the job
                goes on, and its status says what is missing.
            log_size: the bytes past which the log becomes ``FILE.1``, and a new one begins, or a string
                such as "100M", the default; 0 for never.
            log_keep: the number of such older files to keep, 3 by default.
            tty: whether it runs on a terminal (a pseudo-terminal) of its own, rather than on pipes. Programs
                then print colours, prompts and progress, and each line at once. Its standard output and error
                are one stream, "stdout"; its input is the terminal too, unless ``stdin`` is given. TERM is
                ``xterm-256color``, and ``PYTHONUNBUFFERED`` is not set.
            rows: the rows of the terminal; see `Job.resize`.
            columns: the columns of the terminal.
            on_end: what to do once it has ended and is not restarted: a function, called with the job on its
                loop, and awaited if it is a coroutine function; a command, run by its shell or directly, in
                its directory and environment, with ``IPYPROC_NAME``, ``IPYPROC_STATUS`` (the exit status) and
                ``IPYPROC_RESULT`` ("ok", "failed", "stopped", "timed out"), for 60 s at most; or a URL of
                http(s), which gets them as JSON in a POST. If it fails, a line is logged. Nothing is done at
                the kernel's end.
            notify: whether pages with the live view show a notification at its end.
            on: the host that runs it; by default this process.
            keep: whether it goes on when this process ends, whatever ends that. It is then started in the
                background, so that its `pid` is 0 at first, and found again by ``%load_ext ipyproc`` and
                ``%jobs``, or `attach_kept`, in any notebook of this user, and by ``ipyproc ls``.
                What ends a container, a batch job or a hub's server ends it, too.

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
        if on_end is not None:
            checked_on_end(on_end)
        if keep and (on is not None or log is not None):
            raise JobSpecError(
                f"A kept job has a host and files of its own; leave {'on' if on is not None else 'log'} out, "
                "or keep."
            )
        file = None if log is None else _log_file(log, log_size, log_keep)
        # Shared by all jobs that have nothing of their own.
        is_usual = shell is None and not (login or strict)
        chosen = _USUAL_SHELL if is_usual else ShellChoice(shell, login, strict)
        is_free = nice is None and user is None and umask is None and affinity is None
        limits = _NO_LIMITS if is_free else Limits(nice, user, umask, cpus_of(affinity))

        def job_of(hosted: HostedJob, announce: Announce, claim: Claim) -> Job:
            job = Job(hosted, announce, claim)
            if tag:
                job.has_tag = True
            if notify:
                job.notifies = True
            if on_end is not None:
                do_at_end(job, on_end, self.local)
            if file is not None:
                log_to(job, file)
            return job

        def spec_of(name: str) -> JobSpec:
            return JobSpec(
                command=given,
                name=name,
                cwd=_checked_cwd(cwd),
                env=_NO_CHANGES if env is None else checked_environment(env),
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
                shell=chosen,
                clean_env=clean_env,
                kernel_path=self.kernel_path,
                limits=limits,
                encoding=encoding,
                tty=tty,
                rows=rows,
                columns=columns,
            )

        return self.enter(name, given, spec_of, job_of, self._host() if keep else on)


def _log_file(log: str | os.PathLike[str], size: int | str, keep: int) -> CopyFile:
    try:
        path = os.fsdecode(log)
    except TypeError:
        raise JobSpecError(f"The log {log!r} is not a path; give one such as 'build.log'.") from None
    size = bytes_of("log_size", size) or 0
    if not isinstance(keep, int) or min(size, keep) < 0:
        raise JobSpecError(f"log_size is {size!r} and log_keep is {keep!r}; give numbers of 0 or more.")
    try:
        return CopyFile(path, size, keep)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise JobSpecError(f"The log {path!r} cannot be written ({why}); give another path.") from None


def _checked_cwd(cwd: str | os.PathLike[str] | None) -> str | None:
    try:
        return None if cwd is None else os.path.expanduser(os.fsdecode(cwd))
    except TypeError:
        raise JobSpecError(f"The working directory {cwd!r} is not a path; give one such as '/tmp'.") from None


jobs = JobTable()
"""The jobs of this process."""

spawn = jobs.spawn
