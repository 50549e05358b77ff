"""Runs jobs with large output and few fds: argv[1] says how; prints what came of it, as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ipyproc.job.table import JobTable
from ipyproc.spool.output import Output
from tests.jobs.looped import PYTHON
from tests.support import open_fds_below

LIMIT = 64
SIZE = 300_000
MANY = 80
FLOOD = """
import os, sys
sys.stdin.readline()
for number in range(64):
    rest = b"%07d\\n" % number * (1 << 15)
    while rest:
        rest = rest[os.write(1, rest):]
"""
FLOODED = b"".join(b"%07d\n" % number * (1 << 15) for number in range(64))


def limit_fds() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@contextmanager
def none_left() -> Iterator[None]:
    """With every fd taken that may be."""
    fds = []
    try:
        while True:
            fds.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    yield
    for fd in fds:
        os.close(fd)


async def one_after_another() -> dict[str, object]:
    table = JobTable()
    await table.spawn(f"head -c {SIZE} /dev/zero", name="warm")
    limit_fds()
    before = len(open_fds_below(LIMIT))
    for number in range(MANY):
        await table.spawn(f"head -c {SIZE} /dev/zero | tr '\\0' {number % 10}", name=f"job {number}")
    told = {
        "fds more": len(open_fds_below(LIMIT)) - before,
        "whole": all(table[f"job {number}"].read() == b"%d" % (number % 10) * SIZE for number in range(MANY)),
    }
    table.end_all()
    return told


async def flood() -> dict[str, object]:
    table = JobTable()
    await table.spawn("true")
    limit_fds()
    jobs = [table.spawn([*PYTHON, FLOOD], name=f"flood {number}") for number in range(2)]
    with none_left():
        for job in jobs:
            job.send("\n")
        await asyncio.gather(*jobs)
        told = {
            "whole": all(job.read() == FLOODED for job in jobs),
            "tail": {job.tail(1) for job in jobs} == {"0000063\n"},
            "notes": [job.snapshot().notes for job in jobs],
        }
    table.end_all()
    return told


def no_reserve() -> dict[str, object]:
    """An output alone, with nobody who keeps an fd for it."""
    limit_fds()
    kept, lost = Output(1 << 30), Output(1 << 30)
    block = bytes(1 << 20)
    with none_left():
        for _ in range(6):
            kept.append("stdout", block, 0.0)
        for _ in range(16):
            lost.append("stdout", block, 0.0)
        told = {
            "kept meanwhile": kept.read() == block * 6,
            "lost": (kept.lost, lost.lost > 0, lost.lost_because),
            "lost is the rest": lost.lost + lost.end == 16 << 20,
        }
    for output in kept, lost:
        output.append("stdout", b"more", 1.0)
    told["goes on"] = kept.read() == block * 6 + b"more" and lost.read()[-4:] == b"more"
    (directory,) = os.listdir(tempfile.gettempdir())
    told["in files by then"] = len(os.listdir(os.path.join(tempfile.gettempdir(), directory)))
    return told


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ipyproc-test-") as folder:
        tempfile.tempdir = folder
        if sys.argv[1] == "no reserve":
            print(json.dumps(no_reserve()))
        else:
            work = flood() if sys.argv[1] == "flood" else one_after_another()
            print(json.dumps(asyncio.run(asyncio.wait_for(work, 150))))
