from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import pytest

from ipyproc.errors import JobStateError
from ipyproc.job.table import JobTable
from ipyproc.spool.output import LineReader, Output
from tests.jobs.looped import PYTHON, looped
from tests.support import open_fds, run_program, until, wait_until

# Read from a job


@looped
async def test_output_and_its_streams_can_be_read_while_the_job_runs_and_after(table: JobTable) -> None:
    job = table.spawn("echo one; echo two >&2; read x; echo $x")
    await until(lambda: job.size == 8)
    assert (job.stdout, job.stderr, sorted(job.output.split())) == ("one\n", "two\n", ["one", "two"])
    job.send("three\n")
    await job
    assert (job.stdout, job.stderr) == ("one\nthree\n", "two\n")
    assert job.output.endswith("three\n")
    assert job.read(8) == b"three\n"
    assert job.read(8, 10) == b"th"
    assert job.read(100, 200) == job.read(5, 5) == job.read(9, 3) == b""


@looped
async def test_the_tail_is_the_last_lines(table: JobTable) -> None:
    job = table.spawn("seq 1 100000; printf 'no end'")
    await job
    assert job.tail(3) == "99999\n100000\nno end"
    assert job.tail(0) == ""
    assert job.tail(1) == "no end"
    assert job.tail(10**6) == job.output
    assert job.tail(1000, max_bytes=19) == "99999\n100000\nno end"
    assert job.snapshot().last_line == "no end"
    assert table.spawn("true").tail() == ""
    await table["true"]


@looped
async def test_two_iterators_have_each_line_once_from_the_beginning_to_the_end(table: JobTable) -> None:
    job = table.spawn("echo first; read x; seq 1 20000; printf 'no end'")
    await until(lambda: job.output == "first\n")

    async def lines() -> list[str]:
        taken = []
        async for line in job:
            taken.append(line)
            if line == "first":
                job.send("\n") if not sent else None
                sent.append(True)
        return taken

    sent: list[bool] = []
    expected = ["first", *map(str, range(1, 20001)), "no end"]
    assert await asyncio.gather(lines(), lines()) == [expected, expected]
    assert [line async for line in job] == expected


@looped
async def test_lines_come_as_they_are_written_and_without_their_ends(table: JobTable) -> None:
    job = table.spawn(
        "printf 'one\\r\\n\\ntw'; read x; printf 'o\\n'; read x; printf '%s\\r' gone; printf last"
    )
    seen = []
    async for line in job:
        seen.append(line)
        if line in ("", "two"):
            job.send("\n")
    assert seen == ["one", "", "two", "gone\rlast"]


@looped
async def test_an_iterator_that_is_given_up_leaves_the_job_alone(table: JobTable) -> None:
    job = table.spawn("echo one; read x; echo $x")
    lines = aiter(job)
    assert await anext(lines) == "one"
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(lines), 0.05)
    await lines.aclose()
    job.send("two\n")
    assert (await job).output == "one\ntwo\n"


@looped
async def test_whoever_takes_the_lines_of_a_flood_leaves_the_loop_time_for_others(table: JobTable) -> None:
    job = table.spawn("yes")
    rounds = 0

    async def others() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    task = asyncio.ensure_future(others())
    number = 0
    async for line in job:
        number += 1
        if number == 2_000_000:
            break
    task.cancel()
    await job.stop()
    assert number == 2_000_000
    assert rounds >= 3


@looped
async def test_a_character_split_over_two_reads_is_one_character(table: JobTable) -> None:
    text = "a\u00e9\u20ac\U0001f600"
    program = f"""
import os, sys
for byte in {text.encode()!r}:
    os.write(1, bytes([byte]))
    sys.stdin.readline()
os.write(1, b"\\n")
"""
    job = table.spawn([*PYTHON, program])
    lines = asyncio.ensure_future(_lines(job))
    for size in range(1, len(text.encode()) + 1):
        await until(lambda: job.size == size)
        job.send("\n")
    await job
    assert job.output == job.stdout == text + "\n"
    assert await lines == [text]


