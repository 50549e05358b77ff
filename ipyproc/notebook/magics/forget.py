"""``%forget``: forget jobs that have ended."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.notebook.magics.base import JobNames, LocalNames, Sentences, Verb
from ipyproc.notebook.selection import ENDED

__all__ = ["Forget"]


@magics_class
class Forget(Verb):
    """``%forget``."""

    name = "forget"
    job_names = JobNames.ALL
    by_pattern = by_all = ENDED

    @magic_arguments()
    @kwds(usage="forget NAME... | PATTERN... | --all")
    @argument("--all", action="store_true", help="All jobs that have ended.")
    @line_magic
    @no_var_expand
    @needs_local_scope
    def forget(self, line: str, local_ns: LocalNames = None) -> None:
        """Forget jobs that have ended, and free the memory and the files of their output.

        They leave %jobs; what their cells show stays there. A pattern such as task-*
        means all that have ended and match; --all means all that have ended. A job that
        runs is not forgotten: stop it first.

        Examples::

            %forget build

            %forget d* "my server"
        """
        _, jobs = self.named(line, local_ns)
        with Sentences():
            self._jobs.forget_all(jobs)
