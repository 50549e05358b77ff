"""``%close``: end the input of jobs."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import kwds, magic_arguments

from ipyproc.notebook.magics.base import ALL_RUNNING, JobNames, LocalNames, Verb
from ipyproc.notebook.selection import RUNNING

__all__ = ["Close"]


@magics_class
class Close(Verb):
    """``%close``."""

    name = "close"
    job_names = JobNames.ALL
    by_pattern = RUNNING
    acts_on_running = True

    @magic_arguments()
    @kwds(usage="close NAME... | PATTERN... | --all")
    @ALL_RUNNING
    @line_magic
    @no_var_expand
    @needs_local_scope
    def close(self, line: str, local_ns: LocalNames = None) -> None:
        """End the input of jobs; what was sent before is still read.

        A job on a terminal reads Ctrl-D, and takes more by %send if it goes on reading.

        Examples::

            %close counter
        """
        _, jobs = self.named(line, local_ns)
        for job in jobs:
            job.close_stdin()
