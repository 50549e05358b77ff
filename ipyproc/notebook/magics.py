"""The magics: each parses its line and delegates."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc import safe
from ipyproc.errors import IpyprocError
from ipyproc.job.command import explain_start_error
from ipyproc.job.job import Job
from ipyproc.model.event import EventKind
from ipyproc.notebook.cells import is_unattended
from ipyproc.notebook.expansion import expand
from ipyproc.notebook.foreground import finish, plainly, taken_mark, wait_for
from ipyproc.notebook.lines import continued, whole_line
from ipyproc.notebook.options import asked_for, cpus, environment, mask, parse, pick, signal_of
from ipyproc.notebook.secrets import divided

if TYPE_CHECKING:
    from ipyproc.job.table import JobTable
    from ipyproc.notebook.config import IPyProc
    from ipyproc.views.screen import Screen

__all__ = ["JobMagics"]

_Names = Mapping[str, object] | None

_SPAWN_USAGE = """\
spawn [options] command
  %%%%spawn [options] [command]
  the command's standard input; with no command, a script"""


# What stands as it is in `JobTable.spawn` where it is not given.
_POLICY = (
    *("restart", "max_restarts", "backoff", "healthy"),
    *("alive", "silence", "max_memory", "stop_signal"),
)


@magics_class
class JobMagics(Magics):
    """``%%spawn`` and what goes with it."""

    def __init__(self, shell: Any, jobs: JobTable, screen: Screen, config: IPyProc) -> None:
        super().__init__(shell)
        self._shell = shell
        self._jobs = jobs
        self._screen = screen
        self._settings = config

    @magic_arguments()
    @kwds(usage=_SPAWN_USAGE)
    @argument("-n", "--name", help="The job's name; by default that of its program.")
    @argument("-w", "--wait", action="store_true", help="Wait for its end; ■ then interrupts it.")
    @argument("-q", "--quiet", action="store_true", help="Show nothing in this cell.")
    @argument("--out", metavar="VAR", help="Put its standard output into this variable when it ends.")
    @argument("--err", metavar="VAR", help="Put its standard error into this variable when it ends.")
    @argument("--no-raise-error", action="store_true", help="With --wait, a failure is no error.")
    @argument("--bg", action="store_true", help="Do not wait, in a batch run (nbclient, papermill) either.")
    @argument("--cwd", metavar="DIR", help="Its working directory.")
    @argument(
        "--env",
        metavar="K=V",
        action="append",
        help="A variable for its environment, in whose value $PATH is the environment's; K alone takes "
        "the notebook's, and shows it nowhere. May be repeated.",
    )
    @argument("--unset", metavar="K", action="append", help="Remove a variable; may be repeated.")
    @argument("--clean-env", action="store_true", help="Nothing of the kernel's environment.")
    @argument("--shell", metavar="PROGRAM", help="The shell, such as bash or 'zsh -x'; else $SHELL.")
    @argument("--login", action="store_true", help="A login shell: functions and aliases of the profile.")
    @argument("--strict", action="store_true", help="The shell runs under set -euo pipefail.")
    @argument("-x", "--expand", action="store_true", help="Variables in the body are expanded too.")
    @argument("--nice", metavar="N", type=int, help="Nicer than the kernel by so much, as for nice -n.")
    @argument("--user", metavar="NAME", help="As whom it runs; for kernels of root.")
    @argument("--umask", metavar="MASK", type=mask, help="Its umask, octal, such as 077.")
    @argument("--affinity", metavar="CPUS", type=cpus, help="The CPUs on which it may run, such as 0,2-3.")
    @argument("--encoding", metavar="NAME", default="utf-8", help="What its bytes are as text (utf-8).")
    @argument("--timeout", metavar="SECONDS", type=float, help="Stop it after so many seconds.")
    @argument("--restart", metavar="WHEN", help="Start it again: no, on-failure or always.")
    @argument("--max-restarts", metavar="N", type=int, help="Restarts until it gives up (10).")
    @argument("--backoff", metavar="SECONDS", type=float, help="Before the first restart (0.25).")
    @argument("--healthy", metavar="SECONDS", type=float, help="After so long a failure is the first (10).")
    @argument("--alive", metavar="COMMAND", help="Run this every 10 s; when it fails, end it as a failure.")
    @argument("--silence", metavar="SECONDS", type=float, help="End it as a failure when silent so long.")
    @argument("--max-memory", metavar="SIZE", help="End it as a failure past so much memory, such as 2G.")
    @argument("--stop-signal", metavar="NAME", type=signal_of, help="The first signal of a stop (INT).")
    @argument("--ready", metavar="SIGN", help="Ready by this regex in a line, or by listening at host:port.")
    @line_cell_magic
    @no_var_expand
    @needs_local_scope
    def spawn(self, line: str, cell: str | None = None, local_ns: _Names = None) -> object:
        """Start a job; its output comes live into this cell, and the kernel stays free.

        The command goes to your shell, as after !. A cell's body is its standard input;
        with no command, the body is a script for the shell, or for the program that
        its first line names after #!. Returns the Job, which any cell can await.

        In the line {expression} and $name stand for what the notebook has; all else is
        left to the shell: $HOME, ${name}, {1..3}, {print $1}, and $$name, which is its
        $name. A \\ at the end continues the line on the next one.

        Examples::

            %%spawn ls -la

            %%spawn --name build --timeout 600
            make -j4
            make check

            %%spawn sort -n
            3
            1

            epochs = 10
            job = %spawn -q python3 train.py --epochs {epochs}
            await job

            %%spawn --name web --ready 127.0.0.1:8000 --restart on-failure
            python3 -m http.server 8000 --bind 127.0.0.1
        """
        sign = "%" if cell is None else "%%"
        awaited, line = taken_mark(line)
        line, cell = continued(line, cell)
        names = self._names(local_ns)
        options, command = parse(self.spawn, expand(line, names), sign)
        if command.startswith("#"):
            # To the shell it is a comment, which succeeds, and the body would be nobody's input.
            command = ""
        body = (cell or "") if (cell or "").strip() else None
        if body is not None and options.expand:
            body = expand(body, names)
        if not command and body is None:
            raise UsageError(
                f"{sign}spawn has neither a command nor a script; write {sign}spawn ls -la, "
                "or put a script into the cell's body."
            )
        waits = options.wait or (cell is not None and not options.bg and is_unattended(self._shell))
        stdin = body if command else None
        job = self._start(options, command or body or "", stdin if stdin or not waits else "", names)
        if waits:
            until_ready = bool(options.ready) and not options.wait
            return self._finish(lambda: self._foreground(job, options, until_ready), awaited, [job])
        return job

    @line_magic
    @no_var_expand
    @needs_local_scope
    def wait(self, line: str, local_ns: _Names = None) -> object:
        """Wait for jobs in the foreground: ``%wait NAME...``; ■ then interrupts them.

        Their output goes on in the cells that started them. One that fails is an error
        here.

        Examples::

            %wait build

            %wait build docs
        """
        awaited, line = taken_mark(line)
        jobs = self._named(line, "%wait", local_ns)
        for job in jobs:
            self._screen.show(job, output=False)
        return self._finish(lambda: wait_for(*jobs), awaited, jobs)

    @line_magic
    @no_var_expand
    @needs_local_scope
    def stop(self, line: str, local_ns: _Names = None) -> object:
        """Stop jobs: ``%stop NAME...``; by SIGINT, then SIGTERM, then SIGKILL, as needed.

        A job is named by its name or its pid; a name with a space stands in quotes.
        Between the signals are 2 s (%config IPyProc.grace).

        Examples::

            %stop build

            %stop build "my server"
        """
        awaited, line = taken_mark(line)
        jobs = self._named(line, "%stop", local_ns)
        grace = self._settings.grace

        async def stop() -> None:
            await asyncio.gather(*(job.stop(grace) for job in jobs))
            for job in jobs:
                self._screen.show(job, output=False)

        return self._finish(stop, awaited)

    @line_magic
    @no_var_expand
    @needs_local_scope
    def restart(self, line: str, local_ns: _Names = None) -> object:
        """Stop jobs and start them anew: ``%restart NAME...``; those that have ended too.

        Their output goes on in the cells that started them, after the old.

        Examples::

            %restart build
        """
        awaited, line = taken_mark(line)
        jobs = self._named(line, "%restart", local_ns)
        grace = self._settings.grace

        async def restart() -> None:
            with _sentences():
                await asyncio.gather(*(job.restart(grace) for job in jobs))
            for job in jobs:
                self._screen.show(job, output=False)

        return self._finish(restart, awaited)

    @line_magic
    @no_var_expand
    @needs_local_scope
    def send(self, line: str, local_ns: _Names = None) -> None:
        """Write a line to a job's standard input: ``%send NAME text``.

        The text is all that follows the name, quotes too; {name} and $name in it stand
        for variables of the notebook.

        Examples::

            %send installer /opt/thing
        """
        name, text = pick(expand(line, self._names(local_ns)))
        if not name:
            raise UsageError(f"%send needs a job's name and a text; {self._which()}.")
        with _sentences():
            self._jobs[name].send(text + "\n")

    @line_magic
    @no_var_expand
    @needs_local_scope
    def logs(self, line: str, local_ns: _Names = None) -> None:
        """Show the output of jobs in this cell, and go on live: ``%logs NAME...``.

        It is shown from its beginning, as far as a cell has room; job.output has all.

        Examples::

            %logs build
        """
        for job in self._named(line, "%logs", local_ns):
            self._screen.show(job)

    @line_magic
    def jobs(self, line: str) -> None:
        """Show all jobs in a live table.

        A row has the name, pid, state, exit, restarts, uptime, CPU, memory, size of the
        output and its last line. In Python the table is ipyproc.jobs.

        Examples::

            %jobs
        """
        if line.strip():
            raise UsageError(
                f"%jobs takes no arguments, {line.strip()!r} was given; for one job see %logs NAME."
            )
        self._screen.show_table()

    def waits(self, magic: str, arguments: list[str]) -> bool:
        """Whether a magic with these arguments is to be awaited by its cell."""
        if magic in ("%wait", "%stop", "%restart"):
            return True
        if magic not in ("%spawn", "%%spawn"):
            return False
        given, _ = asked_for(self.spawn, whole_line(arguments))
        if "--wait" in given:
            return True
        return magic == "%%spawn" and "--bg" not in given and is_unattended(self._shell)

    def has_command(self, line: str) -> bool:
        """Whether the line of a ``%%spawn`` has a command, or something that has to be refused."""
        command = asked_for(self.spawn, line)[1]
        return bool(command) and not command.startswith("#")

    def _start(
        self, options: argparse.Namespace, command: str, stdin: str | None, names: Mapping[str, object]
    ) -> Job:
        for variable in (options.out, options.err):
            if variable is not None and not variable.isidentifier():
                raise UsageError(f"The variable name {variable!r} cannot be; give one such as 'text'.")
        chosen = {name: getattr(options, name) for name in _POLICY}
        given, secrets = divided(options.env or [], names)
        with _sentences(command):
            job = self._jobs.spawn(
                command,
                name=options.name,
                cwd=options.cwd,
                env={**environment(given, options.unset or [], self._jobs.environment), **secrets},
                stdin=stdin,
                timeout=options.timeout,
                ready=options.ready,
                quiet=options.quiet,
                shell=options.shell,
                login=options.login,
                strict=options.strict,
                clean_env=options.clean_env,
                nice=options.nice,
                user=options.user,
                umask=options.umask,
                affinity=options.affinity,
                encoding=options.encoding,
                **{key: value for key, value in chosen.items() if value is not None},
            )
        self._fill(job, options.out, options.err)
        return job

    async def _foreground(self, job: Job, options: argparse.Namespace, until_ready: bool) -> Job:
        try:
            await wait_for(job, raise_error=not options.no_raise_error, until_ready=until_ready)
        finally:
            self._screen.catch_up([job])
        return job

    def _fill(self, job: Job, out: str | None, err: str | None) -> None:
        """Sees to it that the variables have the output when the job has ended."""
        if out is None and err is None:
            return

        def fill(event: Any) -> None:
            if event.kind is EventKind.DONE:
                if out is not None:
                    self._shell.user_ns[out] = job.stdout
                if err is not None:
                    self._shell.user_ns[err] = job.stderr

        job.subscribe(fill)

    def _finish(
        self, work: Callable[[], Coroutine[object, object, object]], awaited: bool, jobs: Sequence[Job] = ()
    ) -> object:
        return finish(lambda: plainly(work()), awaited, self._jobs, jobs)

    def _named(self, line: str, magic: str, local_ns: _Names) -> list[Job]:
        line = expand(line, self._names(local_ns))
        names = []
        while line.strip():
            name, line = pick(line)
            names.append(name)
        if not names:
            raise UsageError(f"{magic} needs the name of a job; {self._which()}.")
        with _sentences():
            return [self._jobs[name] for name in names]

    def _names(self, local_ns: _Names) -> Mapping[str, object]:
        """The variables that a magic's line knows: the notebook's, and those of the function around it."""
        return {**self._shell.user_ns, **(local_ns or {})}

    def _which(self) -> str:
        return f"the jobs are: {', '.join(safe.line(job.name) for job in self._jobs) or 'none'}"


class _sentences:
    """Turns errors that a user can meet into one plain sentence."""

    def __init__(self, command: str = "") -> None:
        self._command = command

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, IpyprocError):
            raise UsageError(str(error)) from None
        if isinstance(error, OSError):
            raise UsageError(explain_start_error(error, self._command)) from None
