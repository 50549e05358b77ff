"""How fast a child's output comes through a pipe into the loop."""

from __future__ import annotations

import asyncio
import fcntl
import importlib
import os
import subprocess
import time

from tornado.iostream import StreamClosedError

from tests.bench.rounds import fresh, in_turn
from tests.bench.table import OURS, Bar, Row

SIZE = 1 << 30
CHUNK = 1 << 16
COMMAND = ["head", "-c", str(SIZE), "/dev/zero"]
ROUNDS = 8
BARE = "splice(2) to /dev/null, no loop"
"""Takes pages out of the pipe and copies nothing: no reader is faster."""


async def through_stream(process_class: type) -> int:
    process = process_class(COMMAND, stdout=process_class.STREAM)
    total = 0
    try:
        while True:
            total += len(await process.stdout.read_bytes(CHUNK, partial=True))
    except StreamClosedError:
        await process.wait_for_exit()
    return total


async def through_asyncio() -> int:
    process = await asyncio.create_subprocess_exec(*COMMAND, stdout=subprocess.PIPE)
    total = 0
    while data := await process.stdout.read(CHUNK):
        total += len(data)
    await process.wait()
    return total


async def through_splice() -> int:
    process, total = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, bufsize=0), 0
    with process.stdout as pipe, open(os.devnull, "wb") as null:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK * 16)
        while size := os.splice(pipe.fileno(), null.fileno(), CHUNK * 16):
            total += size
    process.wait()
    return total


def throughput(contender: str) -> float:
    """Bytes a second, from before the start to after the exit."""
    modules = {OURS: "ipyproc.process", "tornado": "tornado.process"}
    if contender in modules:
        reading = through_stream(importlib.import_module(modules[contender]).Subprocess)
    else:
        reading = through_splice() if contender == BARE else through_asyncio()
    begun = time.perf_counter()
    total = asyncio.run(reading)
    seconds = time.perf_counter() - begun
    if total != SIZE:
        raise ValueError(f"{contender} read {total} bytes of {SIZE}")
    return total / seconds


def rows() -> list[Row]:
    """Two rows, against Tornado's stream and against asyncio's."""
    contenders = {who: lambda who=who: fresh(throughput, who) for who in (OURS, "tornado", "asyncio", BARE)}
    measured = in_turn(contenders, ROUNDS)
    what = f"Read {SIZE >> 20} MiB of a child's output, {CHUNK >> 10} KiB a call at most"
    bars = [Bar(1.0, "tornado", at_least=True), Bar(4.0, "asyncio", at_least=True)]
    return [measured.row("stream", what, "B/s", bar, limits=(BARE,)) for bar in bars]
