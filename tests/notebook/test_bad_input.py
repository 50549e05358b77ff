"""One plain sentence for what cannot be: what was given, what is wrong, what to do; nothing left behind."""

from __future__ import annotations

import re

import pytest

from tests.notebook.kernels import Cell, Kernel


def refused(kernel: Kernel, code: str, status: str = "error") -> str:
    """Runs a cell that has to be refused, and returns the sentence that it shows."""
    before = kernel.ask("[job.name for job in ipyproc.jobs]")
    cell = kernel.run(code)
    assert cell.status == status, f"{code!r} was not refused"
    assert kernel.ask("[job.name for job in ipyproc.jobs]") == before
    return sentence_of(cell)


def sentence_of(cell: Cell) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", cell.error or cell.stderr).strip()
    assert "Traceback" not in text and "ipyproc/" not in text and "File " not in text, text
    assert "\n" not in text, text
    assert not cell.stdout and not cell.displays
    return text


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("%%spawn --nosuch ls", ["%%spawn has no option '--nosuch'", "%%spawn?"]),
        ("%spawn -y ls", ["%spawn has no option '-y'", "see %spawn?"]),
        ("%spawn --nmae x ls", ["%spawn has no option '--nmae'", "write --name"]),
        ("%%spawn", ["neither a command nor a script", "%%spawn ls -la"]),
        ("%spawn", ["neither a command nor a script", "%spawn ls -la"]),
        ("%%spawn -n x\n\n  \n", ["neither a command nor a script"]),
        ("%%spawn --shell nosuchshell ls", ["'nosuchshell'", "not found", "PATH"]),
        ("%%spawn --shell '' ls", ["The shell ''", "such as 'bash'"]),
        ("%%spawn --shell perl --strict ls", ["'perl'", "set -euo pipefail", "bash"]),
        ("%%spawn --strict\n#!/bin/cat", ["'#!/bin/cat'", "give a shell"]),
        ("%%spawn --user nosuchuser ls", ["no user 'nosuchuser'"]),
        ("%%spawn --nice x ls", ["%%spawn", "--nice", "'x'"]),
        ("%%spawn --nice 20 ls", ["niceness 20", "-20 to 19"]),
        ("%%spawn --umask 8 ls", ["%%spawn", "--umask", "'8'", "077"]),
        ("%%spawn --umask 7777 ls", ["umask", "0o777"]),
        ("%%spawn --affinity 0,x ls", ["%%spawn", "--affinity", "'0,x'", "0,2-3"]),
        ("%%spawn --affinity 60000 ls", ["CPUs 60000", "give some of 0 to"]),
        ("%%spawn --encoding nosuch ls", ["encoding 'nosuch'", "'latin-1'"]),
        ("%%spawn --ready '(' sleep 1", ["'('", "not a regular expression", "host:port"]),
        ("%%spawn --ready host:99999 sleep 1", ["99999", "65535"]),
        ("%%spawn --timeout -1 sleep 1", ["timeout -1", "not a positive number of seconds"]),
        ("%%spawn --timeout 0 sleep 1", ["timeout 0", "not a positive number of seconds"]),
        ("%%spawn --timeout x sleep 1", ["%%spawn", "--timeout", "'x'"]),
        ("%%spawn --timeout nan sleep 1", ["timeout nan", "not a positive number of seconds"]),
        ("%%spawn --env MODE sleep 1", ["'MODE'", "NAME=value"]),
        ("%%spawn --env =x sleep 1", ["'=x'", "NAME=value"]),
        ("%%spawn --cwd /nosuch ls", ["'/nosuch'", "does not exist"]),
        ("%%spawn --restart sometimes ls", ["'sometimes'", "'no', 'on-failure' or 'always'"]),
        ("%%spawn --max-restarts -1 ls", ["max_restarts is -1", "0 or more"]),
        ("%%spawn --max-restarts x ls", ["%%spawn", "--max-restarts", "'x'"]),
        ("%%spawn --name '' ls", ["job name ''", "such as 'build'"]),
        ("%%spawn --name", ["%%spawn", "--name", "expected one argument"]),
        ("%%spawn --name 'x ls", ["could not be parsed"]),
        ("%%spawn --out 1x ls", ["'1x'", "variable"]),
        ("%wait", ["needs the name of a job"]),
        ("%wait nosuch", ["no job 'nosuch'", "the jobs are: running"]),
        ("%stop nosuch", ["no job 'nosuch'", "the jobs are: running"]),
        ("%restart nosuch", ["no job 'nosuch'", "the jobs are: running"]),
        ("%logs nosuch", ["no job 'nosuch'", "the jobs are: running"]),
        ("%send nosuch hello", ["no job 'nosuch'", "the jobs are: running"]),
        ("%send", ["needs the name of a job and a text", "running"]),
        ("%jobs nosuch", ["no job 'nosuch'", "the jobs are: running"]),
        ("%stop nosuch*", ["No job matches 'nosuch*'", "the jobs are: running"]),
        ("%stop --all running", ["%stop has --all and also 'running'"]),
        ("%stop --al", ["%stop has no option '--al'", "write --all"]),
        ("%forget running", ["'running' is running", "stop it"]),
        ("%forget run*", ["No job that matches 'run*' has ended", "%jobs"]),
        ("%forget --all", ["No job has ended", "%jobs"]),
        ("%logs -n x running", ["%logs", "'x' is not a number of lines", "such as 20"]),
        ("%send -q running hello", ["no option '-q'", "%send?"]),
        ("%close", ["needs the name of a job"]),
        ("%close nosuch", ["no job 'nosuch'", "the jobs are: running"]),
        ("%signal running", ["needs the name of a job and a signal, such as HUP", "running"]),
        ("%signal", ["needs the name of a job and a signal"]),
        ("%signal running NOSUCH", ["'NOSUCH' is not a signal; give one such as TERM"]),
        ("%signal nosuch HUP", ["no job 'nosuch'"]),
        ("%%spawn --tty --rows 0 ls", ["number of rows 0", "give one such as"]),
        ("%%spawn --columns wide ls", ["--columns", "'wide'"]),
        (
            "%%spawn --name running ls",
            ["named 'running' is running already", "see it by %logs"],
        ),
    ],
)
def test_one_sentence_for(kernel: Kernel, code: str, said: list[str]) -> None:
    kernel.run("open('plain', 'w').close()")
    kernel.run("job = ipyproc.spawn(['sleep', '60'], name='running', quiet=True)")
    children = len(kernel.children())
    sentence = refused(kernel, code)
    for part in said:
        assert part in sentence, sentence
    assert sentence.startswith("UsageError: ")
    assert len(kernel.children()) == children


