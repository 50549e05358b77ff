"""``%wait``: wait for jobs in the foreground."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.notebook.foreground import taken_mark, wait_for
from ipyproc.notebook.magics.base import ALL_RUNNING, JobNames, LocalNames, Verb, Waiting

__all__ = ["Wait"]


@magics_class
class Wait(Verb):
    """``%wait``."""

    name = "wait"
    waiting = Waiting.ALWAYS
    job_names = JobNames.ALL
    acts_on_running = True

    @magic_arguments()
    @kwds(usage="wait [--ready] NAME... | PATTERN... | --all")
    @argument("--ready", action="store_true", help="Wait until they are ready, not for their end.")
    @ALL_RUNNING
    @line_magic
    @no_var_expand
    @needs_local_scope
    def wait(self, line: str, local_ns: LocalNames = None) -> object:
        """Wait for jobs in the foreground; ■ interrupts them meanwhile.

        Their output still goes to the cells that started them. If one fails, this cell
        raises an error. With --ready, it waits until each is ready, as the --ready of
        its %spawn says, and raises if one ends before. A pattern such as task-* means
        all that match, ended ones included; --all means all that run.

        Examples::

            %wait build

            %wait build doc*

            %wait --ready build
        """
        awaited, line = taken_mark(line)
        options, jobs = self.named(line, local_ns)
        for job in jobs:
            self._views.show(job, output=False)
        return self.finish(lambda: wait_for(*jobs, until_ready=options.ready), awaited, jobs)
