"""``%logs``: the output of jobs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.notebook.magics.base import JobNames, LocalNames, Verb
from ipyproc.notebook.selection import ANY
from ipyproc.views.form import Form

if TYPE_CHECKING:
    from ipyproc.spool.output import StreamName

__all__ = ["Logs"]


def _lines(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines; give one such as 20")
    return int(text)


@magics_class
class Logs(Verb):
    """``%logs``."""

    name = "logs"
    job_names = JobNames.ALL
    by_all = ANY

    @magic_arguments()
    @kwds(usage="logs [options] NAME... | PATTERN... | --all")
    @argument("-n", "--lines", metavar="N", type=_lines, help="Begin with its last N lines.")
    @argument("--stdout", action="store_true", help="Only its standard output.")
    @argument("--stderr", action="store_true", help="Only its standard error; of a job with --pipes.")
    @argument("--times", action="store_true", help="Put the time at which it came before each line.")
    @argument("--tag", action="store_true", help="Put the job's name before each line.")
    @argument("--all", action="store_true", help="All jobs of %%jobs.")
    @line_magic
    @no_var_expand
    @needs_local_scope
    def logs(self, line: str, local_ns: LocalNames = None) -> None:
        """Show the output of jobs in this cell, live.

        The output is shown from its beginning, or with -n from its last lines on, up
        to a limit; job.output has all of it. A pattern such as task-* means all that
        match, ended ones included. The time of a line is when its beginning was read,
        to 10 ms.

        Examples::

            %logs build

            %logs -n 20 bui*

            %logs build --stdout --tag
        """
        options, jobs = self.named(line, local_ns)
        both = options.stdout == options.stderr
        stream: StreamName | None = None if both else "stdout" if options.stdout else "stderr"
        on_terminal = next((job.name for job in jobs if job.terminal), None)
        if stream == "stderr" and on_terminal is not None:
            raise UsageError(
                f"Job {on_terminal!r} runs on a terminal, where standard error is part of the output; "
                "start it with --pipes to have it apart."
            )
        for number, job in enumerate(jobs):
            form = Form(stream, options.times, job.name if options.tag else "", number)
            self._views.show(job, last=options.lines, form=None if form == Form() else form)
