from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from ipyproc.errors import JobFailed, JobSpecError, JobStateError
from ipyproc.job.command import explain_start_error
from ipyproc.job.table import JobTable
from ipyproc.model.event import EventKind
from ipyproc.model.state import JobState
from tests.jobs.looped import PYTHON, looped
from tests.support import loop_in_a_thread, steady_fds, until

# The command


@looped
async def test_a_string_goes_to_the_shell_and_a_list_is_executed_as_it_is(table: JobTable) -> None:
    assert (await table.spawn("echo $((1 + 2)) | tr 3 4")).output == "4\n"
    assert (await table.spawn(["echo", "$((1 + 2))", "|; `id`"])).output == "$((1 + 2)) |; `id`\n"
    assert (await table.spawn([Path("/bin/echo"), b"bytes"])).output == "bytes\n"


@pytest.mark.parametrize(
    "command",
    [
        "exit 0",
        "X=1 true",
        "cd / && pwd",
        "( true )",
        "{ true; }",
        "! false",
        "[ 1 = 1 ]",
        "true;true",
        "true|cat",
        "true>/dev/null",
        "'true'",
        "$(echo true)",
        "f() { true; }; f",
        "f () { true; }; f",
        "if true; then true; fi",
        "nosuch=1; true",
        "# a comment",
        "true\nnosuch || true",
    ],
)
def test_what_only_the_shell_understands_is_left_to_the_shell(table: JobTable, command: str) -> None:
    @looped
    async def runs() -> None:
        assert (await table.spawn(command)).returncode == 0

    runs()


@looped
async def test_a_command_that_cannot_be_started_raises_in_spawn_and_leaves_nothing(
    table: JobTable, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("echo hello\n")
    (tmp_path / "directory").mkdir()
    await table.spawn("true")  # The warden is watched on this loop from now on.
    fds = steady_fds()
    for command in (["nosuch", "--flag"], ["./nosuch"]):
        with pytest.raises(FileNotFoundError) as missing:
            table.spawn(command, cwd=tmp_path)
        assert "was not found; check its spelling" in explain_start_error(missing.value, str(command))
    for command in (["./plain"], [str(tmp_path / "directory")]):
        with pytest.raises(PermissionError) as refused:
            table.spawn(command, cwd=tmp_path)
        sentence = explain_start_error(refused.value, str(command))
        assert "may not be executed" in sentence or "is a directory" in sentence
    assert len(table) == 1
    assert steady_fds() == fds


def _bad(sentence: str, **arguments: object) -> object:
    return pytest.param({"command": "true", **arguments}, sentence, id=repr(arguments)[:60])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        _bad("The command is empty; give", command=""),
        _bad("The command is empty; give", command=" \n"),
        _bad("The command is empty; give", command=[]),
        _bad("is not a string or a list of strings; give", command=["true", 5]),
        _bad("is not a string or a list of strings; give", command=None),
        _bad("has a NUL or half a surrogate pair", command="true \0"),
        _bad("has a NUL or half a surrogate pair", command=["true", "\ud800"]),
        _bad("The job name '' is not a text of one line; give", name=""),
        _bad("is not a text of one line; give", name="a\nb"),
        _bad("is not a text of one line; give", name=5),
        _bad("'/nosuch' does not exist; create it, or give another", cwd="/nosuch"),
        _bad("'/etc/passwd' is not a directory", cwd="/etc/passwd"),
        _bad("5.0 is not a path; give", cwd=5.0),
        _bad("is not a dict; give", env=["A=1"]),
        _bad("The environment variable '' has no name", env={"": "x"}),
        _bad("The environment variable 'A=B' has no name, or a '=' in it", env={"A=B": "x"}),
        _bad("has a NUL or half a surrogate pair", env={"A": "\0"}),
        _bad("The input 5 is neither text nor bytes; give", stdin=5),
        _bad("which 'utf-8' does not encode", stdin="\ud800"),
        _bad("The timeout -1 is not a positive number of seconds; give", timeout=-1),
        _bad("The timeout 0 is not a positive number of seconds; give", timeout=0),
        _bad("The timeout nan is not a positive", timeout=float("nan")),
        _bad("The timeout '5' is not a positive number", timeout="5"),
        _bad("The restart policy 'sometimes' is unknown; give 'no', 'on-failure'", restart="sometimes"),
        _bad("The restart policy True is unknown; give", restart=True),
        _bad("max_restarts is -1, which is not a number of restarts; give", max_restarts=-1),
        _bad("max_restarts is 1.5, which is not a number of restarts; give", max_restarts=1.5),
        _bad("max_output is 0, which is not a number of bytes; give", max_output=0),
        _bad("max_output is 1000000.0, which is not a number of bytes; give", max_output=1e6),
        _bad("The readiness '(' is not a regular expression (", ready="("),
        _bad("The readiness is empty; give", ready=""),
        _bad("The port 0 in 'localhost:0' is invalid; give", ready="localhost:0"),
        _bad("The port 70000 in ':70000' is invalid; give", ready=":70000"),
        _bad("The host 'a..b' in 'a..b:80' is not a host name; give", ready="a..b:80"),
        _bad("The readiness 8000 is neither a string nor a string pattern; give", ready=8000),
        _bad("is neither a string nor a string pattern; give", ready=re.compile(b"ok")),
    ],
)
def test_an_argument_that_cannot_be_is_named_in_one_sentence_before_anything_starts(
    table: JobTable, arguments: dict[str, object], sentence: str
) -> None:
    @looped
    async def refuses() -> None:
        with pytest.raises(JobSpecError) as error:
            table.spawn(**arguments)
        assert isinstance(error.value, ValueError)
        assert sentence in str(error.value)
        assert str(error.value).endswith(".")
        assert "\n" not in str(error.value)
        assert len(table) == 0

    refuses()