@looped
async def test_half_a_character_on_one_stream_is_not_finished_by_the_other(table: JobTable) -> None:
    program = """
import os, sys
writes = b"\\xc3", b"\\xe2\\x82", b"\\xa9 one", b"\\xac two", b"\\n", b"\\n"
for number, data in enumerate(writes):
    os.write(1 + number % 2, data)
    sys.stdin.readline()
"""
    job = table.spawn([*PYTHON, program])
    for size in (1, 3, 8, 13, 14, 15):
        await until(lambda: job.size == size)
        job.send("\n")
    await job
    assert (job.stdout, job.stderr) == ("é one\n", "€ two\n")
    assert await _lines(job) == ["é one", "€ two"]
    assert "\ufffd" not in job.output


@looped
async def test_invalid_utf8_and_nul_bytes_are_kept_as_they_are_and_shown_with_replacement(
    table: JobTable,
) -> None:
    data = b"a\xff\xfeb\x00c\xed\xa0\x80d\n\x80\x80\nend\xe2\x82"
    job = table.spawn("cat", stdin=data)
    await job
    assert job.read() == data
    assert job.output == data.decode("utf-8", "replace")
    assert "".join(line + "\n" for line in await _lines(job)) == job.output + "\n"
    assert "\x00" in job.tail(3)
    assert job.snapshot().last_line == "end\ufffd"


@looped
async def test_all_256_bytes_and_a_flood_of_noise_are_kept_exactly(table: JobTable) -> None:
    noise = os.urandom(3_000_000) + bytes(range(256))
    job = table.spawn("cat", stdin=noise)
    await job
    assert job.read() == noise
    assert job.output == noise.decode("utf-8", "replace")


@looped
async def test_20_000_pieces_of_two_streams_keep_their_order_stream_and_time(table: JobTable) -> None:
    program = """
import os
for number in range(10000):
    os.write(1, b"o%d\\n" % number)
    os.write(2, b"e%d\\n" % number)
"""
    before = time.time()
    job = table.spawn([*PYTHON, program])
    await job
    after = time.time()
    out = "".join(f"o{n}\n" for n in range(10000))
    err = "".join(f"e{n}\n" for n in range(10000))
    assert (job.stdout, job.stderr) == (out, err)
    assert sorted(await _lines(job)) == sorted((out + err).split())
    pieces = job.pieces()
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
    assert pieces[-1].stop == job.size == len(out) + len(err)
    assert [piece.at for piece in pieces] == sorted(piece.at for piece in pieces)
    assert before <= pieces[0].at <= pieces[-1].at <= after
    for piece in pieces:
        assert set(job.read(piece.start, piece.stop)) <= set(
            b"o0123456789\n" if piece.stream == "stdout" else b"e0123456789\n"
        )


@looped
async def test_pieces_of_different_moments_and_streams_are_told_apart(table: JobTable) -> None:
    job = table.spawn("printf a; read x; printf b >&2; read x; printf c")
    for size in (1, 2):
        await until(lambda: job.size == size)
        await asyncio.sleep(0.02)
        job.send("\n")
    await job
    pieces = job.pieces()
    assert [(p.stream, p.start, p.stop) for p in pieces] == [
        ("stdout", 0, 1),
        ("stderr", 1, 2),
        ("stdout", 2, 3),
    ]
    assert pieces[0].at < pieces[1].at < pieces[2].at
    assert [p.stream for p in job.pieces(1, 2)] == ["stderr"]
    assert job.runs(1, 3) == [("stderr", b"b"), ("stdout", b"c")]


async def _lines(job: object) -> list[str]:
    return [line async for line in job]


# Where it is kept


