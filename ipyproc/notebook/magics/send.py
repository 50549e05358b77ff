"""``%send``: write a line to a job's standard input."""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand

from ipyproc.notebook.expansion import expand
from ipyproc.notebook.magics.base import JobNames, LocalNames, Sentences, Verb
from ipyproc.notebook.options import pick

__all__ = ["Send"]


@magics_class
class Send(Verb):
    """``%send``."""

    name = "send"
    job_names = JobNames.FIRST

    @line_magic
    @no_var_expand
    @needs_local_scope
    def send(self, line: str, local_ns: LocalNames = None) -> None:
        """Write a line to a job's standard input: ``%send NAME text``.

        The text is everything after the name, quotes included; {name} and $name in it
        are replaced by variables of the notebook.

        Examples::

            %send installer /opt/thing
        """
        name, text = pick(expand(line, self.names(local_ns)))
        if not name:
            raise UsageError(f"%send needs the name of a job and a text; {self.which()}.")
        with Sentences():
            self._jobs[name].send(text + "\n")
