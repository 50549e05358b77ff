"""``%%spawn`` and ``%spawn``: start a job."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, ClassVar

from IPython.core.error import UsageError
from IPython.core.magic import line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.job.default_names import default_name
from ipyproc.model.event import Event, EventKind
from ipyproc.model.spec import DEFAULT_ROWS
from ipyproc.notebook.cells import columns_for, is_unattended
from ipyproc.notebook.expansion import expand
from ipyproc.notebook.foreground import taken_mark
from ipyproc.notebook.lines import continued
from ipyproc.notebook.magics.base import (
    BG,
    KEEP,
    QUIET,
    REPLACE,
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

# Whether a job runs on a terminal if its options do not say.
_ON_TERMINAL = True

# Options that have their default in `JobTable.spawn`.
_POLICY = (
    *("log", "log_size", "log_keep"),
    *("restart", "max_restarts", "backoff", "healthy"),
    *("alive", "silence", "max_memory", "stop_signal"),
)


@magics_class
class Spawn(Verb):
    """``%%spawn`` and ``%spawn``."""

    name = "spawn"
    waiting = Waiting.WHEN_ASKED
    # A batch run does not wait for jobs that a line has started.
    unattended = frozenset({"cell"})
    values: ClassVar[Mapping[str, tuple[str, ...]]] = {"--restart": ("no", "on-failure", "always")}
    may_stand_alone = True

    @magic_arguments()
    @kwds(usage=_USAGE)
    @argument("-n", "--name", help="The job's name; by default the name of its program.")
    @REPLACE
    @WAIT
    @QUIET
    @argument(
        "--tag", action="store_true", help="Show its name before each line, as where a cell starts several."
    )
    @argument("--out", metavar="VAR", help="Put its standard output into this variable when it ends.")
    @argument("--err", metavar="VAR", help="Put its standard error into this variable when it ends.")
    @argument("--no-raise-error", action="store_true", help="With --wait, do not raise an error if it fails.")
    @BG
    @KEEP
    @argument("--cwd", metavar="DIR", help="Its working directory.")
    @argument(
        "--env",
        metavar="K=V",
        action="append",
        help="Set a variable of its environment; $PATH in the value is that of the environment. K alone sets "
        "it to the notebook's variable K, and shows the value nowhere. May be repeated.",
    )
    @argument(
        "--unset", metavar="K", action="append", help="Remove a variable of its environment; may be repeated."
    )
    @argument("--clean-env", action="store_true", help="Start from an empty environment.")
    @argument("--shell", metavar="PROGRAM", help="The shell, such as bash or 'zsh -x'; by default $SHELL.")
    @argument(
        "--login", action="store_true", help="Use a login shell, with functions and aliases of the profile."
    )
    @argument("--strict", action="store_true", help="Run the shell under set -euo pipefail (sh: set -eu).")
    @argument("-x", "--expand", action="store_true", help="Expand variables in the body too.")
    @argument("--nice", metavar="N", type=int, help="Increment of the kernel's niceness, as for nice -n.")
    @argument("--user", metavar="NAME", help="The user to run it as, if the kernel is root's.")
    @argument("--umask", metavar="MASK", type=mask, help="Its umask in octal, such as 077.")
    @argument("--affinity", metavar="CPUS", type=cpus, help="The CPUs on which it may run, such as 0,2-3.")
    @argument(
        "--tty", action="store_true", default=None, help="Run it on a terminal, with colours and prompts."
    )
    @argument("-t", "--terminal", action="store_true", help="Show a terminal in the page, to type into it.")
    @argument("--pipes", dest="tty", action="store_false", help="Run it on pipes, with stderr apart.")
    @argument("--rows", metavar="N", type=int, default=DEFAULT_ROWS, help="Rows of the terminal (24).")
    @argument(
        "--columns", metavar="N", type=int, help="Columns of the terminal (100; in a terminal, its own)."
    )
    @argument("--encoding", metavar="NAME", default="utf-8", help="Encoding of its output (utf-8).")
    @argument("--log", metavar="FILE", help="Append its output to this file too.")
    @argument("--log-size", metavar="SIZE", help="Rotate the file at this size (100M); 0 for never.")
    @argument("--log-keep", metavar="N", type=int, help="Rotated files to keep: FILE.1 and so on (3).")
    @argument("--timeout", metavar="SECONDS", type=float, help="Stop it after this time.")
    @argument("--restart", metavar="WHEN", help="When to start it again: no, on-failure or always.")
    @argument("--max-restarts", metavar="N", type=int, help="Restarts until it gives up (10).")
    @argument("--backoff", metavar="SECONDS", type=float, help="Delay of the first restart (0.25).")
    @argument("--healthy", metavar="SECONDS", type=float, help="Uptime that clears earlier failures (10).")
    @argument("--alive", metavar="COMMAND", help="Run this every 10 s; if it fails, end the job as failed.")
    @argument(
        "--silence", metavar="SECONDS", type=float, help="End it as failed after this time without output."
    )
    @argument("--max-memory", metavar="SIZE", help="End it as failed above this memory, such as 2G.")
    @argument("--stop-signal", metavar="NAME", type=signal_of, help="The first signal of a stop (INT).")
    @argument("--on-end", metavar="WHAT", help="A command to run at its end, or a URL to send a POST to.")
    @argument("--notify", action="store_true", help="Show a notification in the browser at its end.")
    @argument("--ready", metavar="SIGN", help="Ready when a line matches this regex, or at this host:port.")
    @line_cell_magic
    @no_var_expand
    @needs_local_scope
    def spawn(self, line: str, cell: str | None = None, local_ns: LocalNames = None) -> object:
        """Start a job; its output appears live in this cell, and the kernel stays free.

        The command goes to your shell, as after !. A cell's body is its standard input;
        without a command, the body is a script for the shell, or for the program that
        its first line names after #!. Returns the Job, which any cell can await.

        In the line, {expression} and $name are replaced by values of the notebook; all
        else is left to the shell: $HOME, ${name}, {1..3}, {print $1}, and $$name, which
        is the shell's $name. A \\ at the end continues the line on the next one.

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

            %%spawn -t --name shell bash

            %%spawn --keep --name train python3 train.py

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
            # A comment is no command: the shell would succeed without reading the body.
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
        answered = options.ready or options.terminal
        if not stdin and waits and (not answered or is_unattended(self._shell)):
            # Nobody could send it anything while the cell waits for its end.
            stdin = ""
        text = command or body or ""
        return self.begin_job(
            lambda: self._shown_anew(options, text, stdin) or self._start(options, text, stdin, names),
            awaited,
            waits=waits,
            replaced=self.replaced(options.name or default_name(text)) if options.replace else None,
            raise_error=not options.no_raise_error,
            until_ready=bool(options.ready),
        )

    def stands_alone(self, line: str) -> bool:
        """Return True if the line has a command, or an option that `spawn` refuses."""
        command = asked_for(self.function(), line)[1]
        return bool(command) and not command.startswith("#")

    def _shown_anew(self, options: argparse.Namespace, command: str, stdin: str | None) -> Job | None:
        """Show a job of the same name and command that runs, as when its cell is run again; else None."""
        if not options.name or options.replace or stdin:
            return None
        job = self.replaced(options.name)
        if job is None or job.done or job.command != command:
            return None
        print(
            f"Job {job.name!r} runs already, and this is what it has written; --replace starts it anew.",
            flush=True,
        )
        self._views.show(job)
        return job

    def _environment(self) -> Mapping[bytes, bytes]:
        return self._jobs.local.environment(self._jobs.kernel_path)

    def _start(
        self, options: argparse.Namespace, command: str, stdin: str | None, names: Mapping[str, object]
    ) -> Job:
        for variable in (options.out, options.err):
            if variable is not None and not variable.isidentifier():
                raise UsageError(f"{variable!r} is not a variable name; give one such as 'text'.")
        asks_apart = options.out is not None or options.err is not None
        chosen = {name: getattr(options, name) for name in _POLICY}
        given, secrets = divided(options.env or [], names)
        if options.terminal and (lack := self._pages.lack()):
            print(lack, flush=True)
        in_terminal = self._views.in_terminals() if options.terminal else nullcontext()
        with Sentences(command), in_terminal:
            job = self._jobs.spawn(
                command,
                name=options.name,
                cwd=options.cwd,
                env={**environment(given, options.unset or [], self._environment), **secrets},
                stdin=stdin,
                timeout=options.timeout,
                ready=options.ready,
                quiet=options.quiet,
                tag=options.tag,
                on_end=options.on_end,
                notify=options.notify,
                shell=options.shell,
                login=options.login,
                strict=options.strict,
                clean_env=options.clean_env,
                nice=options.nice,
                user=options.user,
                umask=options.umask,
                affinity=options.affinity,
                encoding=options.encoding,
                tty=_ON_TERMINAL and not asks_apart if options.tty is None else options.tty,
                rows=options.rows,
                columns=columns_for(self._shell) if options.columns is None else options.columns,
                keep=options.keep,
                **{key: value for key, value in chosen.items() if value is not None},
            )
        self._fill(job, options.out, options.err)
        return job

    def _fill(self, job: Job, out: str | None, err: str | None) -> None:
        """Assign the output to the variables when the job ends."""
        if out is None and err is None:
            return

        def fill(event: Event) -> None:
            if event.kind is EventKind.DONE:
                if out is not None:
                    self._shell.user_ns[out] = job.stdout
                if err is not None:
                    self._shell.user_ns[err] = job.stderr

        job.subscribe(fill)
