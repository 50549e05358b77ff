"""``%restart``: stop jobs and start them again."""

from __future__ import annotations

import asyncio

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import kwds, magic_arguments

from ipyproc.notebook.foreground import taken_mark
from ipyproc.notebook.magics.base import ALL_RUNNING, JobNames, LocalNames, Sentences, Verb, Waiting

__all__ = ["Restart"]


@magics_class
class Restart(Verb):
    """``%restart``."""

    name = "restart"
    waiting = Waiting.ALWAYS
    job_names = JobNames.ALL
    acts_on_running = True

    @magic_arguments()
    @kwds(usage="restart NAME... | PATTERN... | --all")
    @ALL_RUNNING
    @line_magic
    @no_var_expand
    @needs_local_scope
    def restart(self, line: str, local_ns: LocalNames = None) -> object:
        """Stop jobs and start them again; also jobs that have ended.

        New output follows the old in the cells that started them. A pattern such as
        task-* means all that match, ended ones included; --all means all that run.

        Examples::

            %restart build

            %restart docs inst*
        """
        awaited, line = taken_mark(line)
        _, jobs = self.named(line, local_ns)
        grace = self._settings.grace

        async def restart() -> None:
            with Sentences():
                await asyncio.gather(*(job.restart(grace) for job in jobs))
            for job in jobs:
                self._views.show(job, output=False)

        return self.finish(restart, awaited)
