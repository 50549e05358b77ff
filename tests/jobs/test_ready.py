from __future__ import annotations

import re

import pytest

from ipyproc.errors import NotReadyError
from ipyproc.hosts.local.run import Run
from ipyproc.job.table import JobTable
from ipyproc.spool.search import LineSearch
from tests.jobs.looped import looped
from tests.support import until, wait_until


def search(pattern: str, encoding: str = "utf-8") -> LineSearch:
    return LineSearch(re.compile(pattern, re.MULTILINE), encoding)


@looped
async def test_half_a_line_that_matches_is_no_sign_and_a_whole_one_is(table: JobTable) -> None:
    job = table.spawn(
        "printf 'status: ok'; read x; echo ay; read x; echo 'status: ok'; read x", ready="^status: ok$"
    )
    await until(lambda: job.size == 10)
    job.send("\n")
    await until(lambda: job.output == "status: okay\n")
    assert job.snapshot().ready is False
    job.send("\n")
    await job.ready(timeout=60)
    job.send("\n")
    await job


@looped
async def test_half_a_line_on_one_stream_is_not_finished_by_the_other(table: JobTable) -> None:
    job = table.spawn(
        "printf stat; read x; echo 'us: ok' >&2; read x; echo 'us: ok'; read x", ready="^status: ok$"
    )
    for size in (4, 11):
        await until(lambda: job.size == size)
        assert job.snapshot().ready is False
        job.send("\n")
    await job.ready(timeout=60)
    job.send("\n")
    await job


@looped
async def test_a_sign_that_was_read_before_the_loop_takes_the_process_over_counts(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Run.start

    def start_and_read(run: Run) -> None:
        # As the stand-in does, where a cell holds the loop while its job starts.
        start(run)
        wait_until(run.read)

    monkeypatch.setattr(Run, "start", start_and_read)
    job = table.spawn("echo listening; read x", ready="listening")
    await until(lambda: job.snapshot().ready)
    job.send("\n")
    await job
    assert job.snapshot().ready


@looped
async def test_a_last_line_without_an_end_counts_once_the_job_has_ended(table: JobTable) -> None:
    job = table.spawn("printf 'status: ok'; read x", ready="^status: ok$", name="prompting")
    await until(lambda: job.size == 10)
    assert job.snapshot().ready is False
    job.send("\n")
    assert await job.ready(timeout=60) is job
    await job
    other = table.spawn("printf 'status: okay'", ready="^status: ok$", name="other")
    with pytest.raises(NotReadyError, match=r"Job 'other' ended \(exit 0\) before it was ready"):
        await other.ready(timeout=60)


@looped
async def test_a_line_that_ends_in_cr_lf_is_whole_to_the_dollar(table: JobTable) -> None:
    job = table.spawn(r"printf 'status: ok\r'; read x; printf '\n'; read x", ready="^status: ok$")
    await until(lambda: job.size == 11)
    assert job.snapshot().ready is False
    job.send("\n")
    await job.ready(timeout=60)
    job.send("\n")
    await job


@looped
async def test_each_process_of_a_job_has_lines_of_its_own(table: JobTable) -> None:
    job = table.spawn("printf stat; exit 1", restart="always", max_restarts=1, backoff=0, ready="^statstat")
    with pytest.raises(NotReadyError):
        await job.ready(timeout=60)
    await job.wait(raise_error=False)
    assert job.output == "statstat"


def test_a_pattern_may_span_lines_and_have_their_ends_as_they_are() -> None:
    assert search(r"one\ntwo$").feed(b"one\ntwo\n")
    assert search(r"one\ntwo$").feed(b"one\r\ntwo\r\n")
    assert search(r"one\r\ntwo").feed(b"one\r\ntwo\r\n")
    across = search(r"one\ntwo$")
    assert [across.feed(piece) for piece in (b"one\n", b"tw", b"o", b"\n")] == [False, False, False, True]


def test_lines_that_were_looked_at_and_long_ones_are_cut_without_a_line_beginning_there() -> None:
    many = search("^x")
    assert not any(many.feed(b"ox\n" * 10_000) for _ in range(10))
    endless = search("^x")
    assert not any(endless.feed(b"x" * 100_000 if n else b"o") for n in range(20))
    assert not endless.feed(b"\n")
    assert endless.feed(b"x\n")
    assert not endless.end()


def test_lines_are_found_in_text_of_another_encoding() -> None:
    latin = search("^prêt$", "latin-1")
    assert not latin.feed("prê".encode("latin-1"))
    assert latin.feed("t\n".encode("latin-1"))
    split = search("^€$")
    assert [split.feed(bytes([byte])) for byte in "€\n".encode()] == [False, False, False, True]
