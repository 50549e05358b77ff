"""``%send``: write a line to a job's standard input."""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.notebook.expansion import expand
from ipyproc.notebook.magics.base import JobNames, LocalNames, Sentences, Verb
from ipyproc.notebook.options import after_first, parse, pick
from ipyproc.notebook.selection import RUNNING

__all__ = ["Send"]

_USAGE = "send [-n] NAME text"


@magics_class
class Send(Verb):
    """``%send``."""

    name = "send"
    job_names = JobNames.FIRST
    by_pattern = RUNNING
    acts_on_running = True

    @magic_arguments()
    @kwds(usage=_USAGE)
    @argument("-n", "--no-newline", action="store_true", help="Do not end the line.")
    @line_magic
    @no_var_expand
    @needs_local_scope
    def send(self, line: str, local_ns: LocalNames = None) -> None:
        """Write a line to a job's standard input, or to those of all that match a pattern.

        The text is everything after the name and one space, further spaces and quotes
        included; {name} and $name in it are replaced by variables of the notebook. A
        terminal shows it, except at a prompt for a password.

        Examples::

            %send installer /opt/thing
        """
        options, rest = parse(self.function(), expand(line, self.names(local_ns)))
        name, _ = pick(rest)
        if not name:
            raise UsageError(f"%send needs the name of a job and a text; {self.which()}.")
        text = after_first(rest) + ("" if options.no_newline else "\n")
        jobs = self.select([name])
        with Sentences():
            for job in jobs:
                job.send(text)
