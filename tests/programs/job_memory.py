"""Runs argv[1] jobs, one after another, that write argv[2] bytes; prints what memory each keeps, as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc

# Imported in the middle otherwise, by the first look at what jobs use.
import psutil  # noqa: F401

from ipyproc.hosts.local import usage_watch
from ipyproc.job.table import JobTable

usage_watch._FIRST_SECONDS = 3600.0  # What a slow machine measures of a job is kept with it.

WARM = 20


async def main(number: int, size: int) -> dict[str, float]:
    table = JobTable(max_ended=number + WARM)
    command = ["head", "-c", str(size), "/dev/zero"]
    for _ in range(WARM):
        await table.spawn(command)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(number):
        await table.spawn(command)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == number + WARM
    table.end_all()
    return {"bytes a job": (after - before) / number}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))))
