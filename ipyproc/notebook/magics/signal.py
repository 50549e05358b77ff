"""``%signal``: send a signal to jobs."""

from __future__ import annotations

import argparse

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import kwds, magic_arguments

from ipyproc.notebook.expansion import expand
from ipyproc.notebook.magics.base import ALL_RUNNING, JobNames, LocalNames, Sentences, Verb
from ipyproc.notebook.options import pick, signal_of
from ipyproc.notebook.selection import RUNNING

__all__ = ["Signal"]


@magics_class
class Signal(Verb):
    """``%signal``."""

    name = "signal"
    job_names = JobNames.ALL
    by_pattern = RUNNING
    acts_on_running = True

    @magic_arguments()
    @kwds(usage="signal NAME... SIGNAL | PATTERN... SIGNAL | --all SIGNAL")
    @ALL_RUNNING
    @line_magic
    @no_var_expand
    @needs_local_scope
    def signal(self, line: str, local_ns: LocalNames = None) -> None:
        """Send a signal to the programs of jobs.

        Give the signal by its name or its number: HUP, SIGHUP or 1. A server reloads at
        HUP. %stop stops a job, with all that it has started.

        Examples::

            %signal web HUP
        """
        names, last = _divided(line.strip())
        if not names:
            raise UsageError(f"%signal needs the name of a job and a signal, such as HUP; {self.which()}.")
        try:
            signum = signal_of(expand(last, self.names(local_ns)))
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"%signal: {error}.") from None
        _, jobs = self.named(names, local_ns)
        with Sentences():
            for job in jobs:
                job.signal(signum)


def _divided(line: str) -> tuple[str, str]:
    """Return the words of a line before the last one, as they stand, and the last one."""
    word, rest = pick(line)
    last = line
    while rest:
        last = rest
        word, rest = pick(rest)
    return line[: -len(last)].strip() if last else "", word
