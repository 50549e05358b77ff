from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import re
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import pytest
from tornado.ioloop import IOLoop

from ipyproc.errors import JobFailed, JobSpecError, JobStateError, NotReadyError, ReadyTimeout
from ipyproc.hosts.local.host import LocalHost
from ipyproc.hosts.local.job import LocalJob
from ipyproc.job.table import JobTable
from ipyproc.model import after_exit
from ipyproc.model.life import LADDER
from ipyproc.model.spec import Endpoint, JobSpec
from ipyproc.model.state import JobState, Status
from tests.jobs.clock import HOUR, Clock, left_by, stopped_at_its_second_signal
from tests.jobs.looped import PYTHON, looped
from tests.ports import free_port
from tests.support import lives, loop_in_a_thread, open_fds, run_program, until, wait_until

IGNORES_INT = "trap '' INT; echo set; while :; do sleep 0.05; done"
IGNORES_BOTH = "trap '' INT TERM; echo set; while :; do sleep 0.05; done"


# Stops


@pytest.mark.parametrize(
    ("command", "grace", "ended_by", "returncode"),
    [
        ("echo set; exec sleep 60", 30, "SIGINT", -signal.SIGINT),
        ("trap 'exit 7' INT; echo set; while :; do sleep 0.05; done", 30, "SIGINT", 7),
        (IGNORES_INT, HOUR, "SIGTERM", -signal.SIGTERM),
        (IGNORES_BOTH, 0.1, "SIGKILL", -signal.SIGKILL),
    ],
)
def test_stop_says_which_signal_was_needed_and_logs_before_a_sigkill(
    table: JobTable,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    command: str,
    grace: float,
    ended_by: str,
    returncode: int,
) -> None:
    @looped
    async def stops() -> None:
        job = table.spawn(command, name="deaf")
        await until(lambda: job.output == "set\n")
        if grace == HOUR:
            result = await stopped_at_its_second_signal(job, clock)
        else:
            result = await job.stop(grace)
        assert (result.ended_by, result.returncode, result.timed_out) == (ended_by, returncode, False)
        assert job.state is JobState.EXITED
        logged = [record.getMessage() for record in caplog.records]
        kill = "Job 'deaf' did not end by itself: its session gets SIGKILL."
        assert logged == ([kill] if ended_by == "SIGKILL" else [])

    stops()


@looped
async def test_stop_ends_the_grandchildren_too(table: JobTable, clock: Clock) -> None:
    job = table.spawn(
        f"sh -c '{IGNORES_INT.replace(chr(39), chr(34))}' & echo $!; exec sleep 60", name="tree"
    )
    await until(lambda: len(job.output.split()) == 2)
    grandchild = int(next(word for word in job.output.split() if word.isdigit()))
    result = await stopped_at_its_second_signal(job, clock, lambda: left_by(job))
    assert (result.returncode, result.ended_by) == (-signal.SIGINT, "SIGINT")
    assert result.notes == ("a process that it left needed SIGTERM",)
    assert not lives(grandchild)


@looped
async def test_a_signal_reaches_each_shell_of_a_script_that_traps_it(table: JobTable) -> None:
    child = "trap 'echo child' USR1; echo up; while :; do sleep 0.02; done"
    job = table.spawn(f'sh -c "{child}" & trap "echo leader" USR1; echo up; while :; do sleep 0.02; done')
    await until(lambda: job.output.split() == ["up", "up"])
    job.signal(signal.SIGUSR1)
    # The shells' sleeps are of the group too, and the shells may tell how those ended.
    await until(lambda: {"child", "leader"} <= set(job.output.split()))
    await job.stop(grace=0.1)