def test_one_sentence_for_sending_to_a_job_that_has_ended(kernel: Kernel) -> None:
    kernel.run("%spawn -w -n ended true")
    assert "'ended' has ended, so nothing was sent" in refused(kernel, "%send ended hello")


def test_one_sentence_for_sending_to_a_closed_standard_input(kernel: Kernel) -> None:
    kernel.run("job = %spawn --pipes -n closed sh -c 'cat; sleep 60'\njob.close_stdin()")
    assert "standard input closed" in refused(kernel, "%send closed hello")


def test_one_sentence_for_waiting_in_a_job_that_ends_before_it_is_ready(kernel: Kernel) -> None:
    kernel.run("%spawn -n early --ready never sh -c 'echo oops >&2; exit 3'")
    cell = kernel.run("await ipyproc.jobs['early'].ready()")
    assert cell.reply["ename"] == "NotReadyError"
    assert "ended (exit 3) before it was ready" in cell.reply["evalue"] and "oops" in cell.reply["evalue"]


@pytest.mark.parametrize(
    ("command", "said", "status"),
    [
        (
            "nosuchprogram -la",
            "the program 'nosuchprogram' was not found; check its spelling and the PATH",
            127,
        ),
        ("./nosuch", "the program './nosuch' was not found; check its spelling and the PATH", 127),
        ("./plain", "the program './plain' may not be executed; make it executable with chmod +x", 126),
        ("/tmp", "the program '/tmp' is a directory; name a program in it", 126),
    ],
)
def test_what_the_shell_could_not_run_is_said_in_the_status_line_and_in_the_error(
    kernel: Kernel, command: str, said: str, status: int
) -> None:
    kernel.run("open('plain', 'w').close()")
    cell = kernel.run(f"%spawn -w {command}")
    assert f"exited with status {status} ({said})" in cell.reply["evalue"]
    kernel.until(lambda: f"exit {status}" in cell.shown)
    assert said.partition(" was")[0] in " ".join(cell.shown.split())


def test_a_cell_that_is_refused_stops_run_all(kernel: Kernel) -> None:
    refusing, after = kernel.run_all("%%spawn --nosuch ls", "print('ran')")
    assert refusing.status == "error" and after.stdout == ""


def test_fork_processes_in_a_kernel_is_refused_and_names_the_magics(kernel: Kernel) -> None:
    cell = kernel.run("from ipyproc.process import fork_processes\nfork_processes(2)")
    assert cell.reply["ename"] == "RuntimeError"
    assert "%%fork" in cell.reply["evalue"] and "%forkbench" in cell.reply["evalue"]
    assert not kernel.children()


def test_errors_in_python_are_those_that_one_would_catch(kernel: Kernel) -> None:
    cell = kernel.run(
        "caught = []\n"
        "for arguments, kind in (\n"
        "    (dict(command=['nosuchprogram']), FileNotFoundError),\n"
        "    (dict(command=['/tmp']), PermissionError),\n"
        "    (dict(command='ls', timeout=-1), ValueError),\n"
        "    (dict(command='ls', ready='('), ValueError),\n"
        "    (dict(command='  '), ValueError),\n"
        "    (dict(command='ls', cwd='/nosuch'), ValueError),\n"
        "):\n"
        "    try:\n"
        "        ipyproc.spawn(**arguments)\n"
        "    except kind:\n"
        "        caught.append(kind.__name__)\n"
        "try:\n"
        "    ipyproc.jobs['nosuch']\n"
        "except KeyError as error:\n"
        "    caught.append(str(error))\n"
    )
    assert cell.status == "ok", cell.error
    assert len(kernel.ask("caught")) == 7
    assert not cell.displays and not kernel.children()


def test_the_magics_help_has_its_options_and_examples(kernel: Kernel) -> None:
    cell = kernel.run("%spawn?")
    (page,) = [item for item in cell.reply["payload"] if item["source"] == "page"]
    text = page["data"]["text/plain"]
    assert "--no-raise-error" in text and "%%spawn --name build --timeout 600" in text


def test_metacharacters_in_names_and_options_reach_no_shell(kernel: Kernel) -> None:
    name = "x; touch hacked; $(touch hacked) `touch hacked`"
    kernel.run(f'job = %spawn -w --name "{name}" --env "A=$(touch hacked)" true')
    assert kernel.ask("job.name") == name
    assert kernel.ask("__import__('os').path.exists('hacked')") is False
