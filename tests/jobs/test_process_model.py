"""Signals reach the program; a stop, a kill, a timeout and the kernel's end reach all of the session."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ipyproc.errors import JobNameError, ReadyTimeout
from ipyproc.hosts.local.warden import end_sessions
from ipyproc.job.job import Job
from ipyproc.job.table import JobTable
from ipyproc.model.state import JobState
from ipyproc.process.platform.sessions import find_members, is_surely_empty
from tests.jobs.clock import HOUR, Clock, left_by, stopped_at_its_second_signal
from tests.jobs.looped import looped
from tests.jobs.trees import MARK, marked
from tests.ports import free_port
from tests.support import PROGRAMS, PYTHONPATH, until, wait_until

TRAIN = f"{sys.executable} -I -S {PROGRAMS / 'train.py'}"
SERVER = f"{sys.executable} -I -S {PROGRAMS / 'master_worker.py'}"

forms = pytest.mark.parametrize(
    "form", ["{}", "export X=1\n{}", "export X=1; {}; echo over", "trap 'echo trapped' EXIT\n{}"]
)
shells = pytest.mark.parametrize("shell", ["sh", pytest.param("bash", marks=pytest.mark.slow)])


async def answer(port: int) -> str:
    """What a server says; empty while none is there."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return ""
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).decode()
    except OSError:
        return ""
    finally:
        writer.close()


async def until_answer(port: int, text: str) -> None:
    deadline = time.monotonic() + 60
    while not (said := await answer(port)).endswith(text):
        assert time.monotonic() < deadline, f"no {text!r} at {port}, but {said!r}"
        await asyncio.sleep(0.01)


# Signals reach the program


@forms
@shells
def test_a_master_worker_server_reloads_at_sighup_and_the_job_goes_on(
    table: JobTable, form: str, shell: str
) -> None:
    @looped
    async def main() -> None:
        port, mark = free_port(), uuid.uuid4().hex
        job = table.spawn(form.format(f"{SERVER} {port}"), shell=shell, env={MARK: mark})
        for generation in range(1, 4):
            await until(lambda: f"generation {generation} at" in job.output)  # noqa: B023
            await until_answer(port, f"{generation}")
            job.signal(signal.SIGHUP)
        await until(lambda: "generation 4 at" in job.output)
        assert (job.state, "trapped" in job.output) == (JobState.RUNNING, False)
        assert len([pid for pid in marked(mark) if _words(pid).startswith(sys.executable)]) == 3
        result = await job.stop(grace=HOUR)
        assert result.ended_by == "SIGINT"
        assert not marked(mark)
        await job.restart()
        await until_answer(port, "1")
        await job.stop()
        assert not marked(mark)

    main()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")
