"""Private names of Tornado and asyncio: those that we use are there, and what happens without them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from tornado.ioloop import IOLoop

import ipyproc
from ipyproc.process.loops import asyncio_loop, has_open_io_loop, loop_of_timer, running_loop
from tests.support import run_program

PACKAGE = Path(ipyproc.__file__).parent


def test_this_python_and_this_tornado_have_the_private_names_that_are_used() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(60, print)
        assert loop_of_timer(timer) is loop
        timer.cancel()
        assert asyncio_loop(IOLoop.current()) is loop
        assert has_open_io_loop()
        assert running_loop is asyncio._get_running_loop
        assert callable(asyncio._set_running_loop)

    asyncio.run(main())


def test_where_those_of_asyncio_are_missing_a_stream_still_belongs_to_its_own_loop() -> None:
    told = json.loads(run_program("without_private_names.py").stdout)
    assert "an event loop is running in this thread" in told.pop("refusal")
    assert told == {"ran": ["at once"], "output": "hi\n", "status": 0, "loop": True}


def test_private_names_of_tornado_and_asyncio_stand_in_one_file_below_the_views() -> None:
    private = re.compile(r"\basyncio\._|\bIOLoop\._|\b_ioloop_for_asyncio|timer\._|\bloop\._")
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if private.search(path.read_text()) and not {"notebook", "views"}.intersection(path.parts)
    }
    assert users == {"process/loops.py"}
