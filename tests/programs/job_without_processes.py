"""Starts jobs where there may be a few processes only; prints what came of it, as JSON."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys

import psutil

from ipyproc.job.command import explain_start_error
from ipyproc.job.table import JobTable
from tests.privileges import allow_few_processes

MOST = 6


async def main() -> dict[str, object]:
    table = JobTable()
    # The warden is a process too.
    await table.spawn("true")
    fds = set(os.listdir("/proc/self/fd"))
    jobs, error = [], None
    while len(jobs) < 2 * MOST:
        try:
            jobs.append(table.spawn(["sleep", "60"]))
        except OSError as refusal:
            error = refusal
            break
    listed = len(table)
    for job in jobs:
        job.kill()
    for job in jobs:
        await job.wait(raise_error=False)
    again = await table.spawn("echo again")
    output = again.output
    table.clear()
    told = {
        "started": len(jobs),
        "listed": listed,
        "errno": errno.errorcode[error.errno or 0] if error else None,
        "sentence": explain_start_error(error, "sleep") if error else None,
        "again": output,
        "fds": sorted(set(os.listdir("/proc/self/fd")) - fds),
        "children": [
            child.pid
            for child in psutil.Process().children()
            if child.pid != table.local.resources.warden.pid
        ],
    }
    table.end_all()
    return told


if __name__ == "__main__":
    allow_few_processes(MOST)
    json.dump(asyncio.run(main()), sys.stdout)
