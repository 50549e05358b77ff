from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from ipyproc.job.table import JobTable
from ipyproc.process.leftovers import remove_directory
from ipyproc.spool.files import Reserve, SpoolFile, directory_path
from ipyproc.spool.output import Output
from tests.jobs.looped import looped
from tests.support import PROGRAMS, PYTHONPATH, open_fds, run_program, until, wait_until


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def files_in(folder: Path) -> list[str]:
    return [name for directory in folder.iterdir() for name in os.listdir(directory)]


def spool_fds(folder: Path) -> list[str]:
    return [path for path in open_fds().values() if path.startswith(str(folder)) and os.path.isfile(path)]


# File descriptors


def test_jobs_with_much_output_run_one_after_another_at_a_small_limit_of_fds() -> None:
    told = json.loads(run_program("job_few_fds.py", "one after another").stdout)
    assert told["whole"]
    assert told["fds more"] <= 2


def test_floods_through_a_full_table_of_fds_lose_nothing() -> None:
    told = json.loads(run_program("job_few_fds.py", "flood").stdout)
    assert told == {"whole": True, "tail": True, "notes": [[], []]}


def test_without_any_fd_output_waits_in_memory_and_what_is_lost_in_the_end_says_the_true_reason() -> None:
    told = json.loads(run_program("job_few_fds.py", "no reserve").stdout)
    assert told["kept meanwhile"]
    assert told["lost"] == [0, True, "no more files may be opened"]
    assert told["lost is the rest"]
    assert told["goes on"]
    assert told["in files by then"] == 2


def test_a_job_that_runs_has_one_fd_to_its_output_and_one_that_has_ended_none(folder: Path) -> None:
    output = Output(20 << 20)
    for number in range(30):
        output.append("stdout", bytes([number]) * (1 << 20), number)
    assert len(files_in(folder)) > 5
    assert len(spool_fds(folder)) == 1
    output.settle()
    assert spool_fds(folder) == []
    assert output.read() == b"".join(bytes([number]) * (1 << 20) for number in range(10, 30))
    assert spool_fds(folder) == []
    output.append("stderr", b"more", 31)
    assert output.read()[-5:] == bytes([29]) + b"more"
    assert output.stderr_tail(1) == "more"
    output.close()
    assert os.listdir(folder) == []


# Memory


@pytest.mark.parametrize("size", [0, 1, 60_000])
def test_a_little_output_stays_in_memory_and_more_does_not_when_its_job_has_ended(
    folder: Path, size: int
) -> None:
    output, larger = Output(1 << 30), Output(1 << 30)
    output.append("stderr", b"e" * size, 0.0)
    larger.append("stderr", b"e" * 100_000, 0.0)
    assert os.listdir(folder) == []
    for one in output, larger:
        one.settle()
    assert len(files_in(folder)) == 1
    assert output.read() == b"e" * size
    assert larger.read() == b"e" * 100_000
    assert output.stderr_tail(3) == "e" * min(size, 8192)
    assert larger.stderr_tail(3) == "e" * 8192
    output.append("stderr", b"\nlast", 1.0)
    assert output.stderr_tail(1) == "last"
    output.settle()
    assert output.text("stderr") == "e" * size + "\nlast"
    assert [piece.start for piece in output.pieces()] == ([0, size] if size else [0])
    del output, larger, one
    assert os.listdir(folder) == []


def test_the_pieces_of_a_settled_output_keep_their_times_and_streams(folder: Path) -> None:
    output = Output(1 << 30)
    for number in range(3000):
        output.append("stderr" if number % 2 else "stdout", b"%04d\n" % number, number)
    before = list(output.pieces())
    output.settle()
    assert len(files_in(folder)) == 1
    assert list(output.pieces()) == before
    assert output.stderr_tail(2) == "2997\n2999"
    output.close()


# Whose the files are


def test_files_are_private_and_one_that_somebody_put_in_their_place_is_not_read(folder: Path) -> None:
    before = os.umask(0)
    try:
        file = SpoolFile.create()
    finally:
        os.umask(before)
    path = f"{directory_path()}/1"
    assert os.stat(directory_path()).st_mode & 0o7777 == 0o700
    assert os.stat(path).st_mode & 0o7777 == 0o600
    file.write(memoryview(b"secret"), 0)
    file.rest()
    assert file.read(0, 6) == b"secret"
    os.rename(path, folder / "moved")
    os.symlink("/etc/passwd", path)
    with pytest.raises(OSError):
        file.read(0, 6)
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(FileNotFoundError):
        file.read(0, 6)
    file.remove()
    assert os.listdir(folder) == ["moved"]


