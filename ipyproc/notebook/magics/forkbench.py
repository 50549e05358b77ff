"""``%forkbench`` and ``%%forkbench``: what forking costs, and what workers can do together."""

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
            f"{text!r} is no number of workers; give one such as 4, several such as 1,2,4, "
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
        help="Workers, such as 4, or 1,2,4 in turn; 0, as by default, for the cores.",
    )
    @argument("-t", "--seconds", metavar="S", type=float, default=2.0, help="How long each number works (2).")
    @argument("--restarts", metavar="K", type=int, default=0, help="Kill so many workers as it runs.")
    @argument("--setup", metavar="CODE", help="What each worker does once, before.")
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

        All workers begin together, and each repeats the statement for a time. Shown are
        operations a second, the time of one operation (p50, p99), processor time and
        private memory a worker; with several numbers of workers, the speed-up and what
        limits it. With --restarts, workers are killed meanwhile, and shown is how long
        it took until a replacement ran. In a cell, what follows the options is the
        setup, which each worker runs once.

        With no statement it measures what forking costs here: the time until the
        workers run, from a death to a replacement, and private memory.

        The workers are forked by a fresh interpreter, never by the kernel: of the
        notebook they have what --push sends. Returns a ForkBench at once, a job like
        any other. Awaiting it gives a BenchResult: a table, .to_dict(), .plot().

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
        # The statement is Python, in which braces are Python's.
        statement = asked_for(self.function(), line)[1]
        given = line.rstrip().removesuffix(statement)
        given = expand(given, self.names(local_ns))
        options, rest = parse(self.function(), given + statement, sign)
        # At import, `%load_ext` would wait for it.
        from ipyproc.bench import bench

        with Sentences("the helper", f"{sign}forkbench: "):
            job = bench.forkbench(
                _statement(options, rest, cell, cell_name(self._shell)),
                options.workers,
                seconds=options.seconds,
                restarts=options.restarts,
                variables=pushed(options.push, self._shell.user_ns, f"{sign}forkbench"),
                name=options.name,
                quiet=options.quiet,
                shown=f"{sign}forkbench {line.strip()}".strip() + (" …" if cell is not None else ""),
            )
        if self.is_to_wait(kind, wait=options.wait, bg=options.bg):
            return self.finish_job(job, mark, raise_error=not options.no_raise_error)
        return job


def _statement(options: argparse.Namespace, rest: str, cell: str | None, name: str) -> Statement | None:
    from ipyproc.bench.code import Statement

    if cell is None:
        return Statement(rest, options.setup or "") if rest else None
    if rest and options.setup:
        raise UsageError(
            f"%%forkbench has two setups, {options.setup!r} and {rest!r}; put both on its line, "
            "with ; between."
        )
    return Statement(cell, rest or options.setup or "", name)
