"""``log=``: a file that gets a copy of a job's output."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ipyproc.job.job import log_to
from ipyproc.job.table import JobTable
from ipyproc.spool.copy import CopyFile
from tests.jobs.looped import looped
from tests.support import open_fds, run_python, until


def content(name: str) -> bytes:
    return Path(name).read_bytes()


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@looped
async def test_a_log_has_the_bytes_of_the_output_across_restarts_and_holds_no_fd_after_the_end(
    table: JobTable, tmp_path: Path
) -> None:
    (tmp_path / "build.log").write_bytes(b"of before\n")
    (tmp_path / "elsewhere").mkdir()
    command = r"printf 'out\xff\r\n'; echo err >&2; seq 1 20000; read line; echo no end $line"
    job = table.spawn(command, shell="bash", log=Path("build.log"), cwd="elsewhere", stdin=b"x\n")
    await job
    await (await job.restart())
    assert (tmp_path / "build.log").read_bytes() == b"of before\n" + job.read()
    assert job.size > 200_000 and job.read().count(b"no end x\n") == 2
    assert not any("build.log" in path for path in open_fds().values())


@looped
async def test_what_a_job_has_left_running_is_logged_still(table: JobTable, tmp_path: Path) -> None:
    os.mkfifo("go")
    job = table.spawn("(read line < go; echo late) & echo early", shell="sh", name="x", log="x.log")
    await job
    assert job.left
    await asyncio.to_thread(Path("go").write_text, "\n")
    await until(lambda: content("x.log") == b"early\nlate\n")
    await until(lambda: not job.lingers)
    assert not any("x.log" in path for path in open_fds().values())


@looped
async def test_past_its_size_a_log_is_rotated_at_a_line_end_and_some_are_kept(
    table: JobTable, tmp_path: Path
) -> None:
    job = table.spawn(["seq", "1", "10000"], log="a.log", log_size="10k", log_keep=2)
    await job
    assert sorted(os.listdir()) == ["a.log", "a.log.1", "a.log.2"]
    parts = [content(name) for name in ("a.log.2", "a.log.1", "a.log")]
    assert job.read().endswith(b"".join(parts)) and all(part.endswith(b"\n") for part in parts)
    assert all(9 << 10 < len(part) <= 10 << 10 for part in parts[:2])
    await table.spawn(["seq", "1", "10000"], name="b", log="b.log", log_size=0)
    await table.spawn(["seq", "1", "10000"], name="c", log="c.log", log_size=1000, log_keep=0)
    assert content("b.log") == job.read() and len(content("c.log")) <= 1000
    assert sorted(os.listdir()) == ["a.log", "a.log.1", "a.log.2", "b.log", "c.log"]


@looped
async def test_what_came_before_the_log_is_in_it_and_a_long_line_is_cut(
    table: JobTable, tmp_path: Path
) -> None:
    job = table.spawn("printf 'before\\n'; read line; printf xxxxxxxxxxxxxxxxxxxxxxxxx; sleep 0.1; printf y")
    await until(lambda: job.output)
    log_to(job, CopyFile("a", 10, 1))
    job.send("\n")
    await job
    assert (content("a.1"), content("a")) == (b"x" * 10, b"x" * 5 + b"y")


def test_a_log_that_cannot_be_rotated_grows_on_and_says_so(tmp_path: Path) -> None:
    Path("a.1").mkdir()
    file = CopyFile("a", 4, 1)
    for _ in range(3):
        file.append(b"abc\n")
    assert Path("a").read_bytes() == b"abc\n" * 3 and file.missing == 0
    assert "the log file" in file.note and "could not be rotated (is a directory)" in file.note
    file.rest()


_FULL = """
import asyncio, resource, sys
from ipyproc.job.table import JobTable
async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    table = JobTable()
    job = table.spawn(["seq", "1", "5000"], log=sys.argv[1])
    result = await job
    print(result.returncode, len(result.stdout), *job.snapshot().notes, sep="\\n")
    table.end_all()
asyncio.run(main())
"""


def test_a_full_disk_is_said_once_and_the_job_goes_on(tmp_path: Path) -> None:
    status, size, *notes = run_python("-c", _FULL, str(tmp_path / "a.log")).stdout.splitlines()
    assert (status, size) == ("0", "23893") and Path("a.log").stat().st_size == 5000
    (note,) = notes
    assert note == f"18,893 bytes of output are missing in the log file '{tmp_path}/a.log' (file too large)"
