"""``%forkbench`` and ``%%forkbench``: measure forked workers, or the cost of forking."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds, magic_arguments

from ipyproc.notebook.expansion import expand
from ipyproc.notebook.foreground import taken_mark
from ipyproc.notebook.lines import continued, with_line_numbers
from ipyproc.notebook.magics.base import (
    BG,
    FORGIVE,
    PUSH,
    QUIET,
    SIGNS,
    WAIT,
    Kind,
    LocalNames,
    Sentences,
    Verb,
    Waiting,
)
from ipyproc.notebook.options import asked_for, parse, pushed
from ipyproc.notebook.private.ipython import cell_name

if TYPE_CHECKING:
    from ipyproc.bench.code import Statement
    from ipyproc.job.job import Job

__all__ = ["ForkBench"]

_USAGE = """\
forkbench [options] [statement]
  %%%%forkbench [options] [setup]
  statement"""


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [-1]
    if min(counts) < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of workers; give one such as 4, several such as 1,2,4, "
            "or 0 for the number of cores"
        )
    return counts


@magics_class
class ForkBench(Verb):
    """``%forkbench`` and ``%%forkbench``."""

    name = "forkbench"
    waiting = Waiting.WHEN_ASKED
    unattended = frozenset({"line", "cell"})

    @magic_arguments()
    @kwds(usage=_USAGE)
    @argument(
        "-n",
        "--workers",
        metavar="N",
        type=_counts,
        default=[0],
        help="Workers, such as 4, or 1,2,4 in turn; 0, the default, for one per core.",
    )
    @argument(
        "-t",
        "--seconds",
        metavar="S",
        type=float,
        default=2.0,
        help="Seconds for each number of workers (2).",
    )
    @argument("--restarts", metavar="K", type=int, default=0, help="Workers to kill during each measurement.")
    @argument("--setup", metavar="CODE", help="Code that each worker runs once, before.")
    @PUSH
    @argument("--name", help="Its name among the jobs; by default forkbench.")
    @WAIT
    @QUIET
    @FORGIVE
    @BG
    @line_cell_magic
    @no_var_expand
    @needs_local_scope
    def forkbench(self, line: str, cell: str | None = None, local_ns: LocalNames = None) -> object:
        """Measure forked workers: %timeit for several processes.

        All workers begin together, and each repeats the statement for a time. The table
        shows operations per second, the time of one operation (p50, p99), processor
        time and private memory per worker; for several numbers of workers also the
        speed-up and what limits it. With --restarts, workers are killed meanwhile, and
        the table shows the time until a replacement ran. In a cell, the text after the
        options is the setup, which each worker runs once.

        Without a statement it measures the cost of forking: the time until the workers
        run, the time from a death to a replacement, and private memory.

        A fresh interpreter forks the workers, never the kernel: of the notebook they
        have what --push sends. Returns a ForkBench at once, a job like any other; await
        it for a BenchResult: a table, .to_dict(), .plot().

        Examples::

            %forkbench

            %forkbench -n 1,2,4 sum(range(10_000))

            %forkbench -n 2 --push model,rows -t 5 --restarts 3 model.score(rows)

            %%forkbench -n 1,2 import json; text = json.dumps(list(range(1000)))
            json.loads(text)

            bench = %forkbench -q -n 1,2,4 sorted(range(1000))
            (await bench).plot()
        """
        kind: Kind = "line" if cell is None else "cell"
        sign = SIGNS[kind]
        mark, line = taken_mark(line)
        if cell is not None:
            line, cell = with_line_numbers(*continued(line, cell), f"{line}\n{cell}")
        # The statement is not expanded, since its braces are Python's.
        statement = asked_for(self.function(), line)[1]
        given = line.rstrip().removesuffix(statement)
        given = expand(given, self.names(local_ns))
        options, rest = parse(self.function(), given + statement, sign)
        # Imported late, so that `%load_ext` need not wait for it.
        from ipyproc.bench import bench

        def start() -> Job:
            with Sentences("the helper", f"{sign}forkbench: "):
                return bench.forkbench(
                    _statement(options, rest, cell, cell_name(self._shell)),
                    options.workers,
                    seconds=options.seconds,
                    restarts=options.restarts,
                    variables=pushed(options.push, self._shell.user_ns, f"{sign}forkbench"),
                    name=options.name,
                    quiet=options.quiet,
                    shown=f"{sign}forkbench {line.strip()}".strip() + (" …" if cell is not None else ""),
                )

        waits = self.is_to_wait(kind, wait=options.wait, bg=options.bg)
        return self.begin_job(start, mark, waits=waits, raise_error=not options.no_raise_error)


def _statement(options: argparse.Namespace, rest: str, cell: str | None, name: str) -> Statement | None:
    from ipyproc.bench.code import Statement

    if cell is None:
        return Statement(rest, options.setup or "") if rest else None
    if rest and options.setup:
        raise UsageError(
            f"%%forkbench has two setups, {options.setup!r} and {rest!r}; put both on its line, "
            "separated by a semicolon."
        )
    return Statement(cell, rest or options.setup or "", name)
