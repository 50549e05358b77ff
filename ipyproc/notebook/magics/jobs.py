"""``%jobs``: the table of jobs."""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class

from ipyproc.notebook.magics.base import Verb

__all__ = ["Jobs"]


@magics_class
class Jobs(Verb):
    """``%jobs``."""

    name = "jobs"

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
                f"%jobs takes no arguments, but {line.strip()!r} was given; for one job see %logs NAME."
            )
        self._screen.show_table()
