"""Magics that name several jobs, that replace one, and that wait until one is ready."""

from __future__ import annotations

import re

import pytest

from tests.notebook.kernels import Cell, Kernel


def start(kernel: Kernel, *names: str, command: str = "sleep 60") -> None:
    for name in names:
        assert kernel.run(f"%spawn --pipes -q -n '{name}' {command}").status == "ok"


def running(kernel: Kernel) -> list[str]:
    return kernel.ask("[job.name for job in ipyproc.jobs if not job.done]")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d*m", "", text)


def rows(cell: Cell) -> list[str]:
    return [line.split()[0] for line in cell.shown.splitlines()[1:]]


# Several


def test_patterns_and_all_mean_several_and_a_name_that_looks_like_a_pattern_is_a_name(kernel: Kernel) -> None:
    start(kernel, "task-1", "task-2", "task-*", "other", "web", "db")
    assert kernel.run("%stop task-*").status == "ok"
    assert running(kernel) == ["task-1", "task-2", "other", "web", "db"]
    assert rows(kernel.run("%jobs --running '*e*'")) == ["other", "web"]
    cell = kernel.run("%stop task-? web")
    assert cell.shown.count("SIGINT") == 3 and running(kernel) == ["other", "db"]
    # A pattern does not stop again what has ended; nor does --all.
    cell = kernel.run("kind = 'o[t]h'\n%stop {kind}er* db")
    assert cell.status == "ok" and cell.shown.count("SIGINT") == 2 and "task" not in cell.shown
    assert kernel.run("%restart t*1 web").status == "ok"
    cell = kernel.run("%stop --all")
    assert cell.shown.count("SIGINT") == 2 and running(kernel) == []
    assert rows(kernel.run("%jobs")) == ["task-1", "task-2", "task-*", "other", "web", "db"]


def test_send_signal_and_close_take_several_too(kernel: Kernel) -> None:
    start(kernel, "cat-1", "cat-2", command="cat")
    assert kernel.run("%send cat-* to all").status == "ok"
    kernel.ask_until("[job.output for job in ipyproc.jobs] == ['to all\\n'] * 2")
    assert kernel.run("%close cat-1\n%signal cat-? TERM").status == "ok"
    kernel.ask_until("all(job.done for job in ipyproc.jobs)")
    assert "No job that matches 'cat-*' is running" in kernel.run("%send cat-* more").stderr


def test_wait_takes_a_pattern_with_those_that_have_ended_and_raises_for_any(kernel: Kernel) -> None:
    start(kernel, "part-1", command="-w true")
    start(kernel, "part-2", command="sleep 0.2")
    assert kernel.run("%wait 'part-*'").status == "ok"
    assert kernel.ask("ipyproc.jobs['part-2'].done")
    start(kernel, "part-3", command="sh -c 'exit 3'")
    assert "exited with status 3" in kernel.run("%wait part-*").reply["evalue"]


def test_forget_takes_what_has_ended_out_of_the_table_and_frees_it(kernel: Kernel) -> None:
    start(kernel, "done-1", "done-2", command="-w seq 1 100000")
    start(kernel, "done-3")
    kernel.run("job = ipyproc.jobs['done-1']")
    assert "is running; stop it" in kernel.run("%forget done-3 done-1").stderr
    assert kernel.ask("len(job.output)") > 0
    assert kernel.run("%forget done-*").status == "ok"
    assert kernel.ask("[job.name for job in ipyproc.jobs], job.output") == (["done-3"], "")
    kernel.run("%stop --all\n%forget --all")
    assert kernel.ask("len(ipyproc.jobs)") == 0


def test_a_name_made_of_a_program_finds_the_job_that_runs(kernel: Kernel) -> None:
    kernel.run("first = %spawn -q sleep 60\nsecond = %spawn -q sleep 60\nresult = await first.stop()")
    assert kernel.ask("first.name, second.name") == ("sleep", "sleep-2")
    assert kernel.run("%stop sleep").status == "ok"
    assert kernel.ask("second.done")
    # Of two that have ended, it is the one with the name.
    assert "sleep: sleep 60" in kernel.run("%stop sleep").shown.replace("■ sleep 60", "■ sleep: sleep 60")


# %logs


def test_logs_shows_the_last_lines_one_stream_times_and_tags(kernel: Kernel) -> None:
    # Of what comes by two pipes, only what has been read is in order.
    start(kernel, "a", command="sh -c 'echo 1; read x; echo bad >&2; read x; echo 2; echo 3'")
    for so_far in ("1\n", "1\nbad\n"):
        kernel.ask_until(f"ipyproc.jobs['a'].output == {so_far!r}")
        kernel.run("%send a on")
    kernel.ask_until("ipyproc.jobs['a'].done")
    start(kernel, "b", command="-w echo of b")
    cell = kernel.run("%logs -n 2 a b\nprint('after it')")
    assert cell.stdout == "2\n3\nof b\nafter it\n" and cell.stderr == ""
    cell = kernel.run("%logs a --stderr")
    assert (cell.stdout, cell.stderr) == ("", "bad\n")
    cell = kernel.run("%logs --tag -n1 --stdout '*'")
    assert (
        plain(cell.stdout) == "a | 3\nb | of b\n" and "\x1b[36m" in cell.stdout and "\x1b[33m" in cell.stdout
    )
    cell = kernel.run("%logs --times a")
    assert re.fullmatch(r"(\d\d:\d\d:\d\d\.\d{3} \d\n){3}", plain(cell.stdout))


