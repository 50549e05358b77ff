"""A kernel that starts process trees until it is killed: ``trees_kernel.py MARK SEED...``, a job a seed.

Prints ``up`` before the first, and the job's session after each; ends by itself after a minute.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from ipyproc.job.table import JobTable
from tests.jobs.trees import MARK, script


async def main(mark: str, seeds: list[int]) -> None:
    table = JobTable()
    await table.spawn("true")
    print("up", flush=True)
    for seed in seeds:
        job = table.spawn(script(seed), name=f"tree-{seed}", shell="bash", env={MARK: mark})
        print(job.pid, flush=True)
        await asyncio.sleep(0.05)
    await asyncio.sleep(60)


if __name__ == "__main__":
    signal.alarm(60)
    asyncio.run(main(sys.argv[1], [int(seed) for seed in sys.argv[2:]]))
