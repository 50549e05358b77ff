"""From spawn to exit seen, one process at a time."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from statistics import median

import anyio
import trio

from tests.bench.rounds import Measured, Unavailable, fresh, spin
from tests.bench.table import OURS, Bar, Row

COMMAND = ["/bin/true"]
ENVIRONMENT = dict(os.environb)
FLOOR = "posix_spawn + waitpid"
POPEN = "Popen and wait(), no loop"
POPEN_ON_LOOP = "Popen and a pidfd, bare asyncio loop"

INTERPRETERS = 4
ROUNDS = 12
BLOCK = 50

Spawn = Callable[[], Awaitable[object]]


async def bare() -> None:
    pid = os.posix_spawn(COMMAND[0], COMMAND, ENVIRONMENT)
    os.waitpid(pid, 0)


async def popen() -> None:
    subprocess.Popen(COMMAND).wait()


async def popen_on_loop() -> None:
    """The least that gives a Popen, and its exit on an asyncio loop."""
    loop = asyncio.get_running_loop()
    exited, process = loop.create_future(), subprocess.Popen(COMMAND)
    pidfd = os.pidfd_open(process.pid)

    def readable() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        exited.set_result(process.poll())

    loop.add_reader(pidfd, readable)
    await exited


def subprocess_of(module: str) -> Spawn:
    process_class = importlib.import_module(module).Subprocess

    async def spawn() -> None:
        await process_class(COMMAND).wait_for_exit()

    return spawn


async def with_asyncio() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND)
    await process.wait()


async def with_anyio() -> None:
    async with await anyio.open_process(COMMAND, stdin=None, stdout=None, stderr=None) as process:
        await process.wait()


async def with_trio() -> None:
    process = await trio.lowlevel.open_process(COMMAND)
    await process.wait()


async def block(spawn: Spawn) -> float:
    """The median of a block; blocks are short, since the machine drifts by more than we differ."""
    seconds = []
    for _ in range(BLOCK):
        begun = time.perf_counter()
        await spawn()
        seconds.append(time.perf_counter() - begun)
    return median(seconds)


async def block_of(module: str, spawn: Spawn) -> float:
    """A block, after which a SIGCHLD handler is no burden to the others."""
    try:
        return await block(spawn)
    finally:
        importlib.import_module(module).Subprocess.uninitialize()


def blocks() -> dict[str, list[float]]:
    """For each contender the medians of its blocks, taken in turn in this one interpreter."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    modules = {OURS: "ipyproc.process", "tornado": "tornado.process"}
    runs: dict[str, Callable[[], float]] = {
        who: lambda spawn=spawn: loop.run_until_complete(block(spawn))
        for who, spawn in ((FLOOR, bare), (POPEN, popen), (POPEN_ON_LOOP, popen_on_loop))
    }
    for who, module in modules.items():
        try:
            spawn = subprocess_of(module)
        except ImportError:
            continue
        runs[who] = lambda module=module, spawn=spawn: loop.run_until_complete(block_of(module, spawn))
    runs["asyncio"] = lambda: loop.run_until_complete(block(with_asyncio))
    runs["anyio"] = lambda: loop.run_until_complete(block(with_anyio))
    runs["trio"] = lambda: trio.run(block, with_trio)
    for run in runs.values():
        run()
    medians: dict[str, list[float]] = {who: [] for who in runs}
    for _ in range(ROUNDS):
        for who, run in runs.items():
            medians[who].append(run())
    loop.close()
    return medians


def rows() -> list[Row]:
    """One row: ours beside the floor and four others."""
    measured: Measured[float] = Measured()
    for _ in range(INTERPRETERS):
        measured.spins.append(spin())
        for who, medians in fresh(blocks).items():
            measured.results.setdefault(who, []).extend(medians)
    measured.spins.append(spin())
    if OURS not in measured.results:
        measured.failures[OURS] = Unavailable("ipyproc.process cannot be imported")
    what = "Start /bin/true and see its exit, one at a time (median)"
    return [measured.row("spawn", what, "s", Bar(1.06, FLOOR), limits=(POPEN, POPEN_ON_LOOP))]