# Its surroundings


@looped
async def test_a_python_child_is_live_and_env_is_added_and_cwd_set(table: JobTable, tmp_path: Path) -> None:
    python = [*PYTHON[:1], "-c", "print('live'); input()"]
    live = table.spawn(python)
    await until(lambda: live.output == "live\n")
    live.send("\n")
    await live
    job = await table.spawn(
        "echo $PYTHONUNBUFFERED $HOME $ADDED $PWD", env={"ADDED": 5, "HOME": "/h"}, cwd=tmp_path
    )
    assert job.output == f"1 /h 5 {tmp_path}\n"
    assert (await table.spawn("echo $PYTHONUNBUFFERED", env={"PYTHONUNBUFFERED": "0"})).output == "0\n"
    assert (await table.spawn("pwd", cwd="~")).output == f"{Path.home().resolve()}\n"


@looped
async def test_names_and_arguments_with_shell_metacharacters_reach_no_shell(
    table: JobTable, tmp_path: Path
) -> None:
    evil = f"; touch {tmp_path}/x; $(touch {tmp_path}/y) `touch {tmp_path}/z` & | > {tmp_path}/w '\""
    odd = tmp_path / "$(touch x);"
    odd.mkdir()
    result = await table.spawn(["printenv", "EVIL"], name=evil, env={"EVIL": evil}, cwd=odd)
    assert result.output == evil + "\n"
    assert table[evil].done
    assert os.listdir(tmp_path) == [odd.name]


