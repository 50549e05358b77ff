"""As a user who may not signal root's processes, stops a job that has one; prints the result as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from ipyproc.job.table import JobTable

NOBODY = 65534
LEADER = f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups sleep 600"


async def main() -> dict[str, object]:
    table = JobTable()
    job = table.spawn(["sh", "-c", f"sleep 600 & echo $!; {LEADER}"])
    while not job.output or os.stat(f"/proc/{job.pid}").st_uid != NOBODY:
        await asyncio.sleep(0.01)
    os.setresuid(NOBODY, NOBODY, 0)
    result = await asyncio.wait_for(job.stop(grace=0.05), 30)
    os.setresuid(0, 0, 0)
    os.kill(int(job.output), signal.SIGKILL)
    return {"notes": result.notes, "ended_by": result.ended_by}


json.dump(asyncio.run(main()), sys.stdout)
