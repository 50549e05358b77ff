"""What a job costs, from ``spawn()`` to its awaited result with its pipes, one at a time and 300 at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

from tornado.process import Subprocess

from ipyproc.job.table import JobTable
from tests.bench.rounds import Measured, fresh, spin
from tests.bench.table import OURS, Bar, Row

COMMAND = ["/bin/true"]
PIPES = {
    "stdin": asyncio.subprocess.PIPE,
    "stdout": asyncio.subprocess.PIPE,
    "stderr": asyncio.subprocess.PIPE,
}
STREAMS = "Tornado's Subprocess, three STREAMs"

INTERPRETERS = 3
ROUNDS = 8
BLOCK = 40
MANY = 300
MANY_ROUNDS = 3

Run = Callable[[], Awaitable[object]]


async def with_asyncio() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, **PIPES)
    await process.communicate()


async def with_tornado() -> None:
    stream = Subprocess.STREAM
    process = Subprocess(COMMAND, stdin=stream, stdout=stream, stderr=stream)
    process.stdin.close()
    await asyncio.gather(
        process.stdout.read_until_close(), process.stderr.read_until_close(), process.wait_for_exit()
    )


def contenders(table: JobTable) -> dict[str, Run]:
    async def ours() -> None:
        await table.spawn(COMMAND)

    return {OURS: ours, STREAMS: with_tornado, "asyncio": with_asyncio}


async def block(run: Run) -> float:
    """The median of a block, one after another."""
    seconds = []
    for _ in range(BLOCK):
        begun = time.perf_counter()
        await run()
        seconds.append(time.perf_counter() - begun)
    return median(seconds)


async def together(run: Run) -> float:
    """Seconds until all of many at once are done."""
    begun = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(MANY)))
    return time.perf_counter() - begun


def measured(measure: Callable[[Run], Awaitable[float]], rounds: int) -> dict[str, list[float]]:
    """Each contender's figures, taken in turn in this one interpreter."""

    async def main() -> dict[str, list[float]]:
        table = JobTable()
        runs = contenders(table)
        figures: dict[str, list[float]] = {who: [] for who in runs}
        try:
            for number in range(rounds + 1):
                for who, run in runs.items():
                    seconds = await measure(run)
                    # The first round warms what is made once.
                    if number:
                        figures[who].append(seconds)
        finally:
            # A SIGCHLD handler is no burden to those after it.
            Subprocess.uninitialize()
            table.end_all()
        return figures

    return asyncio.run(main())


def one_at_a_time() -> dict[str, list[float]]:
    return measured(block, ROUNDS)


def many_at_once() -> dict[str, list[float]]:
    return measured(together, MANY_ROUNDS)


def _rows(name: str, function: Callable[[], dict[str, list[float]]], what: str, *bars: Bar) -> list[Row]:
    found: Measured[float] = Measured()
    for _ in range(INTERPRETERS):
        found.spins.append(spin())
        for who, figures in fresh(function).items():
            found.results.setdefault(who, []).extend(figures)
    found.spins.append(spin())
    return [found.row(name, what, "s", bar) for bar in bars]


def rows() -> list[Row]:
    """Ours beside asyncio's `communicate` and Tornado's three streams."""
    return [
        *_rows(
            "job",
            one_at_a_time,
            "A job, from `spawn()` to its awaited result, one at a time, with its pipes (median)",
            Bar(1.0, "asyncio"),
            Bar(1.15, STREAMS),
        ),
        *_rows(
            "job", many_at_once, f"{MANY} jobs at once, until all have their results", Bar(0.8, "asyncio")
        ),
    ]