@looped
async def test_a_job_leads_a_session_of_its_own(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"])
    assert os.getsid(job.pid) == os.getpgid(job.pid) == job.pid != os.getsid(0)
    await job.stop()


# Its end


@looped
async def test_awaiting_gives_how_it_ended(table: JobTable) -> None:
    job = table.spawn("echo out; echo err >&2")
    assert job.returncode is None
    assert not job.done
    assert re.fullmatch(r"<Job 'echo' running, pid \d+, \d+ s>", repr(job))
    result = await job
    assert (result.returncode, result.stdout, result.stderr) == (0, "out\n", "err\n")
    assert sorted(result.output.splitlines()) == ["err", "out"]
    assert 0 < result.elapsed < 60
    assert (result.ended_by, result.timed_out, result.notes) == (None, False, ())
    assert (job.returncode, job.done, job.state) == (0, True, JobState.EXITED)
    assert repr(job) == "<Job 'echo' exited 0>"


@looped
async def test_a_failure_is_a_called_process_error_with_the_last_lines_of_stderr(table: JobTable) -> None:
    job = table.spawn("seq 1 50 >&2; echo beside; exit 3", name="lines")
    with pytest.raises(subprocess.CalledProcessError) as error:
        await job
    assert isinstance(error.value, JobFailed)
    assert error.value.returncode == 3
    message = str(error.value)
    assert message.startswith("Command 'seq 1 50 >&2; echo beside; exit 3' exited with status 3:\n")
    assert message.splitlines()[1:] == [str(n) for n in range(41, 51)]
    with pytest.raises(JobFailed, match="(?s)exited with status 1:\nonly output"):
        await table.spawn("echo only output; exit 1")
    with pytest.raises(JobFailed, match=r"was ended by SIGKILL\."):
        await table.spawn("kill -9 $$")
    assert (await job.wait(raise_error=False)).returncode == 3
    assert repr(job) == "<Job 'lines' exited 3>"


@looped
async def test_any_number_of_awaits_may_be_made_before_and_after_the_end(table: JobTable) -> None:
    job = table.spawn("read x; echo $x")
    waits = [asyncio.ensure_future(job.wait()) for _ in range(5)]
    gathered = asyncio.gather(job, job, asyncio.wait_for(job, 30))
    job.send("all\n")
    results = [*await gathered, *await asyncio.gather(*waits), await job, await job]
    assert [result.output for result in results] == ["all\n"] * 10


@looped
async def test_cancelling_a_wait_leaves_the_job_and_the_other_waits_alone(table: JobTable) -> None:
    job = table.spawn("read x; echo $x")
    other = asyncio.ensure_future(job.wait())
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(job, 0.05)
    cancelled = asyncio.ensure_future(job.wait())
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert job.state is JobState.RUNNING
    job.send("on\n")
    assert (await other).output == "on\n"


@looped
async def test_a_job_can_be_awaited_read_and_stopped_on_the_loop_of_another_thread(table: JobTable) -> None:
    job = table.spawn("echo one; read x; echo $x; exec sleep 60")
    with loop_in_a_thread() as elsewhere:

        async def there() -> list[str]:
            lines = []
            async for line in job:
                lines.append(line)
                if line == "one":
                    job.send("two\n")
                if line == "two":
                    result = await job.stop(grace=60)
                    lines.append(result.ended_by)
            with pytest.raises(JobFailed):
                await job
            return lines

        done = asyncio.run_coroutine_threadsafe(there(), elsewhere.asyncio_loop)
        assert await asyncio.wrap_future(done) == ["one", "two", "SIGINT"]


@looped
async def test_each_way_to_die_by_a_signal_is_told_by_its_number_and_name(table: JobTable) -> None:
    deadly = [
        signum
        for signum in signal.valid_signals()
        if signum
        not in (
            *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
            *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
        )
    ]
    # The limit keeps those that dump core from doing so. bash takes SIGINT for its foreground child's.
    script = "ulimit -c 0; kill -{} $$; sleep 60"
    jobs = {signum: table.spawn(script.format(int(signum)), shell="/bin/sh") for signum in deadly}
    for signum, job in jobs.items():
        result = await job.wait(raise_error=False)
        assert result.returncode == -signum
        name = signal.Signals(signum).name if signum in set(signal.Signals) else f"signal {signum}"
        assert repr(job).endswith(f" ended by {name}>")


@looped
async def test_a_job_is_done_one_second_after_its_exit_when_another_holds_its_pipe(table: JobTable) -> None:
    job = table.spawn("sleep 60 & echo $!; exit 4")
    done_at_exit: list[bool] = []
    job.subscribe(lambda event: done_at_exit.append(job.done) if event.kind is EventKind.EXITED else None)
    result = await asyncio.wait_for(job.wait(raise_error=False), 30)
    exit_of_it = job.snapshot().exits[-1]
    assert (result.returncode, done_at_exit) == (4, [False])
    assert result.elapsed - (exit_of_it.ended - exit_of_it.started) > 0.9
    assert result.notes == ("left 1 running",)
    assert (job.left, job.snapshot().left_running) == (1, 1)
    os.kill(int(result.output), signal.SIGKILL)
    await until(lambda: not job.left and not job.lingers)


@looped
async def test_a_child_that_closes_its_pipes_and_lives_on_is_not_done_before_it_exits(
    table: JobTable,
) -> None:
    job = table.spawn("echo last; exec >&- 2>&-; read x; exit 3")
    await until(lambda: job.output == "last\n")
    await asyncio.sleep(0.1)
    assert job.state is JobState.RUNNING
    job.send("\n")
    assert (await job.wait(raise_error=False)).returncode == 3


# Its input


@looped
async def test_input_is_the_body_or_what_is_sent_until_it_is_closed(table: JobTable) -> None:
    assert (await table.spawn("cat", stdin="héllo\n")).output == "héllo\n"
    assert (await table.spawn("cat", stdin=b"\xff\x00")).returncode == 0
    assert table["cat"].read() == b"\xff\x00"
    assert (await table.spawn("cat", stdin="")).output == ""
    job = table.spawn("cat", name="sent")
    job.send("one\n")
    await until(lambda: job.output == "one\n")
    job.send(b"two")
    job.close_stdin()
    job.close_stdin()
    assert (await job).output == "one\ntwo"


@looped
async def test_input_that_can_go_nowhere_is_refused_in_one_sentence(table: JobTable) -> None:
    body = table.spawn(["sleep", "60"], name="body", stdin="all of it")
    closed = table.spawn(["sleep", "60"], name="closed")
    closed.close_stdin()
    ended = table.spawn("true", name="ended")
    await ended
    for job, what in (
        (body, "has its standard input closed"),
        (closed, "has its standard input closed"),
        (ended, "has ended"),
    ):
        with pytest.raises(JobStateError, match=f"Job '{job.name}' {what}, so nothing was sent"):
            job.send("more")
    open_one = table.spawn(["sleep", "60"], name="open")
    with pytest.raises(JobSpecError, match="The input 5 is neither text nor bytes"):
        open_one.send(5)
    ended.close_stdin()
    await asyncio.gather(body.stop(), closed.stop(), open_one.stop())


@looped
async def test_a_child_that_reads_nothing_blocks_nobody_with_50_mb_sent(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"])
    other = table.spawn("echo live", name="other")
    job.send(b"x" * 50_000_000)
    assert (await asyncio.wait_for(other, 30)).output == "live\n"
    assert (await asyncio.wait_for(job.stop(), 30)).ended_by == "SIGINT"
    deaf = table.spawn("exec <&-; sleep 0.1; echo done", stdin=b"x" * 5_000_000)
    assert (await asyncio.wait_for(deaf, 30)).output == "done\n"


@looped
async def test_50_mb_sent_to_a_child_that_reads_slowly_all_arrive(table: JobTable) -> None:
    job = table.spawn("sleep 0.2; wc -c")
    for _ in range(50):
        job.send(b"x" * 1_000_000)
    job.close_stdin()
    assert (await job).output.strip() == "50000000"


# Who is told


@looped
async def test_a_listener_is_told_the_life_of_a_job_in_its_order(table: JobTable) -> None:
    job = table.spawn("read x; echo hello")
    told: list[EventKind] = []
    unsubscribe = job.subscribe(lambda event: told.append(event.kind))
    await asyncio.sleep(0)
    job.send("\n")
    await job
    unsubscribe()
    unsubscribe()
    await job
    once = [kind for kind in told if kind is not EventKind.WROTE]
    assert once == [EventKind.AWAITED, EventKind.EXITED, EventKind.DONE]
    assert EventKind.WROTE in told[1:-1]


@looped
async def test_an_exception_in_a_listener_is_logged_and_breaks_no_job(
    table: JobTable, caplog: pytest.LogCaptureFixture
) -> None:
    class Watcher:
        def on_started(self, job: object) -> None:
            raise ZeroDivisionError("at the start")

        def on_event(self, job: object, event: object) -> None:
            raise ZeroDivisionError("in the watcher")

    def listener(event: object) -> None:
        raise ZeroDivisionError("in the listener")

    watcher = Watcher()
    table.add_watcher(watcher)
    try:
        job = table.spawn("read x; echo $x; exit 1", restart="on-failure", max_restarts=1)
        told: list[EventKind] = []
        job.subscribe(listener)
        job.subscribe(lambda event: told.append(event.kind))
        job.send("one\n")
        await until(lambda: job.snapshot().restarts == 1 and job.snapshot().uptime is not None)
        job.send("two\n")
        result = await job.wait(raise_error=False)
    finally:
        table.remove_watcher(watcher)
    assert (result.output, job.state) == ("one\ntwo\n", JobState.GAVE_UP)
    assert {EventKind.WROTE, EventKind.EXITED, EventKind.RESTARTING, EventKind.GAVE_UP} < set(told)
    messages = [record.getMessage() for record in caplog.records]
    assert all("failed at" in message for message in messages)
    assert {str(record.exc_info[1]) for record in caplog.records} == {
        "at the start",
        "in the watcher",
        "in the listener",
    }


@looped
async def test_a_snapshot_is_a_picture_that_stays_as_it_was(table: JobTable) -> None:
    job = table.spawn("echo hello; read x; exit 2", name="model")
    await until(lambda: job.output)
    before = job.snapshot()
    job.send("\n")
    await job.wait(raise_error=False)
    after = job.snapshot()
    assert (before.state, before.returncode, before.last_line) == (JobState.RUNNING, None, "hello")
    assert before.uptime is not None and before.uptime >= 0
    assert (after.state, after.returncode, after.uptime) == (JobState.EXITED, 2, None)
    assert (after.size, after.dropped, after.lost, after.restarts, after.ready) == (6, 0, 0, 0, None)
    assert (before.pid, before.name, before.command) == (job.pid, "model", "echo hello; read x; exit 2")


def test_no_line_of_output_is_lost_when_threads_spawn_and_read_at_once(table: JobTable) -> None:
    outputs: list[str] = []

    def one(number: int, elsewhere: asyncio.AbstractEventLoop) -> None:
        async def there() -> str:
            return (await table.spawn(f"seq {number} {number + 99}")).output

        outputs.append(asyncio.run_coroutine_threadsafe(there(), elsewhere).result(30))

    with loop_in_a_thread() as elsewhere:
        threads = [
            threading.Thread(target=one, args=(number, elsewhere.asyncio_loop)) for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    expected = ["".join(f"{n}\n" for n in range(number, number + 100)) for number in range(20)]
    assert sorted(outputs) == sorted(expected)
