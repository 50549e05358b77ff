"""Is killed, or ends, as argv[2] says, while it has jobs' output in files; argv[1] is the folder for them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile

from ipyproc.job.table import JobTable


async def main() -> None:
    table = JobTable()
    await table.spawn("seq 1 200000", name="ended")
    job = table.spawn("exec yes", name="flood")
    while job.size < 10_000_000:
        await asyncio.sleep(0.01)
    (directory,) = os.listdir(tempfile.gettempdir())
    print(directory, len(os.listdir(os.path.join(tempfile.gettempdir(), directory))), flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    await job.stop()


if __name__ == "__main__":
    tempfile.tempdir = sys.argv[1]
    asyncio.run(main())
