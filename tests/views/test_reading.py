"""What a view reads of a job, and what it makes of output that was dropped before it came to it."""

from __future__ import annotations

from ipyproc.job.table import JobTable
from ipyproc.views.reading import Reading
from tests.jobs.looped import looped


@looped
async def test_output_that_was_dropped_is_a_gap_which_no_line_reaches_over(table: JobTable) -> None:
    job = table.spawn(["seq", "1", "100000"], max_output=100_000)
    await job
    first = job.read(0, None).split(b"\n", 1)[0]
    reading = Reading(0, None)
    text = ""
    gaps = 0
    while reading.position < job.size:
        text += "".join(piece.text for piece in reading.read(job, 1_000_000))
        gaps += reading.gap
    assert gaps >= 1 and reading.hidden == job.size - len(job.read(0, None))
    text += "".join(piece.text for piece in reading.finish())
    assert text == job.output and text.startswith(first.decode())


@looped
async def test_a_tail_of_a_flood_is_read_from_near_its_end(table: JobTable) -> None:
    job = table.spawn(["seq", "1", "1000000"])
    await job
    reading = Reading(0, None)
    while reading.position < job.size:
        reading.read_tail(job)
    assert reading.hidden == job.size
    assert reading.tail(3) == "999998\n999999\n1000000\n"
    reading.rest()
    assert reading.tail(3) == ""
