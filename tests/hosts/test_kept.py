"""Kept jobs: what of their processes may be killed, what stands in their files, who may come near them."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from ipyproc.errors import JobStateError
from ipyproc.hosts.base import HostedJob
from ipyproc.hosts.keeper.adopted import Adopted
from ipyproc.hosts.keeper.ends import scope_command, what_ends_it
from ipyproc.hosts.keeper.host import KeeperHost
from ipyproc.hosts.keeper.sweep import sweep
from ipyproc.model.event import EventKind
from ipyproc.model.life import LADDER
from ipyproc.model.spec import JobSpec
from ipyproc.spool.named import NamedOutput
from tests.hosts.contract import ended, said
from tests.hosts.kept import keeping, keeping_none
from tests.privileges import NOBODY
from tests.support import PROGRAMS, kept_processes, lives, loop_in_a_thread, run_program, wait_until

_SECONDS = 60.0


def counting(flag: Path, pause: float = 0.002, **fields: object) -> JobSpec:
    """A job that writes numbered lines until a file is there."""
    words = (sys.executable, "-S", str(PROGRAMS / "kept_counts.py"), str(flag), str(pause))
    return JobSpec(words, "counts", **fields)  # type: ignore[arg-type]


def need_all(job: HostedJob) -> None:
    """Nothing that it wrote is lost or doubled, and all is in order."""
    output = job.output
    streams = {"stdout": b"", "stderr": b""}
    for name, start, stop in output.runs():
        streams[name] += output.read(start, stop)
    text = output.text() if job.spec.tty else streams["stdout"].decode()
    numbers = [line for line in text.split("\n") if line and line[0] not in "el"]
    found = re.search(r"^last (\d+)$", text, re.MULTILINE)
    assert found and numbers == [str(number) for number in range(1, int(found[1]) + 1)]
    if not job.spec.tty:
        marks = re.findall(rb"^e(\d+)$", streams["stderr"], re.MULTILINE)
        assert [int(mark) for mark in marks] == list(range(200, int(found[1]) + 1, 200))


def kill_one(chance: random.Random) -> None:
    """Kills one of the processes that keep a job, and waits until all are there again."""
    killed = chance.choice(sorted(kept_processes()))
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in (found := kept_processes()) and len(found) >= 3, timeout=_SECONDS)


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_of_holders_and_runners_lose_nothing(times: int, tty: bool, tmp_path: Path) -> None:
    flag, chance = tmp_path / "flag", random.Random(times + tty)
    with keeping() as host:
        job = said(host.start(counting(flag, tty=tty)), b"200\n")
        pid = job.pid
        for _ in range(times):
            before = job.output.end
            time.sleep(chance.random() * 0.2)
            kill_one(chance)
            assert job.block_until(lambda: job.output.end > before, _SECONDS), job.status()
        assert job.pid == pid and lives(pid)
        flag.touch()
        assert job.block_until(lambda: job.ending is not None, _SECONDS), job.status()
        assert job.status().returncode == 7 and not job.output.lost
        need_all(job)
        assert host.attach(job.ticket) is job
    assert not lives(pid)


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_a_runner_whose_holders_are_killed_together_holds_the_job(tty: bool, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with keeping() as host:
        job = said(host.start(counting(flag, tty=tty)), b"200\n")
        wait_until(lambda: len(kept_processes()) == 3)
        runner = wait_until(lambda: newest_runner(job.place.path))
        holders = [pid for pid in kept_processes() if pid != runner]
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for pid in holders:
                os.kill(pid, signum)
        wait_until(lambda: not kept_processes().keys() & set(holders) and len(kept_processes()) == 3)
        before = job.output.end
        assert job.block_until(lambda: job.output.end > before, _SECONDS)
        flag.touch()
        assert job.block_until(lambda: job.ending is not None, _SECONDS), job.status()
        assert job.status().returncode == 7
        need_all(job)


@pytest.mark.slow
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_a_runner_that_is_killed_as_it_starts_a_job_starts_one_in_the_end(tty: bool, tmp_path: Path) -> None:
    chance = random.Random(tty)
    with keeping() as host:
        for number in range(12):
            pids = tmp_path / f"{number}"
            job = host.start(JobSpec(f"echo $$ >> {pids}; echo up; exec sleep 600", "one", tty=tty))
            runner = wait_until(lambda: newest_runner(job.place.path))
            time.sleep(0.1 + chance.random() * 0.3)
            os.kill(runner, signal.SIGKILL)
            assert job.block_until(lambda: b"up" in job.output.read() and job.pid > 0, _SECONDS)
            # What was started before it is gone, or is it.
            wait_until(lambda: [int(pid) for pid in pids.read_text().split() if lives(int(pid))] == [job.pid])
            job.kill()
            ended(job)


def test_a_terminal_is_at_its_end_however_late_its_holders_let_go_of_it(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with keeping() as host:
        command = f"while :; do echo up; [ -e {flag} ] && exit 5; sleep 0.02; done"
        job = said(host.start(JobSpec(command, "late", tty=True)), b"up")
        wait_until(lambda: len(kept_processes()) == 3)
        runner = wait_until(lambda: newest_runner(job.place.path))
        holders = [pid for pid in kept_processes() if pid != runner]
        try:
            for pid in holders:
                os.kill(pid, signal.SIGSTOP)
            flag.touch()
            wait_until(lambda: not lives(job.pid))
            time.sleep(0.1)
        finally:
            for pid in holders:
                os.kill(pid, signal.SIGCONT)
        ended(job)
        kinds = [event.kind for event in job.events() if event.kind is not EventKind.WROTE]
        assert kinds == [EventKind.STARTED, EventKind.EXITED, EventKind.DONE]
        assert job.status().returncode == 5 and not job.status().notes


def newest_runner(directory: str) -> int:
    """The runner of a job; 0 where there is none."""
    found = [pid for pid, words in kept_processes().items() if f"main(sys.argv[1:]) {directory} " in words]
    # A holder has that among its arguments, too, and then its own.
    return max((pid for pid in found if "sys.exit" not in kept_processes().get(pid, "")), default=0)


@pytest.mark.slow
def test_who_holds_an_idle_job_may_be_killed_and_its_terminal_stays() -> None:
    with keeping() as host:
        job = said(host.start(JobSpec("echo up; read x; echo got $x; exit 5", "idle", tty=True)), b"up")
        for _ in range(3):
            wait_until(lambda: len(kept_processes()) == 2)
            killed = min(kept_processes())
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: killed not in (found := kept_processes()) and len(found) >= 2)
            assert lives(job.pid) and job.ending is None
        job.write(b"it\n")
        assert ended(job).status().returncode == 5 and "got it\n" in job.output.text()


# Who may come near


def test_nothing_of_a_job_is_anybody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is above our own directories lets everybody through.
    with open_state(monkeypatch), keeping() as host:
        job = host.start(JobSpec("cat", "cat", tty=True, env={"TOKEN": "secret"}))
        job.write(b"typed\n")
        said(job, b"typed")
        for path in [job.place.path, os.path.dirname(job.place.path), job.place.socket]:
            assert not os.lstat(path).st_mode & 0o077, path
        for name in os.listdir(job.place.path):
            assert not os.lstat(job.place.file(name)).st_mode & 0o077, name
        if os.getuid() == 0:
            run_program("kept_stranger.py", job.place.path, job.place.socket)


def test_a_directory_that_others_have_access_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_state(monkeypatch), keeping() as host:
        job = ended(host.start(JobSpec("echo mine", "mine")))
        jobs = os.path.dirname(job.place.path)
        for change, back, words in changes_of(jobs):
            change()
            for attempt in (
                lambda: host.start(JobSpec("true", "new")),
                lambda: host.attach("other-1"),
                host.tickets,
            ):
                with pytest.raises((PermissionError, JobStateError)) as raised:
                    attempt()
                assert isinstance(raised.value, JobStateError) or words in str(raised.value)
            back()
        # One alone is passed over.
        os.chmod(job.place.path, 0o750)
        assert host.tickets() == {}
        host.close()
        with pytest.raises(PermissionError, match="has the mode 0750, so that others have access to it"):
            host.attach(job.ticket)
        os.chmod(job.place.path, 0o700)
        assert host.tickets() == {job.ticket: "mine"}


def changes_of(path: str) -> Iterator[tuple[Callable[[], None], Callable[[], None], str]]:
    yield lambda: os.chmod(path, 0o755), lambda: os.chmod(path, 0o700), "has the mode 0755"
    if os.getuid() == 0:
        chown = partial(os.chown, path)
        yield lambda: chown(NOBODY, 0), lambda: chown(0, 0), f"belongs to the user {NOBODY}"


@contextmanager
def open_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A state folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="k-", dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        with monkeypatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", directory)
            os.makedirs(os.path.join(directory, "ipyproc"), 0o755)
            yield directory


# What stands in the files


def test_a_home_without_room_for_sockets_has_them_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(deep))
    runtime = tempfile.mkdtemp(prefix="r-", dir="/tmp")
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    try:
        with keeping() as host:
            job = said(host.start(JobSpec("echo up; exec sleep 600", "deep")), b"up\n")
            assert job.place.socket.startswith(f"{runtime}/ipyproc-{os.getuid()}/")
            assert len(job.place.socket) < 107 < len(job.place.path)
            with keeping() as other:
                assert said(other.attach(job.ticket), b"up\n").pid == job.pid
                other.close()
        assert os.listdir(f"{runtime}/ipyproc-{os.getuid()}") == []
    finally:
        shutil.rmtree(runtime)


def test_what_ended_is_read_without_a_holder_and_by_whoever_comes() -> None:
    with keeping() as host:
        job = ended(host.start(JobSpec("echo out; echo err >&2; exit 3", "over", max_output=100_000)))
        wait_until(lambda: not kept_processes())
        with keeping_none() as other:
            again = other.attach(job.ticket)
            assert again.status() == job.status() and again.output.text() == "out\nerr\n"
            assert again.output.text("stderr") == "err\n" and again.events() == job.events()
            assert not kept_processes()
            # It has a holder again when it is to be started anew.
            again.restart(1.0, LADDER)
            assert again.block_until(lambda: again.status().lives == 1 and again.state.done, _SECONDS)
            assert again.output.text().count("out\n") == 2
            again.release()
        assert not job.place.is_there and host.tickets() == {}


def test_a_record_of_another_boot_of_another_version_or_of_no_use() -> None:
    with keeping() as host:
        job = ended(host.start(JobSpec("echo kept; exit 3", "one")))
        wait_until(lambda: not kept_processes())
        host.close()
        path = job.place.file("record.json")
        given = json.loads(Path(path).read_text())

        def changed(**values: object) -> None:
            Path(path).write_text(json.dumps({**given, **values}))

        status = {**given["status"], "state": "running", "ending": None, "returncode": None}
        changed(status=status, boot="another")
        lost = KeeperHost().attach(job.ticket)
        assert lost.status().returncode == 255 and "the machine was started anew" in lost.status().notes[-1]
        assert lost.output.text() == "kept\n"
        changed(version=99, spec={"unknown": 1})
        with pytest.raises(JobStateError, match="was written by a later ipyproc \\(version 99"):
            KeeperHost().attach(job.ticket)
        Path(path).write_text("{")
        with pytest.raises(JobStateError, match="cannot be read"):
            KeeperHost().attach(job.ticket)
        assert KeeperHost().tickets() == {}
        # What a newer version has added is not minded.
        changed(status=given["status"], more={"of": "it"})
        assert KeeperHost().attach(job.ticket).status().returncode == 3


def test_a_number_that_a_stranger_has_by_now_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipyproc.hosts.keeper.adopted._PATIENCE", 0.1)
    with keeping() as host, loop_in_a_thread() as io_loop:
        job = ended(host.start(JobSpec("true", "one")))
        seen: list[int] = []
        # This process stands for the stranger.
        process = Adopted(os.getpid(), 1, job.place, io_loop, None)
        io_loop.add_callback(process.set_exit_callback, seen.append)
        wait_until(lambda: seen == [255])
        assert process.is_unknown


def test_old_and_large_jobs_go_the_others_stay() -> None:
    with keeping() as host:
        jobs = [ended(host.start(JobSpec(f"head -c {size} /dev/zero", f"j{size}"))) for size in (90000, 10)]
        running = said(host.start(JobSpec("echo up; exec sleep 600", "runs")), b"up\n")
        now = time.time()
        assert sweep(3600, 1 << 30, now) == [] == sweep(3600, 1 << 30, now - 1e6)
        assert sweep(1e9, 80_000, now) == [jobs[0].ticket]
        assert sweep(3600, 1 << 30, now + 4000) == [jobs[1].ticket]
        os.mkdir(os.path.join(os.path.dirname(running.place.path), "stale-1"), 0o700)
        assert sweep(3600, 1 << 30, now) == []
        assert sweep(1e9, 1 << 30, now + 90_000) == ["stale-1"]
        assert host.tickets() == {running.ticket: "runs"}


def test_named_output_goes_on_without_room_and_says_what_it_lost(tmp_path: Path) -> None:
    output = NamedOutput(str(tmp_path), 1 << 20, terminal=False, writes=True)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        os.write(writing, b"a" * 1000)
        with output.lock:
            assert output.take("stdout", reading, 1.0, None) == 1000
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
            os.write(writing, b"b" * 500)
            assert output.take("stdout", reading, 2.0, None) == 500
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert output.lost == 500 and output.lost_because == "no room on disk"
            os.write(writing, b"c" * 10)
            assert output.take("stderr", reading, 3.0, None) == 10
            assert output.take("stderr", reading, 3.0, None) is None
            os.close(writing)
            assert output.take("stderr", reading, 3.0, None) == 0
        other = NamedOutput(str(tmp_path), 1 << 20, terminal=False, writes=False)
        assert other.read() == output.read() == b"a" * 1000 + b"c" * 10
        assert other.text("stderr") == "c" * 10 and other.stderr_tail(5) == "c" * 10
        other.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.close(reading)
        output.close()


# What it costs, and what ends it


@pytest.mark.slow
def test_an_idle_job_has_no_runner_and_is_back_at_once() -> None:
    with keeping() as host:
        job = said(host.start(JobSpec("echo up; read x; echo got $x; exec sleep 600", "idle")), b"up\n")
        wait_until(lambda: len(kept_processes()) == 2)
        assert sum(memory_of(pid) for pid in kept_processes()) < 6 << 20
        assert job.status().uptime and job.takes_input
        job.write(b"this\n")
        said(job, b"got this\n")
        wait_until(lambda: len(kept_processes()) == 2)
        os.kill(job.pid, signal.SIGTERM)
        assert ended(job).status().returncode == -signal.SIGTERM


def memory_of(pid: int) -> int:
    """The bytes of a process, its part of what it shares (PSS)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) << 10