def test_a_tag_stands_before_the_lines_of_each_of_several_jobs_and_not_in_their_output(
    kernel: Kernel,
) -> None:
    cell = kernel.run("for name in 'ab':\n    %spawn --tag -n {name} echo hi from {name}")
    kernel.until(lambda: sorted(plain(cell.stdout).splitlines()) == ["a | hi from a", "b | hi from b"])
    assert kernel.ask("ipyproc.jobs['a'].output") == "hi from a\n"


# --replace

SLOW = "trap 'sleep 0.3; echo stopped; exit 0' INT; echo up; while :; do sleep 0.02; done"


@pytest.mark.parametrize(
    "call",
    [
        "job = %spawn --replace -n web sleep 60",
        "%%spawn --replace -n web\nsleep 60",
        "def again():\n    %spawn --replace -n web sleep 60\nagain()",
        "%%time\n%spawn --replace -n web sleep 60",
        "%%fork --replace -n 1 --name web\nimport time; time.sleep(60)",
    ],
)
def test_replace_stops_the_job_of_that_name_first(kernel: Kernel, call: str) -> None:
    first = kernel.run(f"%%spawn -n web\n{SLOW}")
    kernel.until(lambda: "up\n" in first.stdout)
    kernel.run("old = ipyproc.jobs['web']")
    cell = kernel.run(call)
    assert cell.status == "ok", cell.error
    kernel.until(lambda: "stopped\n" in first.stdout and "exit 0" in first.shown and "running" in cell.shown)
    assert kernel.ask("old.done, ipyproc.jobs['web'].done, ipyproc.jobs['web'] is not old") == (
        True,
        False,
        True,
    )


def test_the_kernel_is_free_while_replace_waits_for_the_stop(kernel: Kernel) -> None:
    # It ends when the loop has had its turns.
    waiting = SLOW.replace("sleep 0.3", "while [ ! -e turned ]; do sleep 0.02; done")
    kernel.run(f"%%spawn -q -n web\n{waiting}")
    kernel.ask_until("'up' in ipyproc.jobs['web'].output")
    kernel.run(
        "turns = 0\nasync def turn():\n    global turns\n    while True:\n        turns += 1\n"
        "        if turns == 10: open('turned', 'w').close()\n"
        "        await asyncio.sleep(0.01)\nimport asyncio"
    )
    cell = kernel.run(
        "task = asyncio.ensure_future(turn())\n"
        "job = %spawn -q --replace -n web sleep 60\nafter = turns\nok = task.cancel()"
    )
    assert cell.status == "ok", cell.error
    assert kernel.ask("after") >= 10 and kernel.ask("job.state.value") == "running"


def test_replace_starts_a_job_where_none_runs_and_does_not_wait_for_its_end(kernel: Kernel) -> None:
    cell = kernel.run("%spawn --replace sleep 60")
    assert cell.status == "ok" and running(kernel) == ["sleep"]
    cell = kernel.run("%spawn --replace -w -n web sh -c 'echo out; exit 3'")
    assert "exited with status 3" in cell.reply["evalue"] and cell.stdout == "out\n"
    assert "replace it (--replace)" in kernel.run("%spawn -n sleep ls").stderr


# --ready

SERVER = "sleep 0.2; echo up on 80; read line; echo got $line"


def test_a_cell_waits_until_a_server_is_ready_which_can_be_sent_to(kernel: Kernel) -> None:
    cell = kernel.run(f"%%spawn --pipes -n web --ready 'up on' -w\n{SERVER}")
    assert cell.status == "ok" and cell.stdout == "up on 80\n" and "ready" in cell.shown
    kernel.run("%send web hi")
    kernel.until(lambda: cell.stdout == "up on 80\ngot hi\n")
    start(kernel, "one", "two", command=f"--ready 'up on' sh -c '{SERVER}'")
    cell = kernel.run("%wait --ready one two\nprint(*[job.snapshot().ready for job in ipyproc.jobs])")
    assert cell.status == "ok" and cell.stdout.endswith("True True True\n")
    assert running(kernel) == ["one", "two"]


@pytest.mark.parametrize("options", ["-w", "-w --replace"])
def test_a_job_that_ends_before_it_is_ready_fails_its_cell_in_a_sentence(
    kernel: Kernel, options: str
) -> None:
    cell = kernel.run(f"%%spawn -n web --ready never {options}\nsleep 0.1; echo oops >&2; exit 3")
    assert cell.reply["ename"] == "NotReadyError" and "Traceback" not in cell.error
    assert cell.reply["evalue"] == "Job 'web' ended (exit 3) before it was ready:\noops"
    assert kernel.run("%spawn -n w2 --ready never -w --no-raise-error sh -c 'exit 3'").status == "ok"
    start(kernel, "serves", command="--ready up sleep 60")
    # The others are waited for no longer.
    cell = kernel.run("%wait --ready serves web")
    assert "ended (exit 3) before it was ready" in cell.reply["evalue"]
