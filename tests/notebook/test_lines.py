"""The line of a magic, in real kernels: continued, expanded, and split as Python does it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ipyproc.notebook.lines import continued, lines_of
from tests.notebook.kernels import Cell, Kernel

STRANGE = ["\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x0b"]


def waited(kernel: Kernel, code: str) -> Cell:
    cell = kernel.run(code)
    assert cell.status == "ok", cell.error
    return cell


# Lines that end in a backslash


def test_a_line_that_ends_in_a_backslash_goes_on_in_the_next(kernel: Kernel) -> None:
    code = "%%spawn -w \\\n  --name joined \\\n  printf '%s|' \\\n  one 'two \\\n three'\n"
    assert waited(kernel, code).stdout == "one|two  three|"
    assert kernel.ask("ipyproc.jobs['joined'].done") is True


def test_what_follows_a_continued_line_is_the_body(kernel: Kernel) -> None:
    assert waited(kernel, "%%spawn -w sort \\\n -n\n10\n9\n").stdout == "9\n10\n"
    assert waited(kernel, "%%spawn -w --name \\\n scripted\necho a\\\nb\n").stdout == "ab\n"


def test_a_training_command_over_several_lines_has_all_its_options(kernel: Kernel) -> None:
    kernel.run("with open('t.py', 'w') as file: _ = file.write('import sys; print(sys.argv[1:])')")
    cell = waited(kernel, f"%%spawn -w {sys.executable} t.py \\\n    --epochs 3 \\\n    --lr 0.1")
    assert cell.stdout == "['--epochs', '3', '--lr', '0.1']\n"
    kernel.run(f"job = %spawn {sys.executable} t.py \\\n    --epochs 4\nresult = await job")
    assert kernel.ask("result.stdout") == "['--epochs', '4']\n"


def test_an_even_number_of_backslashes_continues_nothing() -> None:
    assert continued("printf a\\\\", "b\n") == ("printf a\\\\", "b\n")
    assert continued("printf a\\\\\\", "b\nc\n") == ("printf a\\\\b", "c\n")
    assert continued("ls \\", "") == ("ls \\", "")
    assert continued("ls", None) == ("ls", None)


def test_workers_and_benchmarks_have_their_options_over_several_lines(kernel: Kernel) -> None:
    cell = kernel.run("%%fork -w -n 1 \\\n  --max-restarts 0 --name split\nprint('ran')\n1 / 0")
    assert cell.stdout.endswith(" ran\n") and "In[" in cell.stderr and "line 4" in cell.stderr
    refused = kernel.run("%%fork -n 1 \\\n -q\nif b")
    assert "Line 3 of the cell is not valid Python" in refused.stderr
    bench = kernel.run("%%forkbench -w -n 1 \\\n -t 0.05 \\\n a = 1\na + 1")
    assert bench.status == "ok", bench.error


# Expansion


def test_a_line_is_expanded_name_by_name(kernel: Kernel) -> None:
    kernel.run("known, i = 'seen', 3")
    cell = waited(kernel, "%spawn -w --name shard-{i} echo $HOME ${HOME} {known} {unknown} $k {1..3}")
    home = os.environ["HOME"]
    assert cell.stdout == f"{home} {home} seen {{unknown}} 1 2 3\n"
    assert kernel.ask("'shard-3' in ipyproc.jobs") is True
    cell = waited(kernel, "%spawn -w printf '1 {known}\\n' | awk '{print $2, $1}'")
    assert cell.stdout == "seen 1\n"


def test_the_line_of_a_cell_is_expanded_and_its_body_only_when_asked(kernel: Kernel) -> None:
    kernel.run("i, word = 3, 'it'")
    body = "echo {i:02d} $word ${word} '$word' $$word {unknown}\n"
    cell = waited(kernel, f"%%spawn -w --name body-{{i}} --env word=env\n{body}")
    assert cell.stdout == "{i:02d} env env $word " + cell.stdout.split()[4] + " {unknown}\n"
    for option in ("-x", "--expand"):
        cell = waited(kernel, f"%%spawn -w {option} --env word=env\n{body}")
        assert cell.stdout == "03 it env $word env {unknown}\n"
    assert waited(kernel, "%%spawn -w -x cat\n{word}").stdout == "it\n"


def test_local_variables_count(kernel: Kernel) -> None:
    kernel.run(
        "word = 'global'\n"
        "def start(word):\n"
        "    for n in range(2):\n"
        "        %spawn -q --name {word}-{n} echo $word {n} {max(n, 1)}\n"
        "    return [ipyproc.jobs[f'{word}-{n}'] for n in range(2)]\n"
        "jobs = start('local')\n"
        "results = [await job for job in jobs]"
    )
    assert kernel.ask("[r.stdout for r in results]") == ["local 0 1\n", "local 1 1\n"]


def test_the_names_of_jobs_and_what_is_sent_are_expanded(kernel: Kernel) -> None:
    kernel.run("i, text = 7, 'hello'\njob = %spawn --pipes -q --name cat-{i} cat")
    kernel.run("%send cat-{i} $text {i + 1} {unknown} $$text")
    kernel.ask_until("job.output.count('\\n') == 1")
    assert kernel.ask("job.output") == "hello 8 {unknown} $text\n"
    cell = kernel.run("%logs cat-{i}")
    kernel.until(lambda: "hello 8" in cell.stdout)
    assert kernel.run("%stop cat-$i").status == "ok"
    assert kernel.ask("job.done") is True


def test_the_values_of_options_may_be_expressions_and_the_job_is_waited_for(kernel: Kernel) -> None:
    kernel.run("n = 30")
    kernel.run("%spawn --timeout {2 * n} -w --name timed sleep 0.1")
    assert kernel.ask("ipyproc.jobs['timed'].done") is True
    kernel.run("%%spawn --timeout {2 * n} --name timed-too -w sleep 0.1")
    assert kernel.ask("ipyproc.jobs['timed-too'].done") is True


def test_braces_in_a_statement_to_be_measured_are_pythons(kernel: Kernel) -> None:
    kernel.run("n, seconds = 1, 0.05")
    cell = kernel.run("%forkbench -w -n {n} -t {seconds} n = 2; {n: n + 1}[n]")
    assert cell.status == "ok", cell.error


# The environment


def test_a_path_can_be_put_before_the_one_that_is_there(kernel: Kernel) -> None:
    cell = waited(kernel, "%spawn -w --env PATH=/x:$PATH --env 'A=${HOME} $nosuch' echo $PATH $A; ls")
    first, *rest = cell.stdout.split(":")
    assert first == "/x" and "/usr/bin" in rest
    assert f" {os.environ['HOME']} $nosuch\n" in cell.stdout and "kernel.log" in cell.stdout


def test_variables_are_emptied_removed_and_all_left_out(kernel: Kernel) -> None:
    kernel.run("import os\nos.environ['GIVEN'] = 'given'")
    shown = "echo ${GIVEN-unset} ${GIVEN:-empty}"
    for options, said in (
        ("", "given given"),
        ("--env GIVEN=", " empty"),
        ("--unset GIVEN", "unset empty"),
        ("--clean-env", "unset empty"),
        ("--clean-env --env GIVEN=1", "1 1"),
    ):
        assert waited(kernel, f"%%spawn -w {options}\n{shown}").stdout.strip() == said.strip(), options


def test_python_is_the_kernels_unless_that_is_switched_off(kernel: Kernel) -> None:
    kernel.run("import os\nbefore, os.environ['PATH'] = os.environ['PATH'], '/usr/bin:/bin'")
    folder = os.path.dirname(sys.executable)
    assert waited(kernel, "%spawn -w echo $PATH").stdout == f"{folder}:/usr/bin:/bin\n"
    kernel.run("%config IPyProc.kernel_path = False")
    assert waited(kernel, "%spawn -w echo $PATH").stdout == "/usr/bin:/bin\n"
    kernel.run("%config IPyProc.kernel_path = True\nos.environ['PATH'] = before")


def test_the_shell_and_the_limits_are_options(kernel: Kernel) -> None:
    cell = waited(kernel, "%%spawn -w --shell 'bash --norc' --umask 027 --nice 2\numask; nice; echo $0")
    assert cell.stdout == f"0027\n{os.nice(0) + 2}\nbash\n"
    cell = waited(kernel, "%%spawn -w --affinity 0 --encoding latin-1\nnproc; printf '\\351'")
    assert cell.stdout == "1\né"
    cell = kernel.run("%%spawn -w --shell bash --strict\nfalse | true\necho on")
    assert cell.status == "error" and "on" not in cell.stdout
    assert waited(kernel, "%%spawn -w\n#!/usr/bin/env python3\nprint('by python')").stdout == "by python\n"


# Lines are Python's


@pytest.mark.parametrize("character", STRANGE, ids=repr)
def test_a_character_that_ends_no_line_may_stand_before_a_magic(kernel: Kernel, character: str) -> None:
    kernel.run("job = %spawn -q --name strange sleep 60")
    cell = kernel.run(f"text = 'a{character}b'  # {character}\n%stop strange\nafter = len(text)")
    assert cell.status == "ok", cell.error
    assert kernel.ask("(job.done, after)") == (True, 3)


@pytest.mark.parametrize("character", STRANGE, ids=repr)
def test_a_character_that_ends_no_line_is_one_in_a_command_and_a_body(kernel: Kernel, character: str) -> None:
    # A cell shows no control characters: what was written is in the job.
    waited(kernel, f"%%spawn -w --out text printf '%s' 'a{character}b'")
    assert kernel.ask("text") == f"a{character}b"
    waited(kernel, f"%%spawn -w --out text cat\na{character}b\nc")
    assert kernel.ask("text") == f"a{character}b\nc\n"


def test_half_a_surrogate_pair_is_one_in_a_body_and_pythons_own_error_elsewhere(kernel: Kernel) -> None:
    # That is how a client sends a byte that is no UTF-8.
    cell = kernel.run("%%spawn -q --name odd cat\n\udcff")
    assert cell.status == "ok", cell.error
    kernel.ask_until("ipyproc.jobs['odd'].done")
    assert kernel.ask("ipyproc.jobs['odd'].read().rstrip()") in (b"\xff", b"\xef\xbf\xbd", b"?")
    assert kernel.run("text = '\udcff'\n%jobs").reply.get("ename") != "SyntaxError"


def test_lines_are_counted_as_python_counts_them() -> None:
    assert lines_of("a\nb\r\nc\rd\x0c\u2028\n\ne") == ["a\n", "b\r\n", "c\r", "d\x0c\u2028\n", "\n", "e"]
    assert lines_of("") == []


# Names of the user's


def test_workers_run_whatever_in_and_the_path_for_modules_have_become(
    fresh_kernel: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "beside.py").write_text("word = 'found'\n")
    fresh_kernel.run(
        "import sys\nfrom pathlib import Path\nIn = 3\nsys.path.append(Path('modules').absolute())"
    )
    cell = fresh_kernel.run("%%fork -w -n 1\nimport beside\nprint(beside.word)")
    assert cell.status == "ok", cell.error
    assert cell.stdout.endswith(" found\n")


# What a console asks


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("%%spawn --name x", "incomplete"),
        ("%%spawn --name x\n", "incomplete"),
        ("%%spawn", "incomplete"),
        ("%%spawn --name x\necho", "incomplete"),
        ("%%spawn --name x\necho\n\n", "complete"),
        ("%%spawn python t.py \\", "incomplete"),
        ("%%spawn # later", "incomplete"),
        ("%%spawn ls -la", "complete"),
        ("%%spawn --name x --timeout {2 * 3} ls", "complete"),
        ("%%bash --out x", "incomplete"),
    ],
)
def test_a_console_goes_on_to_the_body_where_there_is_no_command(
    kernel: Kernel, code: str, status: str
) -> None:
    assert kernel.request(kernel._shell, "is_complete_request", {"code": code})["status"] == status
