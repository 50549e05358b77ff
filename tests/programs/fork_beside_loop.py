"""fork_processes where loops are, were, or never ran: a running or an open one is refused."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from tornado.ioloop import IOLoop

from ipyproc.process.fork import fork_processes


def refused() -> bool:
    try:
        if fork_processes(1) is not None:
            os._exit(0)
    except RuntimeError as error:
        assert "%%fork" in str(error) and "%forkbench" in str(error), error
        return True
    return False


async def refused_here() -> bool:
    return refused()


async def refused_on_a_tornado_loop() -> bool:
    IOLoop.current()
    return refused()


def refused_in_another_thread() -> bool:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(refused()))
    thread.start()
    thread.join()
    return answers[0]


assert not refused()
assert asyncio.run(refused_here())
assert not refused(), "a loop of asyncio that was used and closed is no reason"
assert asyncio.run(refused_on_a_tornado_loop())
assert not refused(), "asyncio.run closed the loop under the IOLoop"
loop = IOLoop(make_current=False)
assert refused()
assert refused_in_another_thread()
loop.close()
assert not refused()
sys.exit(0)