@looped
async def test_nginx_reloads_at_sighup_and_is_stopped_and_restarted(table: JobTable, tmp_path: Path) -> None:
    port, mark = free_port(), uuid.uuid4().hex

    def configure(says: str) -> None:
        paths = "".join(
            f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        where = f"listen 127.0.0.1:{port}; location / {{ return 200 '{says}'; }}"
        (tmp_path / "nginx.conf").write_text(
            "daemon off; worker_processes 2; pid nginx.pid; error_log stderr; events {}\n"
            f"http {{ access_log off; {paths} server {{ {where} }} }}\n"
        )

    configure("one")
    job = table.spawn(
        f"nginx -e stderr -p {tmp_path} -c nginx.conf",
        name="web",
        ready=f"127.0.0.1:{port}",
        env={MARK: mark},
    )
    await job.ready(timeout=60)
    await until_answer(port, "one")
    master = job.pid
    configure("two")
    job.signal(signal.SIGHUP)
    await until_answer(port, "two")
    assert (job.state, job.pid) == (JobState.RUNNING, master)
    result = await job.stop(grace=HOUR)
    assert (result.returncode, result.ended_by) == (0, "SIGINT")
    assert not marked(mark)
    await job.restart()
    await until_answer(port, "two")
    await job.stop()
    assert not marked(mark)


@forms
@shells
def test_a_training_saves_at_sigusr1_and_goes_on(
    table: JobTable, tmp_path: Path, form: str, shell: str
) -> None:
    @looped
    async def main() -> None:
        saved = tmp_path / "saved"
        job = table.spawn(form.format(f"{TRAIN} {saved}"), shell=shell)
        await until(lambda: "step 2" in job.output)
        job.signal(signal.SIGUSR1)
        await until(saved.exists)
        size = job.size
        await until(lambda: job.size > size)
        assert job.state is JobState.RUNNING
        assert saved.read_text().startswith("step ")
        job.kill()
        await job.wait(raise_error=False)

    main()


@pytest.mark.parametrize("form", ["export X=1\n{}", pytest.param("{}", marks=pytest.mark.slow)])
def test_a_training_that_drains_at_sigterm_is_not_cut(
    table: JobTable, clock: Clock, tmp_path: Path, form: str
) -> None:
    @looped
    async def main() -> None:
        saved, mark = tmp_path / "saved", uuid.uuid4().hex
        job = table.spawn(form.format(f"{TRAIN} {saved}"), shell="sh", env={MARK: mark})
        await until(lambda: "step 2" in job.output)
        result = await stopped_at_its_second_signal(job, clock)
        assert saved.read_text() == "done"
        assert result.ended_by == "SIGTERM"
        # A shell around it dies of the signal; the program itself does not.
        assert result.returncode == 0 or (result.returncode == -signal.SIGTERM and form != "{}")
        assert not marked(mark)

    main()


@looped
async def test_only_what_handles_a_signal_gets_it_where_a_script_runs_it(
    table: JobTable, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    workers = "for _ in 1 2; do sleep 60 & done"
    script = (
        f"{workers} >/dev/null; (timeout 60 sh -c '{TRAIN} {saved}; exit 3' | tee {tmp_path}/log); echo $?"
    )
    job = table.spawn(script)
    await until(lambda: "step 2" in job.output)
    job.signal(signal.SIGUSR1)
    await until(saved.exists)
    size = job.size
    await until(lambda: job.size > size)
    assert job.state is JobState.RUNNING
    assert len(_sleeps(job)) == 2
    job.kill()
    await job.wait(raise_error=False)


@looped
async def test_a_signal_that_nobody_handles_ends_the_program_of_a_script_and_not_the_script(
    table: JobTable,
) -> None:
    job = table.spawn("echo up; sleep 60; echo $?")
    await until(lambda: job.output == "up\n" and _sleeps(job))
    job.signal(signal.SIGUSR1)
    result = await job
    assert result.stdout == f"up\n{128 + signal.SIGUSR1}\n"


def _sleeps(job: Job) -> list[int]:
    members = find_members([job.pid])[job.pid]
    return [member.pid for member in members if _words(member.pid).startswith("sleep")]


# Everything of the session ends

ITS_OWN_GROUP = "timeout 600 sleep 500 >/dev/null & echo up; wait"
IN_FRONT = "echo up; timeout 600 sleep 500 >/dev/null && echo over"
DEAF = "trap '' INT TERM; timeout 600 sleep 500 >/dev/null & echo up; wait"

scripts = pytest.mark.parametrize("script", [ITS_OWN_GROUP, IN_FRONT, DEAF], ids=["behind", "front", "deaf"])


@scripts
@pytest.mark.parametrize("how", ["stop", "kill", "timeout"])
def test_what_made_a_group_of_its_own_ends_with_the_job(
    table: JobTable, clock: Clock, script: str, how: str
) -> None:
    @looped
    async def main() -> None:
        mark = uuid.uuid4().hex
        job = table.spawn(script, env={MARK: mark}, timeout=HOUR if how == "timeout" else None)
        await until(lambda: job.output == "up\n" and len(marked(mark)) >= 3)
        if how == "stop":
            await job.stop(grace=0.3)
        elif how == "kill":
            job.kill()
        else:
            clock.pass_for(job)
        result = await asyncio.wait_for(job.wait(raise_error=False), 30)
        assert result.timed_out == (how == "timeout")
        assert result.output == "up\n"
        assert not marked(mark)

    main()


@contextmanager
def kernel_with(script: str, mark: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "job_kernel.py", script],
        env={**os.environ, "PYTHONPATH": PYTHONPATH, MARK: mark},
        stdout=subprocess.PIPE,
        text=True,
    ) as kernel:
        try:
            yield kernel
        finally:
            kernel.kill()
            wait_until(lambda: not marked(mark))


def test_a_jobs_first_process_group_ends_with_a_kernel_that_is_killed() -> None:
    mark = uuid.uuid4().hex
    with kernel_with("sleep 500 & (sleep 500 & wait) & echo up; wait", mark) as kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "up\n"
        wait_until(lambda: len(marked(mark)) >= 5)
        kernel.kill()
        wait_until(lambda: not marked(mark))


@scripts
def test_what_made_a_group_of_its_own_ends_with_a_kernel_that_is_killed(script: str) -> None:
    mark = uuid.uuid4().hex
    with kernel_with(script, mark) as kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "up\n"
        wait_until(lambda: len(marked(mark)) >= 5)
        kernel.kill()
        # The warden, which has the mark as well, goes last.
        wait_until(lambda: not marked(mark))


def test_what_an_ended_job_left_ends_with_a_kernel_that_is_killed() -> None:
    mark = uuid.uuid4().hex
    with kernel_with(
        "sleep 500 >/dev/null & (timeout 600 sleep 500 &) >/dev/null 2>&1; echo up", mark
    ) as kernel:
        assert kernel.stdout is not None
        assert [kernel.stdout.readline() for _ in range(2)] == ["up\n", "ended\n"]
        wait_until(lambda: len(marked(mark)) == 5)
        kernel.kill()
        wait_until(lambda: not marked(mark))


@looped
async def test_a_process_that_left_the_session_is_on_its_own_and_the_job_says_so(table: JobTable) -> None:
    mark = uuid.uuid4().hex
    job = table.spawn("setsid sleep 60 & exec sleep 60", env={MARK: mark})
    # By its own name: the shell has the word too, and so has what is yet to leave the session.
    await until(lambda: len([pid for pid in marked(mark) if _words(pid).startswith("sleep")]) == 2)
    result = await job.stop()
    assert (result.returncode, result.ended_by) == (-signal.SIGINT, "SIGINT")
    assert result.notes == (
        "a process that it started has left its session (setsid) and holds its output open; it is on its own",
    )
    (left,) = marked(mark)
    os.kill(left, signal.SIGKILL)
    await until(lambda: not job.lingers)


# What an ended job left


@looped
async def test_a_server_that_a_script_left_is_told_shown_and_stopped(table: JobTable) -> None:
    port, mark = free_port(), uuid.uuid4().hex
    script = f"{SERVER} {port} >/dev/null 2>&1 & echo started"
    job = table.spawn(script, name="web", env={MARK: mark})
    result = await job
    assert (result.returncode, result.output) == (0, "started\n")
    assert re.fullmatch(r"left [1-3] running", *result.notes)
    await until_answer(port, "1")
    await until(lambda: job.left == 3)
    assert (job.done, job.snapshot().left_running, job in table) == (True, 3, True)
    with pytest.raises(JobNameError) as refused:
        table.spawn("true", name="web")
    assert str(refused.value) == (
        "A job named 'web' has ended and left 3 running; replace it (--replace), stop it, "
        "or give the new one another name."
    )
    await job.stop()
    assert (job.left, marked(mark), await answer(port)) == (0, [], "")
    assert (await table.spawn("echo next", name="web")).stdout == "next\n"


@looped
async def test_kill_and_restart_end_what_a_job_left_as_well(table: JobTable) -> None:
    mark = uuid.uuid4().hex
    job = table.spawn("trap '' INT TERM; sleep 60 >/dev/null 2>&1 & echo started", env={MARK: mark})
    await job
    before = marked(mark)
    await job.restart(grace=0.1)
    await job
    assert job.output == "started\nstarted\n"
    assert len(marked(mark)) == 1 and marked(mark) != before
    job.kill()
    await until(lambda: not job.left)
    assert not marked(mark)


@looped
async def test_a_background_child_writes_on_after_the_jobs_end(table: JobTable, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    late = (
        f"until [ -e {sign} ]; do sleep 0.02; done; echo late; sleep 0.1; echo later; echo $? >{sign}.status"
    )
    job = table.spawn(f"({late}) & echo first")
    result = await job
    assert result.output == "first\n"
    assert re.fullmatch(r"left [12] running", *result.notes)
    assert job.left >= 1
    sign.touch()
    await until(lambda: job.output == "first\nlate\nlater\n")
    await until(lambda: not job.lingers)
    assert (tmp_path / "sign.status").read_text() == "0\n"


@looped
async def test_a_stop_climbs_for_grandchildren_that_need_it(table: JobTable, clock: Clock) -> None:
    mark = uuid.uuid4().hex
    deaf = "trap '' INT; echo set; while :; do sleep 0.05; done"
    job = table.spawn(f'set -m; bash -c "{deaf}" & exec sleep 60', shell="bash", env={MARK: mark})
    await until(lambda: "set" in job.output)
    result = await stopped_at_its_second_signal(job, clock, lambda: left_by(job))
    assert (result.returncode, result.ended_by) == (-signal.SIGINT, "SIGINT")
    assert result.notes == ("a process that it left needed SIGTERM",)
    assert not marked(mark)


# Ready


@looped
async def test_a_strangers_socket_makes_no_job_ready_and_one_of_its_sessions_groups_does(
    table: JobTable,
) -> None:
    port = free_port()
    stranger = table.spawn(f"{SERVER} {port}", name="stranger", ready=f"127.0.0.1:{port}")
    await stranger.ready(timeout=60)
    job = table.spawn("sleep 60", name="waits", ready=f"127.0.0.1:{port}")
    with pytest.raises(ReadyTimeout):
        await job.ready(timeout=0.6)
    await _stop_all(stranger, job)
    script = f"set -m; ({SERVER} {port} >/dev/null & ) ; sleep 60"
    own = table.spawn(script, shell="bash", name="own", ready=f"127.0.0.1:{port}")
    await own.ready(timeout=60)
    await own.stop()
    assert await answer(port) == ""


async def _stop_all(*jobs: Job) -> None:
    await asyncio.gather(*(job.stop() for job in jobs))


def _words(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def test_a_process_that_forks_and_exits_all_the_time_is_found_in_every_look() -> None:
    hops = "for (1..50000) { exit if fork; setpgrp(0, 0); select(undef, undef, undef, 0.001) }"
    with subprocess.Popen(["perl", "-e", hops], start_new_session=True) as leader:
        leader.wait()
    for _ in range(50):
        assert not is_surely_empty(leader.pid)
        assert find_members([leader.pid])[leader.pid]
    end_sessions([leader.pid])
    wait_until(lambda: not find_members([leader.pid])[leader.pid])
