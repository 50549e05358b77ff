"""Which shell runs a command, and that it runs what it can."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from ipyproc.errors import JobFailed, JobSpecError
from ipyproc.hosts.local.environment import environment_of
from ipyproc.hosts.local.shell import default_shell, launch_of
from ipyproc.job.job import Job
from ipyproc.job.table import JobTable
from ipyproc.model.shell import ShellChoice
from tests.jobs.looped import looped
from tests.jobs.shells import each_shell
from tests.support import run_python, steady_fds, until

LONG = f"# {'x' * 210_000}\n"


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


async def output(job: Job) -> str:
    result = await asyncio.wait_for(job.wait(raise_error=False), 60)
    assert result.returncode == 0, result.output
    return result.output


# Which shell


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@looped
async def test_a_string_goes_to_the_users_shell(
    table: JobTable, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("SHELL", str(shutil.which(shell)))
    assert (await output(table.spawn(f"echo ${shell.upper()}_VERSION"))).strip()


@pytest.mark.parametrize(
    "shell", ["", "/nosuch", "/etc/passwd", "/usr/sbin/nologin", "/bin/false", "bash", "/bin"]
)
def test_what_is_no_shell_in_the_environment_gives_way_to_the_systems(shell: str) -> None:
    assert default_shell({"SHELL": shell}) == "/bin/sh"
    assert default_shell({}) == "/bin/sh"


@each_shell
@looped
async def test_a_shell_can_be_given(table: JobTable, shell: str) -> None:
    family = shell.split()[0]
    assert Path((await output(table.spawn("readlink /proc/$$/exe; :", shell=shell))).strip()).name == family


@looped
async def test_a_shell_is_found_whatever_the_path_of_the_job_is(table: JobTable) -> None:
    for path in ("/nosuch", ""):
        assert await output(table.spawn("echo hello", env={"PATH": path}, shell="bash")) == "hello\n"
    assert await output(table.spawn("echo hello", clean_env=True)) == "hello\n"


@looped
async def test_what_works_in_a_bash_cell_works_unchanged(table: JobTable, tmp_path: Path) -> None:
    (tmp_path / "lib.sh").write_text("greet() { echo greeted $1; }\n")
    text = (
        "source ./lib.sh\n"
        "names=(ann 'bob b')\n"
        'for n in {1..3}; do echo -n "$n "; done; echo\n'
        'if [[ ${names[1]} == bob* ]]; then greet "${names[1]}"; fi\n'
        "ls nosuch &> errors; wc -l < errors\n"
        "cat <<< here; diff <(echo a) <(echo a) && echo same\n"
        "pushd / > /dev/null; pwd\n"
    )
    said = await output(table.spawn(text, cwd=tmp_path, shell="bash"))
    assert said == "1 2 3 \ngreeted bob b\n1\nhere\nsame\n/\n"


@looped
async def test_a_pipe_fails_with_its_last_command_unless_it_is_strict(table: JobTable) -> None:
    assert await output(table.spawn("false | true; echo on", shell="bash")) == "on\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "busybox sh"])
@looped
async def test_strict_ends_at_the_first_failure_in_a_pipe_and_at_an_unset_variable(
    table: JobTable, shell: str
) -> None:
    for text in ("false | true\necho on", "echo $nosuch\necho on", "false\necho on", f"{LONG}false\necho on"):
        result = await table.spawn(text, shell=shell, strict=True).wait(raise_error=False)
        assert result.returncode != 0 and "on\n" not in result.stdout
    # It may know no pipefail.
    for text in ("echo $nosuch\necho on", "false\necho on"):
        result = await table.spawn(text, shell="sh", strict=True).wait(raise_error=False)
        assert result.returncode != 0 and "on\n" not in result.stdout


@looped
async def test_a_shell_that_knows_no_strictness_is_refused(table: JobTable) -> None:
    for shell in (sys.executable, "perl"):
        with pytest.raises(JobSpecError, match="does not support set -euo pipefail; give another"):
            table.spawn("true", shell=shell, strict=True)
    assert not len(table)


@each_shell
@looped
async def test_a_login_shell_has_the_functions_and_aliases_of_the_profile(
    table: JobTable, tmp_path: Path, shell: str
) -> None:
    for profile in (".profile", ".zprofile"):
        (tmp_path / profile).write_text("alias ll='echo aliased'\nmodule() { echo module $1; }\n")
    env = {"HOME": str(tmp_path), "ZDOTDIR": None}
    assert await output(table.spawn("ll", shell=shell, login=True, env=env)) == "aliased\n"
    said = await output(table.spawn("module load x", shell=shell, login=True, env=env))
    assert said == "module load\n"


# Interpreters and long scripts


@looped
async def test_a_body_that_begins_with_an_interpreter_runs_under_it(table: JobTable) -> None:
    python = f"#!{sys.executable} -B\nimport sys\nprint(sys.flags.dont_write_bytecode, sys.stdin.read())"
    assert await output(table.spawn(python, stdin="given")) == "1 given\n"
    assert await output(table.spawn("#!/usr/bin/env python3\nprint('by env')")) == "by env\n"
    assert await output(table.spawn('#!/usr/bin/env -S perl -w\nprint "$^W\\n"')) == "1\n"
    assert await output(table.spawn("#! /bin/dash -e\nfalse || echo $0")) != "/bin/dash\n"


@looped
async def test_a_script_is_named_after_its_interpreter(table: JobTable) -> None:
    for line, name in (("#!/usr/bin/env python3", "python3"), ("#!/usr/bin/env -S perl -w", "perl")):
        job = table.spawn(f"{line}\n")
        assert job.name == name
        await job
    job = table.spawn("#!/bin/cat -n\nx")
    assert job.name == "cat" and job.snapshot().command == "#!/bin/cat -n …"
    await job


@looped
async def test_the_line_of_an_interpreter_has_one_argument_as_the_system_has_it(table: JobTable) -> None:
    said = await output(table.spawn("#!/bin/echo -a  b c\n"))
    assert said.startswith("-a  b c /dev/fd/")


@looped
async def test_a_given_shell_comes_before_the_line_of_an_interpreter(table: JobTable) -> None:
    assert await output(table.spawn("#!/bin/cat\necho by bash", shell="bash")) == "by bash\n"


@looped
async def test_an_interpreter_that_is_not_there_is_an_error_at_once(table: JobTable) -> None:
    with pytest.raises(FileNotFoundError, match="/usr/bin/nosuch"):
        table.spawn("#!/usr/bin/nosuch\n")
    with pytest.raises(JobSpecError, match="names no interpreter"):
        table.spawn("#!\necho")
    assert not len(table)


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "busybox sh", sys.executable, "perl"])
@looped
async def test_a_script_may_be_of_any_length_and_its_input_stays_the_jobs(
    table: JobTable, shell: str
) -> None:
    end = {sys.executable: "print(input())", "perl": "print scalar <STDIN>;"}.get(
        shell, "read line; echo $line"
    )
    assert await output(table.spawn(LONG * 10 + end, shell=shell, stdin="given\n")) == "given\n"


@looped
async def test_a_long_script_is_read_from_its_beginning_at_each_start_and_leaves_nothing(
    table: JobTable, tmp_path: Path
) -> None:
    await table.spawn("true")
    fds = steady_fds()
    text = f"{LONG}echo try; [ -e once ] || {{ touch once; exit 1; }}"
    job = table.spawn(text, cwd=tmp_path, restart="on-failure")
    assert (await asyncio.wait_for(job, 30)).stdout == "try\ntry\n"
    assert steady_fds().keys() == fds.keys()
    await job.restart()
    assert (await job).stdout == "try\ntry\ntry\n"
    with pytest.raises(FileNotFoundError):
        table.spawn(text, shell="/nosuch")
    assert steady_fds().keys() == fds.keys()


# No second guess


@looped
async def test_what_the_shell_can_run_runs(table: JobTable, tmp_path: Path) -> None:
    exported = {"BASH_FUNC_module%%": "() { echo module $1; }"}
    for command, said in (
        ("pushd /", "/"),
        ("module load x", "module load"),
        ("nosuch || echo or", "or"),
        ("shopt -s extglob && echo set", "set"),
        ("f() { echo inside; }; f", "inside"),
    ):
        assert said in await output(table.spawn(command, shell="bash", env=exported)), command


@each_shell
@looped
async def test_a_program_is_found_from_the_working_directory_and_the_path_of_the_job(
    table: JobTable, tmp_path: Path, shell: str
) -> None:
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "mytool", "#!/bin/sh\necho mine $1\n")
    env = {"PATH": f"bin:{os.environ['PATH']}"}
    assert await output(table.spawn("mytool a", cwd=tmp_path, env=env, shell=shell)) == "mine a\n"
    assert await output(table.spawn(["mytool", "b"], cwd=tmp_path, env=env)) == "mine b\n"


@each_shell
@looped
async def test_what_the_shell_did_not_find_is_noted_when_it_has_said_so(
    table: JobTable, tmp_path: Path, shell: str
) -> None:
    (tmp_path / "plain").write_text("echo\n")
    for command, status, note in (
        ("gti status", 127, "the program 'gti' was not found; check its spelling and the PATH"),
        ("A=1 'gti' > log", 127, "the program 'gti' was not found; check its spelling and the PATH"),
        ("exec gti", 127, "the program 'gti' was not found; check its spelling and the PATH"),
        ("./plain", 126, "the program './plain' may not be executed; make it executable with chmod +x"),
        (f"{tmp_path}", 126, f"the program '{tmp_path}' is a directory; name a program in it"),
    ):
        job = table.spawn(command, cwd=tmp_path, shell=shell)
        with pytest.raises(JobFailed) as failed:
            await job
        assert failed.value.returncode == status and f"({note})" in str(failed.value)
        assert (await job.wait(raise_error=False)).notes == (note,) == job.snapshot().notes


@each_shell
@looped
async def test_nothing_is_noted_where_it_is_not_sure(table: JobTable, tmp_path: Path, shell: str) -> None:
    script(tmp_path / "exits", "#!/bin/sh\nexit ${1:-127}\n")
    for command in (
        "exit 127",
        "nosuch; exit 127",
        "true && nosuch",
        "$nothing nosuch",
        "PATH=/nosuch nosuch",
        "./exits",
        "./exits 126",
        "sh -c nosuch",
        f"{sys.executable} -c 'raise SystemExit(127)'",
    ):
        result = await table.spawn(command, cwd=tmp_path, shell=shell).wait(raise_error=False)
        assert result.returncode in (126, 127), command
        assert result.notes == (), command


# The pid


SLEEPERS = [
    "sleep 60",
    "A=1 sleep 60",
    "sleep 60 > /dev/null",
    "sleep 60 2>&1 >log",
    "> log sleep 60",
    "\n  sleep 60  # a comment\n",
    "sleep \\\n 60",
    "'sleep' $(echo 60)",
    "A=1 exec sleep 60 > log",
]


@each_shell
@pytest.mark.parametrize("command", SLEEPERS, ids=repr)
@looped
async def test_the_pid_of_a_lone_command_is_the_programs(
    table: JobTable, tmp_path: Path, shell: str, command: str
) -> None:
    assert launch_of(command, ShellChoice(shell), environment_of({})).exec_program
    job = table.spawn(command, cwd=tmp_path, shell=shell)
    process = psutil.Process(job.pid)
    await until(lambda: process.name() == "sleep")
    assert not process.children()
    job.signal(signal.SIGUSR1)
    assert (await job.wait(raise_error=False)).returncode == -signal.SIGUSR1


@each_shell
@looped
async def test_a_crash_reads_as_its_signal(table: JobTable, shell: str) -> None:
    crash = f"{sys.executable} -c 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)'"
    assert (
        await table.spawn(f"ulimit -c 0; exec {crash}", shell=shell).wait(raise_error=False)
    ).returncode == -11
    killed = f"{sys.executable} -c 'import os; os.kill(os.getpid(), 9)' > /dev/null"
    assert (await table.spawn(killed, shell=shell).wait(raise_error=False)).returncode == -9


@each_shell
@looped
async def test_what_stands_before_a_program_still_works(table: JobTable, tmp_path: Path, shell: str) -> None:
    assert await output(table.spawn("A=1 B='2 3' env | grep '^[AB]=' | sort", shell=shell)) == "A=1\nB=2 3\n"
    await output(table.spawn("A=1 env > log 2>&1", shell=shell, cwd=tmp_path))
    assert "A=1\n" in (tmp_path / "log").read_text()
    (tmp_path / "in").write_text("text")
    assert await output(table.spawn("< in cat -", shell=shell, cwd=tmp_path)) == "text"


@pytest.mark.parametrize(
    "command",
    [
        *(
            "sleep 1; sleep 2",
            "sleep 1 | cat",
            "sleep 1 &",
            "(sleep 1)",
            "{ sleep 1; }",
            "if true; then :; fi",
        ),
        *("echo hello", "cd /", "test -e /", "A=1", "> file", "", "# nothing", "$EDITOR file", '"$cmd" x'),
        *("sleep 1\nsleep 2", "cat <<end\nx\nend", "cat <(ls)", "f() { ls; }", "sleep 'open", "sleep $(open"),
        *(
            "a=(1 2)",
            "! sleep 1",
            "time sleep 1",
            "[[ a ]]",
            "-x sleep",
            "ls {fd}> file",
            "sleep 1 >",
            "exec > file",
        ),
    ],
)
def test_what_is_no_lone_program_is_left_to_the_shell(command: str) -> None:
    for shell in ("bash", "dash"):
        launch = launch_of(command, ShellChoice(shell), environment_of({}))
        assert (launch.argv[-1], launch.exec_program) == (command, False)


def test_a_function_or_a_profile_may_have_the_name_of_a_program() -> None:
    for choice, changes in (
        (ShellChoice("bash"), {"BASH_FUNC_ls%%": "() { echo; }"}),
        (ShellChoice("bash"), {"BASH_ENV": "file"}),
        (ShellChoice("bash", login=True), {}),
        (ShellChoice("dash", login=True), {}),
    ):
        launch = launch_of("ls > file", choice, environment_of(changes))
        assert (launch.argv[-1], launch.exec_program) == ("ls > file", False)


def test_two_commands_to_a_posix_shell_are_not_one() -> None:
    assert launch_of("ls &> f", ShellChoice("bash"), {}).argv[-1] == "exec ls &> f"
    assert launch_of("ls &> f", ShellChoice("dash"), {}).argv[-1] == "ls &> f"


@looped
async def test_a_list_is_executed_as_it_is(table: JobTable) -> None:
    assert launch_of(("ls", "-l"), ShellChoice(), {}).exec_program
    assert await output(table.spawn(["printf", "%s|", "$HOME", "a  b"])) == "$HOME|a  b|"
    with pytest.raises(JobSpecError, match="is a list, which runs without one; give a string"):
        table.spawn(["ls"], shell="bash")


# Characters


def test_text_reaches_a_job_under_any_locale(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys
from ipyproc.job.table import JobTable
table = JobTable()
async def main():
    folder = sys.argv[1] + "/\\u00e9"
    os.mkdir(folder.encode("utf-8"))
    said = [sys.getfilesystemencoding()]
    for command in ("echo \\u00e9", ["echo", "\\u00e9"], "cat", "echo $A", "#!/bin/cat\\n\\u00e9"):
        stdin = "\\u00e9\\n" if command == "cat" else None
        job = table.spawn(command, env={"A": "\\u00e9"}, stdin=stdin, cwd=folder, name="\\u00e9")
        said.append((await job).output)
    print(ascii(said))
asyncio.run(main())
table.end_all()
"""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
            patch.setenv(name, value)
        told = run_python("-c", program, str(tmp_path)).stdout
    assert told == ascii(["ascii", *["é\n"] * 4, "#!/bin/cat\né"]) + "\n"


@looped
async def test_bytes_become_text_by_the_encoding_that_is_given(table: JobTable) -> None:
    job = table.spawn("printf '\\351\\n'; printf '\\350\\n' >&2; cat", encoding="latin-1", stdin="ü")
    result = await job
    assert (result.stdout, result.stderr) == ("é\nü", "è\n")
    assert job.read().count(b"\xfc") == 1 and [line async for line in job][-1] == "ü"
    # Which of two pipes is read first is nobody's promise.
    assert "ü" in job.tail(2) and job.snapshot().last_line in ("ü", "üè", "è")
    ready = table.spawn("printf '\\351\\n'; sleep 60", encoding="latin-1", ready="^é$")
    await ready.ready(timeout=60)
    await ready.stop()
    with pytest.raises(JobSpecError, match="has 'é', which 'ascii' does not encode"):
        table.spawn("cat", stdin="é", encoding="ascii")


@looped
async def test_an_encoding_whose_lines_cannot_be_told_is_refused(table: JobTable) -> None:
    for encoding in ("utf-16", "nosuch", "hex", 5):
        with pytest.raises(JobSpecError, match="is unknown, or does not have the line ends of ASCII"):
            table.spawn("cat", encoding=encoding)
