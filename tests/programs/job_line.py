"""Runs a job that writes one line without an end, of argv[1] MB; prints what memory that took, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys

from ipyproc.job.table import JobTable
from tests.jobs.looped import PYTHON

WRITER = """
import os
block = b"x" * 1000000
for _ in range({}):
    rest = block
    while rest:
        rest = rest[os.write(1, rest):]
"""


def reset_peak() -> int:
    """Begins a new peak of resident memory; returns what is resident now, in bytes."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return peak()


def peak() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


async def main(megabytes: int) -> dict[str, object]:
    table = JobTable()
    await table.spawn([*PYTHON, WRITER.format(1)])
    before = reset_peak()
    job = table.spawn([*PYTHON, WRITER.format(megabytes)], ready="never there", name="line")
    await job
    told: dict[str, object] = {"size": job.size, "while it came": peak() - before}
    before = reset_peak()
    job.tail(5, max_bytes=4096)
    told["last line"] = job.snapshot().last_line[-500:]
    told["tail, last line and snapshot"] = peak() - before
    lines = [len(line) async for line in job]
    assert len(lines) == 1
    told["line"] = lines[0]
    table.end_all()
    return told


if __name__ == "__main__":
    json.dump(asyncio.run(main(int(sys.argv[1]))), sys.stdout)
