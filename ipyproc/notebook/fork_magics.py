"""``%%fork``: forked workers from a cell."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.errors import IpyprocError
from ipyproc.job.command import explain_start_error
from ipyproc.job.job import Job
from ipyproc.notebook.cells import is_unattended
from ipyproc.notebook.expansion import expand
from ipyproc.notebook.foreground import finish, plainly, taken_mark, wait_for
from ipyproc.notebook.lines import continued, whole_line, with_line_numbers
from ipyproc.notebook.options import asked_for, parse

if TYPE_CHECKING:
    from ipyproc.notebook.screen import Screen

__all__ = ["ForkMagics", "awaited", "name_of_cell", "pushed"]

_USAGE = """\
%%fork [options]
  code"""

_BODY_LINE = 2


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole number; give one such as 4, or 0 for the number of cores"
        ) from None


@magics_class
class ForkMagics(Magics):
    """``%%fork`` and what goes with it."""

    def __init__(self, shell: Any, screen: Screen) -> None:
        super().__init__(shell)
        self._shell = shell
        self._screen = screen

    @magic_arguments()
    @kwds(usage=_USAGE)
    @argument("-n", "--workers", metavar="N", type=_count, help="Workers; 0, as by default, for the cores.")
    @argument("--max-restarts", metavar="K", type=int, default=100, help="Restarts, over all workers (100).")
    @argument("--push", metavar="A,B", action="append", help="Send these variables of the notebook along.")
    @argument("--name", help="The group's name; by default workers.")
    @argument("-w", "--wait", action="store_true", help="Wait for its end; ■ then interrupts it.")
    @argument("-q", "--quiet", action="store_true", help="Show nothing in this cell.")
    @argument("--no-raise-error", action="store_true", help="When it is waited for, a failure is no error.")
    @argument("--bg", action="store_true", help="Do not wait, in a batch run (nbclient, papermill) either.")
    @cell_magic
    @no_var_expand
    def fork(self, line: str, cell: str) -> object:
        """Run the cell in forked workers; a worker that fails is replaced.

        The workers are forked by a fresh interpreter, never by the kernel: of the
        notebook they have what --push sends. In the cell, task_id() is the worker's
        number, from 0, and measure(n) tells how many operations it has done so far, for
        the table. What stands above a line fork_processes() runs once, before the fork;
        all workers inherit what it makes. Without that line, all of the cell runs in
        each worker. Returns the WorkerGroup, a job like any other.

        Examples::

            %%fork -n 4
            print("worker", task_id())

            %%fork -n 2 --push model,paths --max-restarts 3 --name scoring
            for path in paths[task_id()::2]:
                print(path, model.score(path))

            %%fork -n 4 --name web
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
        options, rest = parse(self.fork, expand(line, self._shell.user_ns), "%%")
        if rest:
            raise UsageError(
                f"%%fork takes no command, {rest!r} was given; put the code into the cell's body."
            )
        # At import, `%load_ext` would wait for it.
        from ipyproc.job import fork as workers

        variables = pushed(options.push, self._shell.user_ns, "%%fork")
        try:
            group = workers.fork(
                cell,
                options.workers,
                options.max_restarts,
                variables=variables,
                name=options.name,
                quiet=options.quiet,
                filename=name_of_cell(self._shell),
                first_line=_BODY_LINE,
                shown="%%fork",
            )
        except IpyprocError as error:
            raise UsageError(f"%%fork: {error}") from None
        except OSError as error:
            raise UsageError(explain_start_error(error, "the helper")) from None
        if options.wait or (not options.bg and is_unattended(self._shell)):
            return awaited(group, self._screen, mark, raise_error=not options.no_raise_error)
        return group

    def waits(self, magic: str, arguments: list[str]) -> bool:
        """Whether a magic with these arguments is to be awaited by its cell."""
        if magic != "%%fork":
            return False
        given, _ = asked_for(self.fork, whole_line(arguments))
        return "--wait" in given or ("--bg" not in given and is_unattended(self._shell))


def pushed(given: list[str] | None, names: Mapping[str, object], magic: str) -> dict[str, object]:
    """The variables of the notebook that ``--push a,b`` asks for.

    Raises:
        UsageError: there is no such variable.
    """
    wanted = [name.strip() for part in given or () for name in part.split(",") if name.strip()]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UsageError(
            f"{magic}: there is no variable {missing[0]!r} to push; assign it in a cell first, "
            "or check its spelling."
        )
    return {name: names[name] for name in wanted}


def name_of_cell(shell: Any) -> str:
    """What tracebacks call the cell that runs."""
    # The count goes up before the cell runs, or after, by the version; In may be the user's.
    return f"In[{len(shell.history_manager.input_hist_parsed) - 1}]"


def awaited(group: Job, screen: Screen, mark: bool, *, raise_error: bool) -> object:
    """Wait for a group in the foreground; where the cell's line has the mark, the cell awaits it."""

    async def wait() -> Job:
        try:
            await wait_for(group, raise_error=raise_error)
        finally:
            screen.catch_up([group])
        return group

    return finish(lambda: plainly(wait()), mark, screen.driver, [group])
