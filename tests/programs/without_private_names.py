"""Uses Subprocess where asyncio's private names, by which loops are found, are missing; prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from tornado.ioloop import IOLoop

# asyncio itself and Tornado use those of asyncio.events.
del asyncio._get_running_loop, asyncio._set_running_loop

from ipyproc.process import Subprocess, fork_processes  # noqa: E402
from ipyproc.process.loops import on_loop  # noqa: E402


async def main() -> dict[str, object]:
    io_loop, ran = IOLoop.current(), []
    on_loop(io_loop, lambda: ran.append("at once"))
    with ThreadPoolExecutor(1) as pool:
        start = lambda: Subprocess.on(io_loop, ["echo", "hi"], stdout=Subprocess.STREAM)  # noqa: E731
        process = await asyncio.get_running_loop().run_in_executor(pool, start)
    output = await process.stdout.read_until_close()
    try:
        fork_processes(1)
    except RuntimeError as error:
        refusal = str(error)
    return {
        "ran": ran,
        "output": output.decode(),
        "status": await process.wait_for_exit(),
        "loop": process.stdout.io_loop is io_loop,
        "refusal": refusal,
    }


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout)
