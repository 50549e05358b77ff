"""A job on a terminal: what it is given, how it starts and ends, what it writes and reads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ipyproc.errors import JobSpecError, JobStateError
from ipyproc.job.job import Job
from ipyproc.job.table import JobTable
from ipyproc.process.platform.sessions import session_members
from tests.jobs.looped import PYTHON, looped
from tests.support import lives, steady_fds, until, wait_until

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="starts jobs as another user")

HIDDEN = {"TERM", "PYTHONUNBUFFERED", "COLUMNS", "LINES"}


async def said(job: Job, text: str) -> None:
    await until(lambda: text in job.output)


def variables(output: str) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in output.split("\0") if "=" in entry)


# What it is given


@looped
async def test_a_program_leads_the_session_of_a_terminal_of_its_size(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program = (
        "import os, sys; tty = os.open('/dev/tty', os.O_RDWR)\n"
        "print([os.ttyname(fd) == os.ttyname(0) for fd in (0, 1, 2)], os.get_terminal_size(tty))\n"
        "print(os.getpid() == os.getsid(0) == os.tcgetpgrp(tty) == os.getpgrp())\n"
        "print(os.environ['TERM'], 'PYTHONUNBUFFERED' in os.environ, 'COLUMNS' in os.environ)\n"
        "print(sorted(map(int, os.listdir('/proc/self/fd')))[:5], file=sys.stderr)\n"
    )
    job = table.spawn([*PYTHON, program], tty=True, rows=40, columns=132)
    result = await job
    assert result.output == (
        "[True, True, True] os.terminal_size(columns=132, lines=40)\nTrue\nxterm-256color False False\n"
        # Of /dev/tty, and of the directory: nothing that the kernel or the start had open.
        "[0, 1, 2, 3, 4]\n"
    )
    assert result.stdout == result.output and not result.stderr and job.read().count(b"\r\n") == 4


@looped
async def test_the_pid_is_the_programs_whether_a_shell_starts_it_or_not(table: JobTable) -> None:
    for command in (["sh", "-c", "echo $$; exec sleep 60"], "exec sh -c 'echo $$; exec sleep 60'"):
        job = table.spawn(command, tty=True)
        await said(job, f"{job.pid}\n")
        await until(lambda: os.readlink(f"/proc/{job.pid}/exe").endswith("sleep"))
        await job.stop()


@looped
async def test_its_environment_is_as_given_to_the_byte(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "BASH_FUNC_f%%": "() {  echo f\n}",
        "no-name": "a\nb",
        "LATIN": "\udce9",
        "PWD": "/else",
        "_": "x",
    }
    program = (
        "import os, sys; sys.stdout.buffer.write(b'\\0'.join(b'='.join(v) for v in os.environb.items()))"
    )
    both = []
    monkeypatch.setenv("COLUMNS", "7")
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    for tty in (False, True):
        result = await table.spawn([*PYTHON, program], env=given, tty=tty, max_output=10**6)
        both.append({k: v for k, v in variables(result.output).items() if k not in HIDDEN})
    assert both[0] == both[1] and both[0]["no-name"] == "a\nb"
    exactly = await table.spawn([*PYTHON, program], env={**given, "LC_CTYPE": "C"}, clean_env=True, tty=True)
    assert variables(exactly.output).keys() == {*given, "LC_CTYPE"}
    its = await table.spawn(
        "echo $TERM-$COLUMNS-$PYTHONUNBUFFERED; f", env={**given, "TERM": "dumb"}, tty=True, shell="bash"
    )
    assert its.output == "dumb--\nf\n"


@looped
async def test_its_directory_umask_niceness_and_signals_are_as_on_pipes(
    table: JobTable, tmp_path: Path
) -> None:
    before = os.nice(0)
    command = "pwd; umask; nice; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"
    both = [
        (await table.spawn(command, cwd=tmp_path, umask=0o027, nice=3, tty=tty, shell="sh")).output
        for tty in (False, True)
    ]
    assert both[0] == both[1] and both[0].startswith(f"{tmp_path}\n0027\n{before + 3}\n")


@needs_root
@looped
async def test_another_user_has_the_terminal(table: JobTable) -> None:
    by_pipes = await table.spawn("id", user="nobody", cwd="/")
    result = await table.spawn("id; stat -c %U $(tty); echo on >/dev/tty", user="nobody", tty=True, cwd="/")
    assert result.output == f"{by_pipes.output}nobody\non\n"


@looped
async def test_a_script_of_any_length_and_an_interpreter_run_on_it(table: JobTable) -> None:
    long = "tty >&2\n" + "# " + "x" * 300_000 + "\necho end\n"
    assert re.fullmatch(r"/dev/\S+\nend\n", (await table.spawn(long, tty=True)).output)
    by_perl = await table.spawn("#!/usr/bin/env perl\nprint -t STDOUT ? 'yes' : 'no'", tty=True)
    assert by_perl.output == "yes"


# How it starts


@pytest.mark.parametrize(
    "command",
    [["/no/such"], ["no-such-program"], ["/etc/passwd"], ["/etc"], ["./plain"], ["x" * 200_000]],
    ids=lambda words: words[0][:9],
)
def test_what_keeps_it_from_starting_is_raised_as_on_pipes(
    table: JobTable, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "plain").write_text("no interpreter")
    (tmp_path / "plain").chmod(0o755)

    @looped
    async def main() -> None:
        await table.spawn("true", tty=True)
        before = steady_fds()
        raised = []
        for tty in (False, True):
            with pytest.raises(OSError) as error:
                table.spawn(command, tty=tty, cwd=tmp_path)
            raised.append((type(error.value), error.value.errno, str(error.value)))
        assert raised[0] == raised[1]
        await until(lambda: steady_fds() == before)

    main()


@looped
async def test_a_shell_that_cannot_be_executed_is_told_as_on_pipes(table: JobTable, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no interpreter")
    (tmp_path / "plain").chmod(0o755)
    (tmp_path / "dangling").write_text("#!/no/such/interpreter\n")
    (tmp_path / "dangling").chmod(0o755)
    for shell in ("plain", "dangling", "missing"):
        raised = []
        for tty in (False, True):
            with pytest.raises(OSError) as error:
                table.spawn("true", shell=str(tmp_path / shell), tty=tty)
            raised.append((type(error.value), str(error.value)))
        assert raised[0] == raised[1]
    with pytest.raises(OSError, match="'LONG' has 200,000 bytes|'LONG' has"):
        table.spawn("true", env={"LONG": "x" * 200_000}, tty=True)


@looped
@pytest.mark.parametrize("how", [{}, {"umask": 0o22}], ids=["spawned", "at the gate"])
async def test_a_program_on_a_terminal_inherits_no_other_fd_and_signals_as_usual(
    table: JobTable, how: dict[str, Any]
) -> None:
    ends = os.pipe()
    for fd in ends:
        os.set_inheritable(fd, True)
    code = (
        "import os, signal; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1], "
        "[os.ttyname(fd) == os.ttyname(0) for fd in (1, 2)], "
        "[line.split()[1] for line in open('/proc/self/status') if line.startswith(('SigBlk', 'ShdPnd'))])"
    )
    try:
        result = await table.spawn([*PYTHON, code], tty=True, **how)
        assert result.output == "[0, 1, 2] [True, True] ['0000000000000000', '0000000000000000']\n"
        shell = await table.spawn("grep SigIgn /proc/self/status", tty=True, **how)
        assert int(shell.output.split()[1], 16) & 1 << signal.SIGPIPE - 1 == 0
    finally:
        for fd in ends:
            os.close(fd)


@looped
async def test_a_stop_in_the_moment_of_the_start_leaves_no_trace_of_how_it_is_started(
    table: JobTable,
) -> None:
    jobs = [table.spawn("sleep 60", tty=True, name=f"job-{n}") for n in range(10)]
    results = await asyncio.gather(*(job.stop(grace=60) for job in jobs))
    assert [(result.output, result.returncode) for result in results] == [("", -2)] * 10


@looped
async def test_a_program_is_looked_for_in_its_own_path_and_directory(table: JobTable, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "mine"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    for command in (["mine"], ["bin/mine"]):
        job = table.spawn(command, cwd=tmp_path, env={"PATH": "bin:/bin:/usr/bin"}, tty=True)
        assert (await job).output == "found\n"


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"columns": 70_000}, {"rows": "24"}, {"columns": True}])
def test_a_size_that_no_terminal_has_is_refused(table: JobTable, wrong: dict[str, Any]) -> None:
    @looped
    async def main() -> None:
        with pytest.raises(JobSpecError, match=r"The number of (rows|columns) .* is not one of a terminal"):
            table.spawn("true", tty=True, **wrong)
        job = table.spawn("cat", tty=True)
        with pytest.raises(JobSpecError):
            job.resize(**{"rows": 24, "columns": 80, **wrong})
        await job.stop()

    main()


# What it writes


@looped
async def test_four_hundred_alternating_lines_are_in_their_order(table: JobTable) -> None:
    program = "import os, sys\nfor n in range(200):\n    print(n, 'out'); print(n, 'err', file=sys.stderr)\n"
    expected = "".join(f"{n} out\n{n} err\n" for n in range(200))
    assert (await table.spawn([*PYTHON, program], tty=True)).output == expected


@pytest.mark.parametrize(
    "command",
    [
        "perl -e 'for (1..3) { print qq(x\\n); select(undef, undef, undef, 0.01) until -e $_ }'",
        "(for i in 1 2 3; do echo x; until [ -e $i ]; do sleep 0.01; done; done) | grep x",
    ],
)
def test_each_line_of_a_program_that_buffers_on_pipes_comes_at_once(
    table: JobTable, tmp_path: Path, command: str
) -> None:
    @looped
    async def main() -> None:
        job = table.spawn(command, tty=True, cwd=tmp_path)
        for number in (1, 2, 3):
            # The next is written once this one was read.
            await until(lambda: job.output == "x\n" * number)  # noqa: B023
            assert not job.done
            (tmp_path / f"{number}").touch()
        assert (await job).output == "x\n" * 3

    main()


@looped
async def test_no_line_of_four_processes_that_print_at_once_is_broken(table: JobTable) -> None:
    program = "import sys\nfor n in range(300): print(sys.argv[1] * 60, n)"
    one = f"{sys.executable} -I -S -c '{program}'"
    result = await table.spawn(f"{one} a & {one} b & {one} c & {one} d & wait", tty=True)
    lines = result.output.splitlines()
    assert len(lines) == 1200 and all(re.fullmatch(r"(a|b|c|d)\1{59} \d+", line) for line in lines)


@looped
async def test_text_has_the_line_ends_that_the_program_wrote_and_bytes_are_as_they_came(
    table: JobTable,
) -> None:
    job = table.spawn(r"printf 'a\nb\r\nc\rd\n\n'; printf 'e\n' >&2; printf f", tty=True)
    lines = [line async for line in job]
    result = await job
    assert job.read() == b"a\r\nb\r\r\nc\rd\r\n\r\ne\r\nf"
    assert result.output == job.stdout == "a\nb\r\nc\rd\n\ne\nf"
    assert lines == ["a", "b", "c\rd", "", "e", "f"]
    assert job.tail(2) == "e\nf" and job.tail(3) == "\ne\nf"


@looped
async def test_a_flood_is_kept_whole_and_bounded(table: JobTable) -> None:
    job = table.spawn("seq 300000", tty=True)
    assert (await job).output == "".join(f"{n}\n" for n in range(1, 300_001))
    bounded = table.spawn("seq 300000", tty=True, max_output=100_000)
    assert (await bounded).output.endswith("\n300000\n") and 10_000 < len(bounded.read()) <= 100_000


@looped
async def test_readiness_is_seen_in_lines_that_end_in_cr_lf_and_only_in_whole_ones(table: JobTable) -> None:
    job = table.spawn("printf 'status: ok'; read x; echo; cat", tty=True, ready="^status: ok$")
    await said(job, "status: ok")
    assert not job.snapshot().ready
    job.send("\n")
    await job.ready(timeout=60)
    await job.stop()


# What it reads


@looped
async def test_ctrl_c_is_an_interrupt_of_the_foreground(table: JobTable) -> None:
    job = table.spawn(
        ["sh", "-c", "trap 'echo caught; exit 5' INT; echo up; while :; do sleep 0.01; done"], tty=True
    )
    await said(job, "up")
    job.send("\x03")
    assert (await job.wait(raise_error=False)).returncode == 5 and "^Ccaught" in job.output


@looped
async def test_a_backspace_erases_a_whole_character_of_the_jobs_encoding(table: JobTable) -> None:
    for encoding in ("utf-8", "latin-1"):
        job = table.spawn("stty -echo; echo up; head -n 1 | od -An -tx1", tty=True, encoding=encoding)
        await said(job, "up")
        job.send("aé\x7fb\n")
        assert (await job).output == "up\n 61 62 0a\n"


@looped
async def test_job_control_of_an_interactive_shell_works(table: JobTable) -> None:
    job = table.spawn(["bash", "--norc", "-i"], tty=True, env={"PS1": "$ ", "INPUTRC": "/dev/null"})
    await job.expect("$ ", timeout=60)
    assert "no job control" not in job.output
    job.send("sleep 60\n")
    await until(lambda: b"sleep\x0060" in _command_lines(job.pid))
    job.send("\x1a")
    await job.expect("Stopped", timeout=60)
    job.send("jobs; kill %1; fg; echo end''ed\n")
    await job.expect("ended", timeout=60)
    job.send("exit 4\n")
    assert (await job.wait(raise_error=False)).returncode == 4


def _command_lines(sid: int) -> bytes:
    found = b""
    for pid in session_members(sid):
        try:
            found += Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
    return found


@pytest.mark.parametrize("text", ["", "whole\n", "whole\npart"])
def test_the_end_of_input_is_typed_once_at_the_start_of_a_line_and_twice_within_one(
    table: JobTable, text: str
) -> None:
    @looped
    async def main() -> None:
        job = table.spawn("stty -echo; echo up; cat; echo over; cat", tty=True)
        await said(job, "up\n")
        job.send(text)
        job.close_stdin()
        await said(job, f"up\n{text}over\n")
        # A terminal takes more after that.
        job.send("again\n")
        job.close_stdin()
        assert (await job).output == f"up\n{text}over\nagain\n"

    main()


@looped
async def test_input_that_is_given_at_the_start_comes_by_a_pipe(table: JobTable) -> None:
    job = table.spawn("test -t 0 || test -t 1 && cat && tty </dev/tty", stdin="a\nb\n" * 50_000, tty=True)
    output = (await job).output
    assert output.startswith("a\nb\n" * 50_000) and output[200_000:].startswith("/dev/")
    with pytest.raises(JobStateError):
        job.send("more")
    assert (await table.spawn("cat; echo end", stdin="", tty=True)).output == "end\n"


@looped
async def test_much_input_waits_for_a_child_that_does_not_read_and_holds_nobody(table: JobTable) -> None:
    job = table.spawn("stty -echo; echo up; read go </dev/stdin; md5sum", tty=True)
    await said(job, "up\n")
    os.kill(job.pid, signal.SIGSTOP)
    data = "".join(f"{'line' * 20} {n}\n" for n in range(20_000))
    job.send("go\n" + data)
    job.close_stdin()
    assert (await table.spawn("echo on", tty=True)).output == "on\n"
    os.kill(job.pid, signal.SIGCONT)
    await said(job, hashlib.md5(data.encode()).hexdigest())
    await job


@looped
async def test_a_terminal_that_hides_its_input_says_so(table: JobTable) -> None:
    job = table.spawn("read -sp 'Password: ' x; echo; read -p 'Name: ' y; echo $x $y", tty=True, shell="bash")
    assert not table.spawn("cat", name="pipes").hides_input
    await job.expect("Password: ")
    await until(lambda: job.hides_input)
    job.send("secret\n")
    await job.expect("Name: ")
    await until(lambda: not job.hides_input)
    job.send("me\n")
    assert (await job).output == "Password: \nName: me\nsecret me\n" and not job.hides_input
    await table["pipes"].stop()


@looped
async def test_a_program_learns_of_a_new_size_and_a_restart_keeps_it(table: JobTable) -> None:
    command = "trap 'stty size' WINCH; stty size; while :; do sleep 0.01; done"
    job = table.spawn(command, tty=True, shell="sh")
    await said(job, "24 100\n")
    job.resize(30, 90)
    await said(job, "24 100\n30 90\n")
    await job.restart()
    await said(job, "30 90\n30 90\n")
    await job.stop()
    with pytest.raises(JobStateError, match="has no terminal to resize; start it with tty=True"):
        table.spawn("true", name="piped").resize(30, 90)
    await table["piped"]


# How it ends


@looped
async def test_a_job_that_redirects_all_its_streams_is_not_hung_up(table: JobTable) -> None:
    job = table.spawn("exec >/dev/null 2>&1 </dev/null; sleep 0.3; echo still >/dev/tty; exit 7", tty=True)
    result = await job.wait(raise_error=False)
    assert (result.returncode, result.output) == (7, "still\n")


@looped
async def test_what_a_job_left_writes_on_and_is_ended_by_stop(table: JobTable) -> None:
    job = table.spawn("(trap '' HUP; echo left; sleep 1.2; echo late; exec sleep 60) & read x <&1", tty=True)
    await said(job, "left\n")
    job.send("\n")
    # Its process, and the sleep that it starts at about this moment.
    assert (await job).notes in (("left 1 running",), ("left 2 running",)) and job.lingers
    await said(job, "late\n")
    await job.stop(grace=0.05)
    assert not job.left and not job.lingers


@pytest.mark.parametrize("shell", ["bash", "sh", "zsh"])
@looped
async def test_what_a_script_left_in_the_background_is_not_hung_up(table: JobTable, shell: str) -> None:
    job = table.spawn("sleep 60 & echo $!; exit 3", tty=True, shell=shell)
    result = await job.wait(raise_error=False)
    server = int(job.output)
    assert (result.returncode, result.notes) == (3, ("left 1 running",)) and lives(server)
    await job.stop(grace=0.05)
    assert not lives(server) and not job.left


@looped
async def test_a_script_with_a_trap_of_its_own_for_its_end_is_left_as_it_is(table: JobTable) -> None:
    command = "trap 'echo bye' EXIT; nohup sleep 60 >/dev/null 2>&1 & sleep 50 & echo $!; read x"
    job = table.spawn(command, tty=True, shell="bash")
    await said(job, "\n")
    child = int(job.output)
    # The server has to ignore the SIGHUP that the system sends when the leader of the session exits.
    await until(lambda: b"sleep\x0060\0" in _command_lines(job.pid))
    job.send("\n")
    # The other one may be on its way out still.
    assert (await job).notes in (("left 1 running",), ("left 2 running",))
    await until(lambda: not lives(child) and job.left == 1)
    assert job.output.endswith("bye\n")
    await job.stop(grace=0.05)


@looped
async def test_timeouts_stops_and_restarts_hold(table: JobTable) -> None:
    deaf = table.spawn("trap '' INT TERM HUP; echo up; while :; do sleep 0.01; done", tty=True, shell="sh")
    late = table.spawn("sleep 60", tty=True, timeout=0.2, name="late")
    failing = table.spawn(
        "echo x; exit 3", tty=True, restart="on-failure", max_restarts=2, backoff=0.01, name="failing"
    )
    await said(deaf, "up")
    assert (await deaf.stop(grace=0.1)).ended_by == "SIGKILL"
    assert (await late.wait(raise_error=False)).timed_out
    assert (await failing.wait(raise_error=False)).returncode == 3 and failing.output == "x\n" * 3


def test_it_is_awaited_from_synchronous_code_and_in_a_held_loop(table: JobTable) -> None:
    @looped
    async def main() -> None:
        job = table.spawn("read -p 'Name? ' x; seq 20000; echo $x", tty=True, shell="bash")
        job.expect("Name? ", timeout=60).join()
        job.send("me\n")
        assert job.join(timeout=30).output.endswith("20000\nme\n")

    main()


def test_a_fork_of_this_process_does_not_keep_its_terminal_open(table: JobTable) -> None:
    @looped
    async def main() -> None:
        job = table.spawn("read x; echo $x", tty=True)
        hears, tells = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(tells, b"!")
            time.sleep(60)
            os._exit(0)
        try:
            # It has let go of what it does not own.
            assert os.read(hears, 1) == b"!"
            job.send("on\n")
            result = await asyncio.wait_for(job.wait(), 60)
            await until(lambda: not job.lingers)
            assert result.output.endswith("on\n") and not result.notes
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(hears)
            os.close(tells)

    main()


def test_a_closed_loop_ends_it(table: JobTable) -> None:
    jobs: list[Job] = []

    async def main() -> None:
        jobs.append(table.spawn("echo up; sleep 60", tty=True))
        await said(jobs[0], "up")

    asyncio.run(main())
    wait_until(lambda: jobs[0].done and not lives(jobs[0].pid))
    assert jobs[0].output == "up\n"


@looped
async def test_fifty_at_once_end_whole_and_give_back_what_they_held(table: JobTable) -> None:
    await table.spawn("true", tty=True)
    before = steady_fds()
    jobs = [table.spawn(f"seq {n}; exit {n}", tty=True, name=f"job-{n}") for n in range(50)]
    results = await asyncio.gather(*(job.wait(raise_error=False) for job in jobs))
    for n, result in enumerate(results):
        assert result.returncode == n and result.output == "".join(f"{i}\n" for i in range(1, n + 1))
    await until(lambda: steady_fds() == before)
