"""The forms in which a view shows output: one stream, the last lines, a time or a tag before each line."""

from __future__ import annotations

import re

from ipyproc.job.table import JobTable
from ipyproc.views.form import Form, start_of_last
from tests.jobs.looped import looped
from tests.support import until
from tests.views.test_manager import ListCell, OnePage, manager_of, managers, page

__all__ = ["page", "managers"]

ALTERNATING = "for i in 1 2 3; do echo o$i; echo e$i >&2; sleep 0.02; done"


@looped
async def test_one_stream_of_a_job_has_offsets_of_its_own(table: JobTable) -> None:
    job = table.spawn(f"{ALTERNATING}; read line; echo last; printf e4 >&2", name="it")
    out, err = Form("stdout").of(job), Form("stderr").of(job)
    await until(lambda: job.size == 18)
    assert (out.size, err.size, out.name, out.done) == (9, 9, "it", False)
    job.send("\n")
    await job
    assert out.read(0, None) == b"o1\no2\no3\nlast\n" and err.read(0, None) == b"e1\ne2\ne3\ne4"
    assert err.runs(4, 8) == [("stderr", b"2\ne3")] and err.runs(11, 20) == []
    assert [start_of_last(out, n) for n in (0, 1, 2, 9)] == [14, 9, 6, 0]
    assert [start_of_last(err, n) for n in (1, 2)] == [9, 6]
    pieces = err.pieces(0, None)
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert (
        pieces[0].start == 0 and pieces[-1].stop == 11 and all(piece.stream == "stderr" for piece in pieces)
    )


@looped
async def test_the_last_lines_begin_where_they_do_however_many_there_are(table: JobTable) -> None:
    job = table.spawn(["seq", "1", "100000"], max_output=300_000)
    await job
    for number in (1, 7, 20_000):
        text = job.read(start_of_last(job, number)).decode()
        assert text.count("\n") == number and text.startswith(f"{100_001 - number}\n")
    assert start_of_last(job, 99_000) == job.size - len(job.read())


@looped
async def test_a_tag_or_a_time_stands_before_each_line_once(
    table: JobTable, page: OnePage, managers: list
) -> None:
    manager = manager_of(page, table, managers)
    job = table.spawn(["printf", r"one\r\ntwo\n\nbar\r50%%\r99%%\nthree"], name="a", quiet=True)
    await job
    manager.show(job, form=Form(tag="a|\x1b[b"))
    plain = re.sub(r"\x1b\[\d*m", "", page.cell.text)
    tag = plain.split("one")[0]
    assert "\x1b" not in plain and tag.startswith("a|") and tag.endswith(" | ")
    assert plain.removesuffix("\n").split("\n") == [tag + line for line in ("one", "two", "", "99%", "three")]
    page.cell = ListCell("second")
    manager.show(job, form=Form(times=True))
    plain = re.sub(r"\x1b\[\d*m", "", page.cell.text)
    assert re.findall(r"^(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d{3} (.*)$", plain, re.MULTILINE) == [
        *("one", "two", "", "99%", "three")
    ]
    manager.close()


@looped
async def test_a_view_of_one_stream_goes_on_live_past_any_budget_of_the_other(
    table: JobTable, page: OnePage, managers: list
) -> None:
    manager = manager_of(page, table, managers)
    first = page.cell
    job = table.spawn("seq 1 5000; echo e1 >&2; read line; echo e2 >&2", name="it", tag=True)
    await until(lambda: job.stderr)
    page.cell = ListCell("second")
    manager.show(job, last=1, form=Form("stderr", tag="it"))
    job.send("\n")
    await job
    await until(lambda: "e2\n" in page.cell.text and "exit 0" in page.cell.shown)
    assert re.sub(r"\x1b\[\d+m", "", page.cell.text) == "it | e1\nit | e2\n"
    assert first.text.startswith("\x1b[36mit |\x1b[0m 1\n") and "it |" not in job.output
    # A restart goes on in the cell of the job, not in the one of a part.
    await job.restart()
    await until(lambda: "running" in first.shown)
    assert "running" not in page.cell.shown
    await job.stop()
    manager.close()