@looped
async def test_much_output_goes_to_a_private_file_that_is_open_while_the_job_runs(
    table: JobTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def spool_fds() -> list[str]:
        return [target for target in open_fds().values() if target.startswith(f"{tmp_path}/ipyproc-")]

    few = await table.spawn("seq 1 100")
    assert not os.listdir(tmp_path)
    job = table.spawn("seq 1 1000000; read x")
    await until(lambda: job.size == 6888896)
    (directory,) = os.listdir(tmp_path)
    (name,) = os.listdir(tmp_path / directory)
    file = f"{tmp_path}/{directory}/{name}"
    modes = [os.stat(path).st_mode & 0o777 for path in (tmp_path / directory, file)]
    assert modes == [0o700, 0o600]
    assert file in spool_fds()
    job.send("\n")
    await job
    assert file not in spool_fds()
    assert job.tail(1) == "1000000\n"
    assert few.output.endswith("\n100\n")
    table.forget(job.name)
    assert not os.listdir(tmp_path)
    assert not spool_fds()
    assert job.output == job.tail() == ""
    assert job.read() == b""


@looped
async def test_the_output_of_a_job_that_runs_is_not_given_back(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"], name="busy")
    with pytest.raises(JobStateError, match="Job 'busy' is running; stop it before it is released"):
        table.forget("busy")
    await job.stop()


@pytest.mark.parametrize("max_output", [1, 1000, 100_000, 1_000_000])
def test_past_max_output_the_oldest_go_and_the_job_says_how_much(table: JobTable, max_output: int) -> None:
    @looped
    async def drops() -> None:
        job = table.spawn("seq 1 300000", max_output=max_output)
        await job
        everything = "".join(f"{n}\n" for n in range(1, 300001))
        dropped = len(everything) - max_output
        assert job.output == everything[-max_output:]
        assert job.read() == job.read(dropped) == everything[-max_output:].encode()
        snapshot = job.snapshot()
        assert (snapshot.size, snapshot.dropped, snapshot.lost) == (len(everything), dropped, 0)
        assert f"the oldest {dropped:,} bytes of output were dropped (max_output)" in snapshot.notes
        assert (await _lines(job))[-1] == ("300000" if max_output > 6 else "")

    drops()


def test_dropping_keeps_both_streams_apart() -> None:
    output = Output(200_000)
    for number in range(40_000):
        output.append("stdout" if number % 2 else "stderr", b"%07d\n" % number, number)
    assert (output.start, output.end) == (120_000, 320_000)
    assert output.text("stderr").split() == [f"{n:07}" for n in range(15_000, 40_000, 2)]
    assert output.text("stdout").split() == [f"{n:07}" for n in range(15_001, 40_000, 2)]
    reader = LineReader(output)
    assert sorted((reader.take() or []) + reader.rest()) == [f"{n:07}" for n in range(15_000, 40_000)]
    assert len(list(output.pieces())) == 25_000
    output.close()


def test_a_large_output_is_given_back_by_another_thread_than_the_one_that_lets_go_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    removers: list[int] = []
    unlink = os.unlink

    def noted(path: str) -> None:
        unlink(path)
        removers.append(threading.get_ident())

    output, small = Output(1 << 30), Output(1 << 30)
    for _ in range(16):
        output.append("stdout", bytes(1 << 20), 0.0)
    small.append("stdout", bytes(1 << 20), 0.0)
    monkeypatch.setattr("ipyproc.spool.files.os.unlink", noted)
    small.close()
    assert removers == [threading.get_ident()]
    output.close()
    wait_until(lambda: len(removers) == 2)
    assert removers[1] != threading.get_ident()


def test_a_100_mb_line_without_an_end_takes_no_memory_but_where_it_is_read() -> None:
    told = json.loads(run_program("job_line.py", "100").stdout)
    assert told["size"] == 100_000_000
    assert told["while it came"] <= 32 << 20
    assert told["tail, last line and snapshot"] <= 32 << 20
    assert told["last line"] == "x" * 500
    assert told["line"] == 100_000_000


@pytest.mark.parametrize("limit", ["file size", "file system"])
def test_on_a_full_disk_the_job_goes_on_and_says_what_could_not_be_kept(limit: str) -> None:
    told = json.loads(run_program("job_full_disk.py", limit).stdout)
    if "skipped" in told:
        pytest.skip(told["skipped"])
    assert told["returncode"] == 0
    assert told["size"] == told["written"]
    assert 0 < told["lost"] < told["written"]
    assert f"{told['lost']:,} bytes of output could not be stored (no room on disk)" in told["notes"]
    assert told["kept"] == told["written"] - told["lost"]
    assert told["kept is a beginning"]
    assert told["streams are right"]
    assert told["stderr in the error"]
    assert told["small pieces are right"]
    if limit == "file size":
        assert told["it goes on when there is room"]
    assert told["the next job keeps its output"]
