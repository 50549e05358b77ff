"""Kernels that start jobs in a loop, each killed at a random moment: ``... MARK SEED NUMBER [tty]``.

The jobs have the mark in their environment. Prints how many of them were running at each kill.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time

from ipyproc.job.table import JobTable
from tests.jobs.trees import MARK, marked

_AT_MOST = 300


async def kernel(mark: str, told: int, tty: bool) -> None:
    table = JobTable()
    os.write(told, b"!")
    for n in range(_AT_MOST):
        # Some in groups of their own, some that fork at once.
        command = ["sleep 60", "set -m; sleep 60 & sleep 60", "exec sleep 60"][n % 3]
        table.spawn(command, env={MARK: mark}, tty=tty)
        if n % 7 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(60)


def main(mark: str, seed: int, number: int, tty: bool) -> None:
    rng = random.Random(seed)
    for turn in range(number):
        hears, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            os.close(hears)
            asyncio.run(kernel(mark, told, tty))
            os._exit(0)
        os.close(told)
        os.read(hears, 1)
        os.close(hears)
        running = 0
        # On a slow machine the others may be killed before their first job is there.
        while turn % 5 == 4 and not running:
            running = len(marked(mark))
        time.sleep(rng.random() * (0.03 if turn % 2 else 0.2))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print(max(running, len(marked(mark))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["tty"])
