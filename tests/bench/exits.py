"""What it costs the parent to see one child exit while many others go on living."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from tests.bench.rounds import Measured, fresh, in_turn
from tests.bench.table import OURS, Bar, Row

CHILD = ["/usr/bin/head", "-c1"]
"""Ends when it has read one byte, and all of them read from the same pipe."""

RELEASER = """
import os, sys, time
tokens, count, gap = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
sys.stdin.readline()
for _ in range(count):
    time.sleep(gap)
    os.write(tokens, b".")
sys.stdin.read()
"""
"""Ends the children, so that ending them is no cost of the parent's."""

FEW, MANY = 200, 3000
SAMPLE = 100
GAP = 0.0005
LONGEST = 30.0
"""Tornado's handler, which takes 3 s, is now and then not done in two minutes."""
ROUNDS = 3
MORE_ROUNDS = 5

Start = Callable[[int], Awaitable[Awaitable[int]]]


def subprocess_of(module: str) -> Start:
    process_class = importlib.import_module(module).Subprocess

    async def start(stdin: int) -> Awaitable[int]:
        return process_class(CHILD, stdin=stdin, stdout=subprocess.DEVNULL).wait_for_exit()

    return start


async def with_asyncio(stdin: int) -> Awaitable[int]:
    process = await asyncio.create_subprocess_exec(*CHILD, stdin=stdin, stdout=subprocess.DEVNULL)
    return process.wait()


async def sample(start: Start, living: int) -> float:
    tokens, give = os.pipe()
    seen, enough = 0, asyncio.Event()

    async def see(exit_status: Awaitable[int]) -> None:
        nonlocal seen
        await exit_status
        seen += 1
        if seen == SAMPLE:
            enough.set()

    waits = [asyncio.ensure_future(see(await start(tokens))) for _ in range(living)]
    command = [sys.executable, "-c", RELEASER, str(give), str(SAMPLE), str(GAP)]
    releaser = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[give])
    await asyncio.sleep(0.5)
    releaser.stdin.write(b"\n")
    releaser.stdin.flush()
    begun = time.process_time()
    await enough.wait()
    spent = time.process_time() - begun
    os.close(give)
    releaser.communicate()
    # Not through the contender, which may take a minute for so many at once.
    for wait in waits:
        wait.cancel()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    return spent / SAMPLE


def cpu_per_exit(contender: str, living: int) -> float:
    """Seconds of the parent's own CPU, user and system, for one exit among ``living`` children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    modules = {OURS: "ipyproc.process", "tornado": "tornado.process"}
    start = subprocess_of(modules[contender]) if contender in modules else with_asyncio
    return asyncio.run(sample(start, living))


def rows() -> list[Row]:
    """Three rows: flat from few to many, small in itself, small beside Tornado."""
    contenders = {
        (who, living): lambda who=who, living=living: fresh(cpu_per_exit, who, living, timeout=LONGEST)
        for living in (FEW, MANY)
        for who in (OURS, "tornado", "asyncio")
    }
    measured: Measured[float] = in_turn(contenders, ROUNDS)
    # How alike our two are is told by more rounds than how far the others are from them.
    ours = in_turn({key: contenders[key] for key in contenders if key[0] == OURS}, MORE_ROUNDS)
    for key, values in ours.results.items():
        measured.results.setdefault(key, []).extend(values)
    measured.failures |= ours.failures
    measured.spins += ours.spins
    failure = measured.failures.get((OURS, MANY)) or measured.failures.get((OURS, FEW))

    def figures(living: int) -> dict[str, list[float]]:
        return {who: values for (who, count), values in measured.results.items() if count == living}

    def row(what: str, bar: Bar, shown: dict[str, list[float]]) -> Row:
        return measured.row_of("exits", what, "s", bar, shown, failure)

    many, few = figures(MANY), figures(FEW)
    small = {f"{who} at {FEW}": values for who, values in few.items()}
    what = f"CPU of the parent to see one of {MANY:,} living children exit"
    flat = {who: values for who, values in {**many, **small}.items() if who.startswith(OURS)}
    return [
        row(what, Bar(45e-6), {**many, **small}),
        row(f"{what}, beside the same among {FEW}", Bar(1.25, f"{OURS} at {FEW}"), flat),
        row(f"{what}, beside Tornado", Bar(1 / 15, "tornado"), many),
    ]
