"""``%stop``: stop jobs."""

from __future__ import annotations

import asyncio

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import kwds, magic_arguments

from ipyproc.notebook.foreground import taken_mark
from ipyproc.notebook.magics.base import ALL_RUNNING, JobNames, LocalNames, Verb, Waiting
from ipyproc.notebook.selection import STOPPABLE

__all__ = ["Stop"]


@magics_class
class Stop(Verb):
    """``%stop``."""

    name = "stop"
    waiting = Waiting.ALWAYS
    job_names = JobNames.ALL
    by_pattern = by_all = STOPPABLE
    acts_on_running = True

    @magic_arguments()
    @kwds(usage="stop NAME... | PATTERN... | --all")
    @ALL_RUNNING
    @line_magic
    @no_var_expand
    @needs_local_scope
    def stop(self, line: str, local_ns: LocalNames = None) -> object:
        """Stop jobs, by SIGINT, then SIGTERM, then SIGKILL, as needed.

        Give a job by its name or its pid; quote a name with spaces. A pattern such as
        task-* means all that run and match; --all means all that run. The signals are
        2 s apart (%config IPyProc.grace).

        Examples::

            %stop build

            %stop docs "my server"

            %stop inst*
        """
        awaited, line = taken_mark(line)
        _, jobs = self.named(line, local_ns)
        grace = self._settings.grace

        async def stop() -> None:
            await asyncio.gather(*(job.stop(grace) for job in jobs))
            for job in jobs:
                self._views.show(job, output=False)

        return self.finish(stop, awaited)