@pytest.mark.slow
def test_a_hundred_jobs_start_attach_and_end() -> None:
    with keeping() as host:
        jobs = [host.start(JobSpec(f"echo {n}; read x; exit {n}", f"j{n}")) for n in range(100)]
        for n, job in enumerate(jobs):
            said(job, b"%d\n" % n)
        with keeping_none() as other:
            for n, job in enumerate(jobs):
                again = other.attach(job.ticket)
                assert said(again, b"%d\n" % n).pid == job.pid
                again.write(b"\n")
            for n, job in enumerate(jobs):
                assert ended(job).status().returncode == n


def test_what_ends_it_anyway_is_said(tmp_path: Path) -> None:
    assert what_ends_it({}, str(tmp_path)) == ""
    (tmp_path / ".dockerenv").touch()
    assert what_ends_it({}, str(tmp_path)) == "the end of this container ends it too"
    assert what_ends_it({"SLURM_JOB_ID": "1"}) == "the end of this SLURM job ends it too"
    assert "hub" in what_ends_it({"JUPYTERHUB_SERVICE_PREFIX": "/user/a/", "KUBERNETES_SERVICE_HOST": "x"})
    with keeping() as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", "1")
        job = host.start(JobSpec("echo up; exec sleep 600", "one"))
        assert "SLURM" in job.status().notes[-1]
        said(job, b"up\n")
        with keeping_none() as other:
            assert "SLURM" in other.attach(job.ticket).status().notes[-1]


@pytest.mark.parametrize("works", [True, False])
def test_it_gets_a_scope_of_systemds_where_that_gives_one(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scope_command({}) == [] == scope_command({"XDG_RUNTIME_DIR": str(tmp_path)})
    # Stands for systemd's own program, which this machine may not have.
    program = tmp_path / "systemd-run"
    ending = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"' if works else "exit 1"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n{ending}\n')
    program.chmod(0o755)
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with keeping() as host:
        said(host.start(JobSpec("echo up; exec sleep 600", "scoped")), b"up\n")
        asked = (tmp_path / "asked").read_text()
        assert asked.count("--user --scope --quiet --collect -- ") == 1 and "holder_program" in asked
