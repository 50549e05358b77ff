"""What a terminal shows of a job's output."""

from __future__ import annotations

import asyncio

from ipyproc.job.table import JobTable
from tests.jobs.looped import PYTHON, looped

BARS = r"""
import sys
print("begin")
for i in range(11):
    sys.stdout.write(f"\r{i * 10}% <b>")
    sys.stdout.flush()
print("\n\x1b[31mred\x1b[0m")
print("é" * 3)
"""


@looped
async def test_a_job_on_pipes_or_on_a_terminal_shows_its_screen(table: JobTable) -> None:
    for tty in (False, True):
        job = table.spawn([*PYTHON, BARS], tty=tty)
        await job
        assert job.screen.text == "begin\n100% <b>\nred\nééé\n"
        assert "100% &lt;b&gt;" in job.screen.html and ">red</span>" in job.screen.html
        assert (await asyncio.to_thread(job.render)) == job.screen
        assert job.render(max_bytes=7 + tty).text == "ééé\n"


@looped
async def test_the_screen_has_the_size_that_the_job_was_started_with(table: JobTable) -> None:
    job = table.spawn([*PYTHON, "print('x' * 30 + '\\r', end='y\\n')"], tty=True, rows=5, columns=20)
    await job
    assert job.screen.text == "x" * 20 + "y" + "x" * 9 + "\n"


@looped
async def test_the_screen_has_each_size_from_where_the_terminal_got_it(table: JobTable) -> None:
    code = "for _ in 'ab': print('x' * 30 + '\\r', end='y\\n'); input('? ')"
    job = table.spawn([*PYTHON, code], tty=True, rows=5, columns=20)
    await job.expect("? ")
    job.resize(5, 10)
    job.resize(5, 40)
    job.send("\n")
    await job.expect("? ")
    job.send("\n")
    await job
    narrow, wide = "x" * 20 + "y" + "x" * 9, "y" + "x" * 29
    assert job.screen.text == f"{narrow}\n? \n{wide}\n? \n"
    assert job.render(max_bytes=20).text.endswith("x\n? \n")


@looped
async def test_a_character_of_one_stream_may_be_cut_by_the_other(table: JobTable) -> None:
    code = "import os\nfor fd, data in ((1, b'a\\xc3'), (2, b'!'), (1, b'\\xa9\\n')): os.write(fd, data)"
    job = table.spawn([*PYTHON, code])
    await job
    # The order of two pipes is that of the reads.
    assert job.screen.text.replace("\n", "") in ("a!é", "aé!", "!aé")