@looped
async def test_a_job_that_stopped_itself_can_be_stopped_and_continued(table: JobTable) -> None:
    def is_stopped(pid: int) -> bool:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")")[1].split()[0] == "T"

    job = table.spawn("kill -STOP $$; echo went on; exec sleep 60")
    await until(lambda: is_stopped(job.pid))
    job.signal(signal.SIGCONT)
    await until(lambda: job.output == "went on\n")
    job.signal(signal.SIGSTOP)
    await until(lambda: is_stopped(job.pid))
    result = await asyncio.wait_for(job.stop(grace=HOUR), 30)
    assert result.ended_by == "SIGINT"


@looped
async def test_stopping_twice_or_after_the_end_is_harmless(table: JobTable, clock: Clock) -> None:
    job = table.spawn(IGNORES_INT)
    await until(lambda: job.output)
    first, second = await asyncio.gather(
        job.stop(grace=HOUR), stopped_at_its_second_signal(job, clock, lambda: True)
    )
    assert first == second == await job.stop()
    assert first.ended_by == "SIGTERM"
    ended = table.spawn("exit 3", name="ended")
    await ended.wait(raise_error=False)
    result = await ended.stop()
    assert (result.returncode, result.ended_by) == (3, None)


@looped
async def test_kill_ends_it_at_once_without_a_word_and_is_harmless_later(
    table: JobTable, caplog: pytest.LogCaptureFixture
) -> None:
    job = table.spawn(IGNORES_BOTH, restart="always")
    await until(lambda: job.output)
    job.kill()
    result = await job.wait(raise_error=False)
    assert (result.returncode, result.ended_by, job.snapshot().restarts) == (-9, "SIGKILL", 0)
    job.kill()
    assert not caplog.records


@looped
async def test_kill_cuts_a_stop_short(table: JobTable) -> None:
    job = table.spawn(IGNORES_BOTH)
    await until(lambda: job.output)
    stop = asyncio.ensure_future(job.stop(grace=3600))
    await asyncio.sleep(0.01)
    job.kill()
    assert (await stop).ended_by == "SIGKILL"


@looped
async def test_interrupts_beside_a_stop_do_not_take_its_signals_away(table: JobTable) -> None:
    job = table.spawn(IGNORES_BOTH)
    await until(lambda: job.output)
    stop = asyncio.ensure_future(job.stop(grace=0.2))
    await asyncio.sleep(0.01)
    job.hosted.stop(None, (signal.SIGINT,))
    assert (await asyncio.wait_for(stop, 30)).ended_by == "SIGKILL"


@looped
async def test_interrupts_climb_by_the_signals_that_whoever_interrupts_gives(table: JobTable) -> None:
    job = table.spawn(IGNORES_BOTH)
    await until(lambda: job.output)
    for signum in (signal.SIGINT, signal.SIGTERM):
        job.hosted.stop(None, (signum,))
        await asyncio.sleep(0.05)
        assert job.state is JobState.STOPPING
    job.hosted.stop(None, (signal.SIGKILL,))
    assert (await job.wait(raise_error=False)).ended_by == "SIGKILL"


