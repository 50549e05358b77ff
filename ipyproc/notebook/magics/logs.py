"""``%logs``: show the output of jobs."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand

from ipyproc.notebook.magics.base import JobNames, LocalNames, Verb

__all__ = ["Logs"]


@magics_class
class Logs(Verb):
    """``%logs``."""

    name = "logs"
    job_names = JobNames.ALL

    @line_magic
    @no_var_expand
    @needs_local_scope
    def logs(self, line: str, local_ns: LocalNames = None) -> None:
        """Show the output of jobs in this cell, live: ``%logs NAME...``.

        The output is shown from its beginning, up to a limit; job.output has all of it.

        Examples::

            %logs build
        """
        for job in self.named(line, local_ns):
            self._screen.show(job)
