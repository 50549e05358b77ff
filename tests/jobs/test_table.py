from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from typing import Any

import pytest

from ipyproc.errors import IpyprocError, JobNameError, JobStateError, NoLoopError, UnknownJobError
from ipyproc.job.table import JobTable
from tests.jobs.looped import looped
from tests.support import lives, loop_in_a_thread, run_python, until, wait_until


@looped
async def test_a_job_is_found_by_its_name_and_by_its_pid(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"], name="build")
    assert table["build"] is table[job.pid] is table[str(job.pid)] is job
    assert "build" in table
    assert job.pid in table
    assert job in table
    assert "other" not in table
    assert [*table] == [job]
    assert repr(table) == "<JobTable of 1 jobs, 1 running>"
    await job.stop()
    assert table["build"] is table[job.pid] is job
    assert repr(table) == "<JobTable of 1 jobs, 0 running>"


@looped
async def test_a_pid_is_that_of_the_job_that_runs_not_of_one_long_gone(table: JobTable) -> None:
    old, young = table.spawn("true", name="old"), table.spawn(["sleep", "60"], name="young")
    await old
    # What the system does when its numbers have come round.
    old.hosted._pid = young.pid
    assert old.pid == young.pid
    assert table[young.pid] is young
    await young.stop()


@looped
async def test_an_unknown_job_is_named_with_those_that_exist(table: JobTable) -> None:
    with pytest.raises(KeyError) as error:
        table["nosuch"]
    assert isinstance(error.value, UnknownJobError) and isinstance(error.value, IpyprocError)
    assert str(error.value) == "There is no job 'nosuch'; the jobs are: none."
    await asyncio.gather(table.spawn("true", name="one"), table.spawn("true", name="two"))
    for key in ("nosuch", 1, "1", None):
        with pytest.raises(UnknownJobError) as error:
            table[key]
        assert str(error.value) == f"There is no job {key!r}; the jobs are: one, two."
        with pytest.raises(UnknownJobError):
            table.forget(key)


@looped
async def test_a_name_is_taken_while_its_job_runs_and_free_after(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"], name="build")
    with pytest.raises(JobNameError) as error:
        table.spawn("true", name="build")
    assert str(error.value) == (
        f"A job named 'build' is running already (pid {job.pid}); "
        "replace it (--replace), stop it, see it by %logs, or give the new one another name."
    )
    assert isinstance(error.value, ValueError)
    await job.stop()
    again = table.spawn("echo again", name="build")
    assert table["build"] is again
    await again
    assert len(table) == 1
    assert job.returncode == -signal.SIGINT


@looped
async def test_a_job_without_a_name_has_that_of_its_program(table: JobTable) -> None:
    commands = ["sleep 0", "sleep 0", ["/bin/sleep", "0"], "A=1 B=2 true", "/bin/sh -c :", "(true)", "! ["]
    names = [table.spawn(command).name for command in commands]
    assert names == ["sleep", "sleep-2", "sleep-3", "true", "sh", "true-2", "job"]
    await asyncio.gather(*(job.wait(raise_error=False) for job in table))


@looped
async def test_forgetting_takes_jobs_that_have_ended_out_of_the_table(table: JobTable) -> None:
    ended = table.spawn("echo hello", name="ended")
    other = table.spawn("echo other", name="other")
    running = table.spawn(["sleep", "60"], name="running")
    result = await ended
    await other
    table.forget(other.pid)
    assert [job.name for job in table] == ["ended", "running"]
    with pytest.raises(JobStateError, match="Job 'running' is running; stop it before it is released"):
        table.forget("running")
    table.clear()
    assert [*table] == [running]
    assert (result.returncode, ended.returncode, ended.output) == (0, 0, "")
    assert ended.snapshot().size == 6
    assert (ended.snapshot().dropped, ended.snapshot().notes) == (0, ())
    await running.stop()


def test_without_a_loop_a_job_is_refused_in_one_sentence_and_nothing_starts() -> None:
    fresh = JobTable()
    with pytest.raises(
        NoLoopError, match="No event loop runs here.*start it in a coroutine, or in a notebook"
    ):
        fresh.spawn("true")
    with pytest.raises(NoLoopError, match="No job has been started yet"):
        fresh.local.io_loop
    assert len(fresh) == 0
    fresh.end_all()


def test_a_job_lives_on_the_loop_that_was_settled_whoever_starts_it() -> None:
    fresh = JobTable()
    told: list[int] = []
    with loop_in_a_thread() as home:
        home.add_callback(lambda: told.append(threading.get_ident()))
        wait_until(lambda: told)
        fresh.local.settle(home)

        async def from_another_loop() -> None:
            job = fresh.spawn("echo hello; read x; echo $x")
            job.subscribe(lambda event: told.append(threading.get_ident()))
            job.send("sent\n")
            await job.wait()
            assert job.output == "hello\nsent\n"

        asyncio.run(from_another_loop())
        # AWAITED is told where it is awaited; all else at home.
        elsewhere = [thread for thread in told if thread != told[0]]
        assert elsewhere == [threading.get_ident()]
        from_no_loop = fresh.spawn("echo hello; exit 3")
        wait_until(lambda: from_no_loop.done)
        assert (from_no_loop.returncode, from_no_loop.output) == (3, "hello\n")
        home.add_callback(fresh.end_all)
        wait_until(lambda: fresh.local.resources.warden.pid is None)


@looped
async def test_a_job_started_in_a_thread_without_a_loop_lives_on_the_one_that_jobs_live_on(
    table: JobTable,
) -> None:
    await table.spawn("true")
    jobs = await asyncio.gather(*(asyncio.to_thread(table.spawn, f"exit {n}") for n in range(10)))
    results = await asyncio.gather(*(job.wait(raise_error=False) for job in jobs))
    assert [result.returncode for result in results] == [*range(10)]
    assert len({job.name for job in jobs}) == 10


def test_a_table_goes_on_with_the_next_loop_when_one_is_closed(table: JobTable) -> None:
    async def one(text: str) -> str:
        return (await table.spawn(["echo", text])).output

    assert [asyncio.run(one(f"{n}")) for n in range(3)] == ["0\n", "1\n", "2\n"]
    with pytest.raises(NoLoopError):
        table.spawn("true")


@looped
async def test_the_watchers_are_told_of_every_job(table: JobTable) -> None:
    class Watcher:
        def on_started(self, job: object) -> None:
            told.append((job.name, "SPAWNED"))

        def on_event(self, job: object, event: object) -> None:
            told.append((job.name, event.kind.name))

    told: list[tuple[str, str]] = []
    watcher = Watcher()
    table.add_watcher(watcher)
    await table.spawn("echo hello", name="one")
    table.remove_watcher(watcher)
    await table.spawn("echo hello", name="two")
    kinds = [kind for name, kind in told if kind != "WROTE"]
    assert kinds == ["STARTED", "SPAWNED", "AWAITED", "EXITED", "DONE"]
    assert ("one", "WROTE") in told
    assert {name for name, _ in told} == {"one"}


def test_end_all_ends_jobs_and_their_children_and_all_that_the_table_holds() -> None:
    async def main() -> list[int]:
        polite = fresh.spawn("sleep 60 & echo $!; exec sleep 60")
        deaf = fresh.spawn("trap '' INT TERM; sleep 60 & echo $!; while :; do sleep 0.1; done")
        left = fresh.spawn("sleep 60 > /dev/null 2>&1 & echo $!")
        await left
        await until(lambda: polite.output and deaf.output)
        fresh.end_all()
        return [pid for job in (polite, deaf, left) for pid in (job.pid, int(job.output))]

    fresh = JobTable()
    for pid in asyncio.run(main()):
        assert not lives(pid)
    assert fresh.local.resources.warden.pid is None


def test_an_interpreter_that_exits_ends_its_jobs_and_says_nothing() -> None:
    program = """
import asyncio, ipyproc
async def main():
    job = ipyproc.spawn("sleep 60 & echo $!; exec sleep 60")
    while not job.output:
        await asyncio.sleep(0.01)
    print(job.pid, job.output)
    raise SystemExit
try:
    asyncio.run(main())
except SystemExit:
    pass
"""
    done = run_python("-c", program)
    assert done.stderr == ""
    for pid in map(int, done.stdout.split()):
        wait_until(lambda: not lives(pid))


def test_jobs_that_nobody_keeps_are_collected_without_a_warning() -> None:
    program = """
import asyncio, gc
from ipyproc.job.table import JobTable
async def main():
    table = JobTable()
    job = table.spawn("seq 1 200000")
    await job
    table.end_all()
    table.itself, job.itself = table, job
gc.disable()
asyncio.run(main())
gc.collect()
"""
    assert run_python("-c", program).stderr == ""


def test_a_fork_of_the_kernel_leaves_its_jobs_alone() -> None:
    program = """
import asyncio, os, sys, ipyproc
async def main():
    job = ipyproc.spawn("read x; exit 3")
    pid = os.fork()
    if pid == 0:
        ipyproc.jobs.end_all()
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    await asyncio.sleep(0.1)
    assert not job.done
    job.send("\\n")
    assert (await job.wait(raise_error=False)).returncode == 3
asyncio.run(main())
"""
    run_python("-c", program)


def test_the_public_table_is_an_object_with_the_jobs_in_it() -> None:
    program = """
import asyncio, ipyproc, ipyproc.job.table
async def main():
    job = ipyproc.spawn("true")
    await job
    assert list(ipyproc.jobs) == [job] and ipyproc.jobs["true"] is job is ipyproc.jobs[job.pid]
    assert "true" in ipyproc.jobs and len(ipyproc.jobs) == 1 and type(ipyproc.jobs) is ipyproc.JobTable
    ipyproc.jobs.clear()
    assert len(ipyproc.jobs) == 0 and "1 jobs" not in repr(ipyproc.jobs)
asyncio.run(main())
"""
    run_python("-c", program)


@pytest.mark.parametrize("kind", ["a loop's own", "Python's"])
def test_an_interrupt_while_a_job_is_started_is_handled_once_when_it_is_in_the_table(
    kind: str, table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            signal.raise_signal(signal.SIGINT)

    def spawn() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", Interrupted)
            table.spawn(["sleep", "60"], name="build")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if kind == "Python's":
            with pytest.raises(KeyboardInterrupt):
                spawn()
            handled.append(True)
        else:
            loop.add_signal_handler(signal.SIGINT, handled.append, True)
            spawn()
            await until(lambda: handled)
            await asyncio.sleep(0.05)
            loop.remove_signal_handler(signal.SIGINT)
        await table["build"].stop()

    handled: list[bool] = []
    # Not asyncio.run(), whose own handler of SIGINT cancels the task.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 20))
    finally:
        loop.close()
    assert handled == [True]


_LEAVES_JOBS = """
import asyncio, os, sys
import ipyproc
from ipyproc.hosts.local import host
host._END_GRACE = 60  # A word more where what is ended takes its time.
async def main():
    running = ipyproc.spawn("exec sleep 60", name="running")
    await ipyproc.spawn("true", name="over")
    if not (pid := os.fork()):
        sys.exit(0)
    os.waitpid(pid, 0)
    print(running.pid)
# Not closed, which would end the job before.
asyncio.new_event_loop().run_until_complete(main())
"""


def test_a_process_that_ends_names_the_jobs_that_it_ends_with_it_once() -> None:
    done = run_python("-W", "ignore", "-c", _LEAVES_JOBS)
    pid = done.stdout.split()[-1]
    assert done.stderr == f"ipyproc: job 'running' (pid {pid}) was still running and was ended.\n"
