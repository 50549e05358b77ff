"""``%jobs``: the table of jobs."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.notebook.magics.base import JobNames, LocalNames, Verb
from ipyproc.notebook.selection import ShownJobs

__all__ = ["Jobs"]


@magics_class
class Jobs(Verb):
    """``%jobs``."""

    name = "jobs"
    job_names = JobNames.ALL

    @magic_arguments()
    @kwds(usage="jobs [--running] [NAME... | PATTERN...]")
    @argument("--running", action="store_true", help="Only the jobs that run.")
    @line_magic
    @no_var_expand
    @needs_local_scope
    def jobs(self, line: str, local_ns: LocalNames = None) -> None:
        """Show all jobs in a live table, or those that are named or match a pattern.

        A row has the name, pid, state, exit, restarts, uptime, CPU, memory, size of the
        output and its last line. In Python the table is ipyproc.jobs. Jobs that other
        notebooks keep (%spawn --keep) are among them.

        Examples::

            %jobs

            %jobs --running

            %jobs bui* docs
        """
        options, words = self.parsed(line, local_ns)
        self._jobs.find_kept()
        if words:
            self.select(words)
        if words or options.running:
            self._views.show_table(ShownJobs(self._jobs, words, running=options.running))
        else:
            self._views.show_table()
