"""``%%spawn`` and ``%spawn``: start a job."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from IPython.core.error import UsageError
from IPython.core.magic import line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.model.event import Event, EventKind
from ipyproc.notebook.expansion import expand
from ipyproc.notebook.foreground import taken_mark
from ipyproc.notebook.lines import continued
from ipyproc.notebook.magics.base import (
    BG,
    QUIET,
    SIGNS,
    WAIT,
    Kind,
    LocalNames,
    Sentences,
    Verb,
    Waiting,
)
from ipyproc.notebook.options import asked_for, cpus, environment, mask, parse, signal_of
from ipyproc.notebook.secrets import divided

if TYPE_CHECKING:
    from ipyproc.job.job import Job

__all__ = ["Spawn"]

_USAGE = """\
spawn [options] command
  %%%%spawn [options] [command]
  the command's standard input; with no command, a script"""

# What stands as it is in `JobTable.spawn` where it is not given.
_POLICY = (
    *("restart", "max_restarts", "backoff", "healthy"),
    *("alive", "silence", "max_memory", "stop_signal"),
)


@magics_class
class Spawn(Verb):
    """``%%spawn`` and ``%spawn``."""

    name = "spawn"
    waiting = Waiting.WHEN_ASKED
    # A batch run goes on beside what a line has started.
    unattended = frozenset({"cell"})
    values: ClassVar[Mapping[str, tuple[str, ...]]] = {"--restart": ("no", "on-failure", "always")}
    may_stand_alone = True

    @magic_arguments()
    @kwds(usage=_USAGE)
    @argument("-n", "--name", help="The job's name; by default that of its program.")
    @WAIT
    @QUIET
    @argument("--out", metavar="VAR", help="Put its standard output into this variable when it ends.")
    @argument("--err", metavar="VAR", help="Put its standard error into this variable when it ends.")
    @argument("--no-raise-error", action="store_true", help="With --wait, a failure is no error.")
    @BG
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
    def spawn(self, line: str, cell: str | None = None, local_ns: LocalNames = None) -> object:
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
        kind: Kind = "line" if cell is None else "cell"
        sign = SIGNS[kind]
        awaited, line = taken_mark(line)
        line, cell = continued(line, cell)
        names = self.names(local_ns)
        options, command = parse(self.function(), expand(line, names), sign)
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
        waits = self.is_to_wait(kind, wait=options.wait, bg=options.bg)
        stdin = body if command else None
        job = self._start(options, command or body or "", stdin if stdin or not waits else "", names)
        if not waits:
            return job
        until_ready = bool(options.ready) and not options.wait
        return self.finish_job(job, awaited, raise_error=not options.no_raise_error, until_ready=until_ready)

    def stands_alone(self, line: str) -> bool:
        """Return True for a line that has a command, or something that has to be refused."""
        command = asked_for(self.function(), line)[1]
        return bool(command) and not command.startswith("#")

    def _environment(self) -> Mapping[bytes, bytes]:
        return self._jobs.local.environment(self._jobs.kernel_path)

    def _start(
        self, options: argparse.Namespace, command: str, stdin: str | None, names: Mapping[str, object]
    ) -> Job:
        for variable in (options.out, options.err):
            if variable is not None and not variable.isidentifier():
                raise UsageError(f"The variable name {variable!r} cannot be; give one such as 'text'.")
        chosen = {name: getattr(options, name) for name in _POLICY}
        given, secrets = divided(options.env or [], names)
        with Sentences(command):
            job = self._jobs.spawn(
                command,
                name=options.name,
                cwd=options.cwd,
                env={**environment(given, options.unset or [], self._environment), **secrets},
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

    def _fill(self, job: Job, out: str | None, err: str | None) -> None:
        """See to it that the variables have the output when the job has ended."""
        if out is None and err is None:
            return

        def fill(event: Event) -> None:
            if event.kind is EventKind.DONE:
                if out is not None:
                    self._shell.user_ns[out] = job.stdout
                if err is not None:
                    self._shell.user_ns[err] = job.stderr

        job.subscribe(fill)
