"""``%wait``: wait for jobs in the foreground."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand

from ipyproc.notebook.foreground import taken_mark, wait_for
from ipyproc.notebook.magics.base import JobNames, LocalNames, Verb, Waiting

__all__ = ["Wait"]


@magics_class
class Wait(Verb):
    """``%wait``."""

    name = "wait"
    waiting = Waiting.ALWAYS
    job_names = JobNames.ALL

    @line_magic
    @no_var_expand
    @needs_local_scope
    def wait(self, line: str, local_ns: LocalNames = None) -> object:
        """Wait for jobs in the foreground: ``%wait NAME...``; ■ interrupts them meanwhile.

        Their output still goes to the cells that started them. If one fails, this cell
        raises an error.

        Examples::

            %wait build

            %wait build docs
        """
        awaited, line = taken_mark(line)
        jobs = self.named(line, local_ns)
        for job in jobs:
            self._screen.show(job, output=False)
        return self.finish(lambda: wait_for(*jobs), awaited, jobs)
