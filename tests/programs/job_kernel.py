"""A kernel with one job, of the script in argv[1]; prints its output as it comes, until it is killed.

It ends by itself after a minute.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from ipyproc.job.table import JobTable


async def main(script: str) -> None:
    job = JobTable().spawn(script, name="job", shell="bash")
    async for line in job:
        print(line, flush=True)
    await job.wait(raise_error=False)
    print("ended", flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    signal.alarm(60)
    asyncio.run(main(sys.argv[1]))