def test_output_whose_file_was_removed_reads_as_nothing_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = Output(1 << 30)
    output.append("stdout", bytes(1 << 20), 0.0)
    output.settle()
    os.unlink(f"{directory_path()}/1")
    assert output.read() == b""
    assert "another program removed its file" in caplog.text
    output.close()
    assert os.listdir(folder) == []


def test_a_directory_in_which_somebody_has_put_something_stays_and_is_not_used_again(folder: Path) -> None:
    file = SpoolFile.create()
    first = directory_path()
    Path(first, "theirs").touch()
    file.remove()
    assert os.listdir(first) == ["theirs"]
    other = SpoolFile.create()
    assert directory_path() != first
    other.remove()
    assert os.listdir(folder) == [os.path.basename(first)]


@pytest.mark.parametrize("end", ["killed", "ended"])
def test_a_kernel_leaves_no_output_behind_however_it_ends(tmp_path: Path, end: str) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAMS / "job_killed_kernel.py", tmp_path, end],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
    )
    assert done.returncode == (-9 if end == "killed" else 0)
    directory, files = done.stdout.split()
    assert directory.startswith("ipyproc-")
    assert int(files) == 2
    wait_until(lambda: not os.listdir(tmp_path))


def test_only_a_directory_of_ours_is_removed_and_nothing_through_a_link(tmp_path: Path) -> None:
    def directory(name: str, mode: int = 0o700) -> Path:
        path = tmp_path / name
        path.mkdir()
        (path / "file").write_text("x")
        path.chmod(mode)
        return path

    for path in directory("other"), directory("ipyproc-open", 0o755), directory("ipyproc-group", 0o770):
        assert not remove_directory(str(path), 5)
        assert (path / "file").exists()
    ours = directory("ipyproc-ours")
    link = tmp_path / "ipyproc-link"
    link.symlink_to(ours)
    assert not remove_directory(str(link), 5)
    assert not remove_directory("ipyproc-ours", 5)
    assert not remove_directory(str(ours), -1)
    assert (ours / "file").exists()
    (ours / "link").symlink_to(tmp_path / "other")
    assert remove_directory(str(ours), 5)
    assert (tmp_path / "other" / "file").exists()
    assert remove_directory(str(ours), 5)
    with_a_directory = directory("ipyproc-deep")
    (with_a_directory / "deeper").mkdir()
    assert not remove_directory(str(with_a_directory), 5)
    assert os.listdir(with_a_directory) == ["deeper"]


def test_only_root_s_may_be_another_users(tmp_path: Path) -> None:
    path = tmp_path / "ipyproc-theirs"
    path.mkdir(0o700)
    if os.getuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(path, 65534, -1)
    assert not remove_directory(str(path), 5)


# Forks


@pytest.mark.parametrize("forks", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_forks_under_a_flood_read_outputs_and_harm_none_of_the_parents(forks: int) -> None:
    told = json.loads(run_program("output_forked.py", str(forks)).stdout)
    assert (told["well"], told["never"]) == (forks + 1, 0)
    assert told["parent's is whole"]
    assert told["parent has"] == [100_000, 2_000_000]


@looped
async def test_a_fork_reads_a_jobs_output_and_removes_none_of_its_files(
    table: JobTable, folder: Path
) -> None:
    job = table.spawn("seq 1 100000")
    result = await job
    size = len("".join(f"{n}\n" for n in range(1, 100_001)))
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads, such as the one that looks at processes.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, b"%d %d" % (len(job.output), len(result.output)))
            table.clear()
            del job, result
        finally:
            os._exit(0)
    os.close(write_end)
    await until(lambda: os.waitpid(pid, os.WNOHANG)[0])
    assert os.read(read_end, 100) == b"%d %d" % (size, size)
    os.close(read_end)
    assert len(files_in(folder)) == 1
    assert len(job.output) == size
    table.clear()


def test_a_reserve_is_one_fd_that_goes_with_its_owner() -> None:
    before = open_fds()
    reserve = Reserve()
    reserve.open()
    reserve.open()
    assert len(open_fds()) == len(before) + 1
    del reserve
    assert open_fds() == before