@looped
async def test_a_signal_that_cannot_be_sent_is_refused_in_one_sentence(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"], name="busy")
    for bad in (999, -1, "SIGTERM", 1.5):
        with pytest.raises(
            JobSpecError, match=re.escape(f"{bad!r} is not a signal number; give one such as")
        ):
            job.signal(bad)
    for bad in (-1, "2", float("nan")):
        with pytest.raises(JobSpecError, match=f"The grace {bad!r} is not a number of seconds; give"):
            await job.stop(grace=bad)
        with pytest.raises(JobSpecError, match=f"The grace {bad!r} is not a number of seconds; give"):
            await job.restart(grace=bad)
        with pytest.raises(JobSpecError, match=f"The timeout {bad!r} is not a number of seconds; give"):
            await job.ready(timeout=bad)
    await job.stop()
    message = r"Job 'busy' has no process now \(exited\), so SIGTERM was not sent; restart it"
    with pytest.raises(JobStateError, match=message):
        job.signal(signal.SIGTERM)


@looped
async def test_a_timeout_ends_it_with_a_stop_and_the_result_says_so(table: JobTable, clock: Clock) -> None:
    job = table.spawn("echo begun; exec sleep 60", timeout=HOUR, restart="always")
    await until(lambda: job.output)
    clock.pass_for(job)
    with pytest.raises(JobFailed, match=r"was ended by SIGINT \(timed out after 3600 s\):\nbegun"):
        await job
    result = await job.wait(raise_error=False)
    assert (result.timed_out, result.ended_by, result.notes) == (True, "SIGINT", ("timed out after 3600 s",))
    soon = table.spawn(["sleep", "60"], timeout=0.05, name="soon")
    assert (await soon.wait(raise_error=False)).notes == ("timed out after 0.05 s",)
    in_time = await table.spawn("true", timeout=30)
    assert (in_time.timed_out, in_time.notes) == (False, ())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start processes of two users")
def test_a_stop_returns_though_a_process_of_another_user_outlives_it() -> None:
    told = json.loads(run_program("job_outlived.py").stdout)
    assert told["ended_by"] == "SIGINT"
    assert any("could not be ended, and lives on" in note for note in told["notes"])


# Restarts


@looped
async def test_a_job_that_fails_is_restarted_until_it_gives_up_and_says_its_exit_codes(
    table: JobTable, tmp_path: Path
) -> None:
    counting = (
        f"echo x >> {tmp_path}/n; n=$(wc -l < {tmp_path}/n); echo run $n; [ $n -eq 2 ] && kill -9 $$; exit 3"
    )
    job = table.spawn(counting, restart="on-failure", max_restarts=2)
    with pytest.raises(JobFailed, match=r"exited with status 3 \(crash loop: exited 3, SIGKILL, 3\)"):
        await job
    snapshot = job.snapshot()
    assert (snapshot.state, snapshot.restarts, snapshot.max_restarts) == (JobState.GAVE_UP, 2, 2)
    assert [exit.status for exit in snapshot.exits] == [3, -9, 3]
    assert "crash loop: exited 3, SIGKILL, 3" in snapshot.notes
    assert job.output == "run 1\nrun 2\nrun 3\n"
    assert repr(job) == "<Job 'echo' gave up, exited 3>"
    first, second, third = snapshot.exits
    assert second.started - first.ended >= 0.24
    assert third.started - second.ended >= 0.49


@looped
async def test_on_failure_a_success_ends_it_and_always_it_goes_on(table: JobTable) -> None:
    failing = table.spawn("read x; exit $x", restart="on-failure")
    failing.send("1\n")
    await until(lambda: failing.snapshot().restarts == 1 and failing.snapshot().uptime is not None)
    failing.send("0\n")
    assert (await failing).returncode == 0
    always = table.spawn("echo up; read x", restart="always", name="always")
    for number in range(1, 3):
        await until(lambda: always.output == "up\n" * number)
        always.send("\n")
    await until(lambda: always.output == "up\n" * 3)
    assert always.snapshot().restarts == 2
    assert ((await always.stop()).ended_by, always.state) == ("SIGINT", JobState.EXITED)


@looped
async def test_a_stop_during_the_backoff_ends_it_there(table: JobTable) -> None:
    late = {"restart": "on-failure", "backoff": 60, "cap": 60}
    job = table.spawn("exit 5", name="backing", **late)
    await until(lambda: job.state is JobState.BACKOFF)
    with pytest.raises(JobStateError, match=r"Job 'backing' has no process now \(waiting to restart\)"):
        job.signal(signal.SIGTERM)
    result = await job.stop()
    assert (result.returncode, result.ended_by, job.state) == (5, None, JobState.EXITED)
    killed = table.spawn("exit 5", name="killed", **late)
    await until(lambda: killed.state is JobState.BACKOFF)
    killed.kill()
    assert (await killed.wait(raise_error=False)).returncode == 5
    assert job.snapshot().restarts == killed.snapshot().restarts == 0


@looped
async def test_restart_stops_it_and_starts_it_anew_whether_it_runs_or_has_ended(table: JobTable) -> None:
    job = table.spawn("echo $$; read x; exit 4")
    await until(lambda: job.output)
    first, wait = job.pid, asyncio.ensure_future(job.wait(raise_error=False))
    assert await job.restart() is job
    await until(lambda: len(job.output.split()) == 2)
    assert job.pid != first
    assert not lives(first)
    assert not wait.done()
    job.send("\n")
    assert (await wait).returncode == 4
    await job.restart()
    assert (job.state, job.returncode, job.done) == (JobState.RUNNING, None, False)
    await until(lambda: len(job.output.split()) == 3)
    await job.stop()
    assert job.returncode == -signal.SIGINT
    backing = table.spawn("echo run; exit 1", restart="always", backoff=60, cap=60, name="backing")
    await until(lambda: backing.state is JobState.BACKOFF)
    await backing.restart()
    await until(lambda: backing.output == "run\nrun\n")
    await backing.stop()


@looped
async def test_no_look_meanwhile_finds_a_new_life_that_has_ended_like_the_last(table: JobTable) -> None:
    """Another thread may look at any moment: here it is every line by which the job is started anew."""
    host = LocalHost()
    host.settle(IOLoop.current())
    job = host.start(JobSpec("true", "again"))
    await until(lambda: job.state.done and not job.lingers)
    looks: list[Status] = []

    def trace(frame: FrameType, *_: object) -> object:
        if frame.f_code is LocalJob._live_again.__code__:
            looks.append(job.status())
            return trace
        return None

    sys.settrace(trace)
    try:
        job.restart(1.0, LADDER)
        await until(lambda: len(looks) > 5)
    finally:
        sys.settrace(None)
    assert not [one for one in looks if one.state.done and (one.lives, one.again) != (0, True)]
    assert (looks[0].state.done, looks[-1].lives, looks[-1].again) == (True, 1, False)
    await until(lambda: job.state.done and not job.lingers)
    host.close()


@looped
async def test_whoever_stops_it_during_a_restart_has_the_last_word(table: JobTable, clock: Clock) -> None:
    job = table.spawn(IGNORES_INT, name="contested")
    await until(lambda: job.output)
    again = asyncio.ensure_future(job.restart(grace=HOUR))
    await until(lambda: job.state is JobState.STOPPING)
    result = await stopped_at_its_second_signal(job, clock, lambda: not job.hosted.status().again)
    assert result.ended_by == "SIGTERM"
    with pytest.raises(JobStateError, match="Job 'contested' was stopped before it was started again"):
        await again
    assert job.done


@looped
async def test_a_stop_returns_though_somebody_starts_it_anew(table: JobTable, clock: Clock) -> None:
    job = table.spawn(IGNORES_INT)
    await until(lambda: job.output)
    stop = asyncio.ensure_future(job.stop(grace=HOUR))
    await until(lambda: job.state is JobState.STOPPING)
    again = asyncio.ensure_future(job.restart(grace=HOUR))
    await until(lambda: job.hosted.status().again)
    # The stimulus of the restart has been taken, too.
    await asyncio.sleep(0.02)
    clock.pass_for(job)
    await again
    assert (await stop).ended_by == "SIGTERM"
    assert job.state is JobState.RUNNING
    job.kill()
    await job.wait(raise_error=False)


@looped
async def test_a_program_that_is_gone_when_it_is_to_be_restarted_is_tried_again_and_told(
    table: JobTable, tmp_path: Path
) -> None:
    program = tmp_path / "program"

    def put_in_place() -> None:
        program.write_text("#!/bin/sh\nread x; exit 1\n")
        program.chmod(0o755)

    put_in_place()
    job = table.spawn([str(program)], restart="on-failure", max_restarts=3)
    program.unlink()
    job.send("\n")
    await until(lambda: any(exit.status == 127 for exit in job.snapshot().exits))
    put_in_place()
    await until(lambda: job.snapshot().uptime is not None and job.state is JobState.RUNNING)
    assert any("it could not be started again: " in note for note in job.snapshot().notes)
    program.chmod(stat.S_IRUSR)
    job.send("\n")
    result = await job.wait(raise_error=False)
    assert (result.returncode, job.state) == (126, JobState.GAVE_UP)
    program.unlink()
    with pytest.raises(FileNotFoundError):
        await job.restart()
    assert (job.done, job.returncode) == (True, 127)
    assert (await job.wait(raise_error=False)).returncode == 127
    put_in_place()
    await job.restart()
    job.kill()
    assert (await job.wait(raise_error=False)).returncode == -9


@looped
async def test_a_restart_storm_leaves_nothing_and_keeps_few_words(table: JobTable) -> None:
    fds = len(open_fds())
    job = table.spawn("sleep 60 & echo $!", name="storm")
    jobs = [job, *(table.spawn("exit 1", restart="always", name=f"storm {n}") for n in range(20))]
    for _ in range(10):
        # A shell's child in the background ignores SIGINT, so that each round needs SIGTERM.
        await asyncio.gather(*(one.restart(grace=0.05) for one in jobs))
    await asyncio.gather(*(one.stop(grace=0.05) for one in jobs))
    for one in jobs:
        # Each word once; the second where the first signal was slow.
        words = [note.removeprefix("a process that it left needed ") for note in one.snapshot().notes]
        assert words in ([], ["SIGTERM"], ["SIGKILL"], ["SIGTERM", "SIGKILL"]), words
    # The census has some for a moment.
    await until(lambda: len(open_fds()) <= fds + 1)
    for pid in map(int, job.output.split()):
        await until(lambda: not lives(pid))


# Ready


@looped
async def test_ready_is_seen_in_the_output_and_awaited_by_many(table: JobTable) -> None:
    job = table.spawn(
        "echo booting; read x; echo 'Listening on 80' >&2; exec sleep 60", ready=r"^Listening on \d+"
    )
    assert job.snapshot().ready is False
    waits = asyncio.gather(job.ready(), job.ready(timeout=60), job.ready())
    job.send("\n")
    assert await waits == [job, job, job]
    assert job.snapshot().ready is True
    assert await job.ready(timeout=0) is job
    await job.stop()
    assert await job.ready() is job
    without = table.spawn("true", name="without")
    assert await without.ready() is without
    await without


@looped
async def test_a_sign_that_is_split_over_reads_is_seen(table: JobTable) -> None:
    program = """
import os, sys
os.write(1, b"y" * 300000 + b"\\nserver re")
sys.stdin.readline()
os.write(1, "ady €".encode()[:-1])
sys.stdin.readline()
os.write(1, "€\\n".encode()[-2:])
sys.stdin.readline()
"""
    job = table.spawn([*PYTHON, program], ready=re.compile("server ready €"))
    for size in (300_010, 300_016):
        await until(lambda: job.size == size)
        assert job.snapshot().ready is False
        job.send("\n")
    await job.ready(timeout=60)
    job.send("\n")
    await job


@looped
async def test_the_beginning_of_a_line_is_not_wherever_a_long_output_is_cut(table: JobTable) -> None:
    program = """
import os, sys
for _ in range(40):
    os.write(1, b"not ok " * 1000 + b"\\n")
    os.write(1, b"not ok " * 1000)
    sys.stdin.readline()
os.write(1, b"\\nok\\n")
sys.stdin.readline()
"""
    job = table.spawn([*PYTHON, program], ready="^ok")
    for number in range(1, 41):
        await until(lambda: job.size == number * 14001)
        assert job.snapshot().ready is False
        job.send("\n")
    await job.ready(timeout=60)
    job.send("\n")
    await job


@looped
async def test_ready_is_an_address_that_accepts(table: JobTable) -> None:
    port = free_port()
    program = f"""
import socket, sys
sys.stdin.readline()
with socket.create_server(("127.0.0.1", {port})) as server:
    sys.stdin.readline()
"""
    for ready in (f"127.0.0.1:{port}", Endpoint("localhost", port)):
        job = table.spawn([*PYTHON, program], ready=ready, name="server")
        with pytest.raises(
            ReadyTimeout, match=r"Job 'server' was not ready within 0.1 s; it goes on running"
        ):
            await job.ready(timeout=0.1)
        job.send("\n")
        await job.ready(timeout=60)
        job.send("\n")
        await job


@looped
async def test_a_job_that_ends_before_it_is_ready_says_how_with_its_last_lines(table: JobTable) -> None:
    job = table.spawn("seq 1 20; echo no such port >&2; exit 3", ready="listening", name="broken")
    with pytest.raises(NotReadyError) as error:
        await job.ready(timeout=60)
    assert str(error.value) == "Job 'broken' ended (exit 3) before it was ready:\nno such port"
    with pytest.raises(NotReadyError):
        await job.ready()
    refused = table.spawn("kill -9 $$", ready=":1", name="refused")
    with pytest.raises(NotReadyError, match=r"Job 'refused' ended \(SIGKILL\) before it was ready\."):
        await refused.ready()


@looped
async def test_not_ready_in_time_is_a_timeout_error_and_the_job_goes_on(table: JobTable) -> None:
    job = table.spawn("echo starting; exec sleep 60", ready="listening", name="slow")
    await until(lambda: job.output)
    with pytest.raises(TimeoutError) as error:
        await job.ready(timeout=0.05)
    assert str(error.value) == "Job 'slow' was not ready within 0.05 s; it goes on running:\nstarting"
    assert job.state is JobState.RUNNING
    await job.stop()


@looped
async def test_each_process_of_a_restarted_job_has_to_get_ready_itself(table: JobTable) -> None:
    job = table.spawn("read x; echo ready; read x", ready="ready", restart="always")
    job.send("\n")
    await job.ready(timeout=60)
    job.send("\n")
    await until(lambda: job.snapshot().restarts == 1 and job.snapshot().uptime is not None)
    assert job.snapshot().ready is False
    job.send("\n")
    await job.ready(timeout=60)
    await job.stop()


# The loop


def _closed_under(table: JobTable, start: object) -> object:
    """A job, started on a loop of its own that is closed while it runs."""
    io_loop = IOLoop(make_current=False)
    loop = io_loop.asyncio_loop

    async def begin() -> object:
        job = table.spawn(**start)
        await until(lambda: "pid" in job.output or job.state is JobState.BACKOFF)
        await asyncio.sleep(0.02)
        return job

    try:
        return loop.run_until_complete(begin())
    finally:
        io_loop.close()


def keep_no_unraisable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pytest not keep what Python says of a SIGCHLD after its loop was closed, and the frames with it."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)


@pytest.mark.parametrize(
    "start",
    [
        {"command": "echo pid $$; exec sleep 60"},
        {"command": "echo pid $$; exec sleep 60 >&- 2>&-"},
        {"command": "sleep 60 & echo pid $!; exec sleep 60"},
        {"command": "echo pid $$; trap '' INT TERM; kill -STOP $$"},
        {"command": "echo pid $$; exit 1", "restart": "always", "backoff": 60, "cap": 60},
        {"command": "sleep 60 & echo pid $!"},
    ],
    ids=["plain", "pipes closed", "grandchild", "stopped", "in backoff", "held open"],
)
def test_a_loop_that_is_closed_under_a_job_ends_it(
    table: JobTable,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    start: dict[str, object],
) -> None:
    keep_no_unraisable(monkeypatch)
    # It is not to be done before the loop is closed.
    monkeypatch.setattr(after_exit, "_HELD_OPEN_SECONDS", 60.0)
    fds = open_fds()
    job = _closed_under(table, start)
    assert job.done
    assert not lives(job.pid)
    wait_until(lambda: not lives(int(job.output.split()[1])))
    gc.collect()
    table.clear()
    # The census has some for a moment.
    wait_until(lambda: len(open_fds()) <= len(fds))
    assert job.snapshot().notes == ("its event loop was closed while it ran",)

    @looped
    async def can_be_awaited() -> None:
        assert (await job.wait(raise_error=False)).returncode in (-9, 1, 0)
        assert await job.stop() == await job.wait(raise_error=False)

    can_be_awaited()
    assert not caplog.records


def test_what_a_job_wrote_before_its_loop_was_closed_is_kept(table: JobTable) -> None:
    async def begin() -> object:
        job = table.spawn("seq 1 10000; echo done > $MARK; exec sleep 60", env={"MARK": mark})
        # The loop is held: nobody reads.
        wait_until(lambda: os.path.exists(mark))
        return job

    mark = f"{os.environ['TMPDIR']}/mark-{time.monotonic_ns()}"
    job = asyncio.run(begin())
    os.unlink(mark)
    assert job.output.endswith("\n10000\n")


def test_a_job_with_input_that_waits_leaves_no_trace_when_its_loop_is_closed(
    table: JobTable, caplog: pytest.LogCaptureFixture
) -> None:
    async def begin() -> object:
        job = table.spawn("echo pid $$; exec sleep 60")
        job.send(b"x" * 1_000_000)
        await until(lambda: job.output)
        return job

    job = asyncio.run(begin())
    assert job.returncode == -9
    table.clear()
    del job
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_job_whose_loop_was_closed_can_be_restarted_on_another(table: JobTable) -> None:
    port = free_port()
    server = (
        f"import os, socket; server = socket.create_server(('127.0.0.1', {port})); "
        "print('pid', os.getpid(), flush=True); input()"
    )
    job = _closed_under(table, {"command": [*PYTHON, server], "ready": f"127.0.0.1:{port}"})

    @looped
    async def again() -> None:
        await job.restart()
        await job.ready(timeout=60)
        await until(lambda: job.output.count("pid") == 2)
        assert job.state is JobState.RUNNING
        assert (await job.stop(grace=HOUR)).ended_by == "SIGINT"

    again()


def test_a_job_started_for_a_loop_that_is_closed_before_it_comes_round_is_ended(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_no_unraisable(monkeypatch)
    fds = open_fds()
    io_loop = IOLoop(make_current=False)
    fresh = JobTable()
    fresh.local.settle(io_loop)
    try:
        job = fresh.spawn("sleep 60")
        assert job.state is JobState.RUNNING
        io_loop.close()
        assert job.done
        assert not lives(job.pid)
    finally:
        fresh.end_all()
    del fresh, job
    gc.collect()
    # The census has some for a moment.
    wait_until(lambda: len(open_fds()) <= len(fds))


def test_jobs_on_two_loops_at_once_stay_each_on_its_own(table: JobTable) -> None:
    with loop_in_a_thread() as one, loop_in_a_thread() as two:

        async def start(name: str) -> object:
            return table.spawn("echo $$; read x; exec sleep 60", name=name, ready=r"\d+")

        async def use(job: object) -> str:
            await job.ready(timeout=60)
            job.send("\n")
            return (await job.stop()).ended_by

        def run(coroutine: object, io_loop: IOLoop) -> object:
            return asyncio.run_coroutine_threadsafe(coroutine, io_loop.asyncio_loop).result(30)

        jobs = [run(start("one"), one), run(start("two"), two)]
        threads: set[int] = set()
        for job in jobs:
            job.subscribe(lambda event: threads.add(threading.get_ident()))
        assert [run(use(jobs[0]), two), run(use(jobs[1]), one)] == ["SIGINT", "SIGINT"]
        assert len(threads) == 2
