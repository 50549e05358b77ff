"""``%close``: end the input of jobs."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand

from ipyproc.notebook.magics.base import JobNames, LocalNames, Verb

__all__ = ["Close"]


@magics_class
class Close(Verb):
    """``%close``."""

    name = "close"
    job_names = JobNames.ALL

    @line_magic
    @no_var_expand
    @needs_local_scope
    def close(self, line: str, local_ns: LocalNames = None) -> None:
        """End the input of jobs: ``%close NAME...``; what was sent before is still read.

        A job on a terminal reads Ctrl-D, and takes more by %send if it goes on reading.

        Examples::

            %close counter
        """
        for job in self.named(line, local_ns):
            job.close_stdin()
