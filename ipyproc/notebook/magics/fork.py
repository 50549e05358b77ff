"""``%%fork``: forked workers from a cell."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.notebook.expansion import expand
from ipyproc.notebook.foreground import taken_mark
from ipyproc.notebook.lines import continued, with_line_numbers
from ipyproc.notebook.magics.base import (
    BG,
    FORGIVE,
    KEEP,
    PUSH,
    QUIET,
    REPLACE,
    WAIT,
    Sentences,
    Verb,
    Waiting,
)
from ipyproc.notebook.options import parse, pushed
from ipyproc.notebook.private.ipython import cell_name

if TYPE_CHECKING:
    from ipyproc.job.job import Job

__all__ = ["Fork"]

_USAGE = """\
%%fork [options]
  code"""

_BODY_LINE = 2


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number; give one such as 4, or 0 for the number of cores"
        ) from None


@magics_class
class Fork(Verb):
    """``%%fork``."""

    name = "fork"
    waiting = Waiting.WHEN_ASKED
    unattended = frozenset({"cell"})

    @magic_arguments()
    @kwds(usage=_USAGE)
    @argument("-n", "--workers", metavar="N", type=_count, help="Workers; 0, the default, for one per core.")
    @argument("--max-restarts", metavar="K", type=int, default=100, help="Restarts over all workers (100).")
    @PUSH
    @argument("--name", help="The group's name; by default workers.")
    @REPLACE
    @WAIT
    @QUIET
    @FORGIVE
    @BG
    @KEEP
    @cell_magic
    @no_var_expand
    def fork(self, line: str, cell: str) -> object:
        """Run the cell in forked workers; a worker that fails is replaced.

        A fresh interpreter forks the workers, never the kernel: of the notebook they
        have what --push sends. In the cell, task_id() is the worker's number, from 0,
        and measure(n) reports how many operations it has done so far, for the table.
        Code above a line fork_processes() runs once, before the fork, and all workers
        inherit what it creates. Without that line, the whole cell runs in each worker.
        Returns the WorkerGroup, a job like any other.

        Examples::

            %%fork -n 4
            print("worker", task_id())

            %%fork -n 2 --push model,paths --max-restarts 3 --name scoring
            for path in paths[task_id()::2]:
                print(path, model.score(path))

            %%fork -n 4 --name web --keep
            import asyncio, tornado.httpserver, tornado.netutil, tornado.web
            sockets = tornado.netutil.bind_sockets(8001, "127.0.0.1")
            fork_processes()
            class Hello(tornado.web.RequestHandler):
                def get(self):
                    self.write(f"worker {task_id()}")
            application = tornado.web.Application([("/", Hello)])
            tornado.httpserver.HTTPServer(application).add_sockets(sockets)
            await asyncio.Event().wait()
        """
        mark, line = taken_mark(line)
        whole = f"{line}\n{cell}"
        line, cell = with_line_numbers(*continued(line, cell), whole)
        options, rest = parse(self.function(), expand(line, self._shell.user_ns), "%%")
        if rest:
            raise UsageError(
                f"%%fork takes no command, but {rest!r} was given; put the code into the cell's body."
            )
        # Imported late, so that `%load_ext` need not wait for it.
        from ipyproc.job import fork as workers

        variables = pushed(options.push, self._shell.user_ns, "%%fork")

        def start() -> Job:
            with Sentences("the helper", "%%fork: "):
                return workers.fork(
                    cell,
                    options.workers,
                    options.max_restarts,
                    variables=variables,
                    name=options.name,
                    quiet=options.quiet,
                    filename=cell_name(self._shell),
                    first_line=_BODY_LINE,
                    shown="%%fork",
                    keep=options.keep,
                )

        return self.begin_job(
            start,
            mark,
            waits=self.is_to_wait("cell", wait=options.wait, bg=options.bg),
            replaced=self.replaced(options.name or "workers") if options.replace else None,
            raise_error=not options.no_raise_error,
        )
