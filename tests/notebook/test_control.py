"""%jobs, %wait, %stop, %restart, %send, %close, %signal, %logs, %config, and completion after them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.cells import cell_len

from ipyproc.model.state import Exit, JobState, Snapshot
from ipyproc.model.usage import Usage
from ipyproc.notebook.completion import completions
from ipyproc.notebook.magics import VERBS
from ipyproc.notebook.magics.base import by_call
from ipyproc.views.render import bundle, jobs_table
from tests.notebook.kernels import Kernel

COLUMNS = ["name", "pid", "state", "exit", "restarts", "uptime", "CPU", "memory", "output", "last line"]

SNAPSHOT = Snapshot(
    name="training",
    command="python train.py",
    state=JobState.RUNNING,
    pid=1234567,
    elapsed=3725.0,
    uptime=3725.0,
    returncode=None,
    exits=(Exit(7, -15, 0.0, 1.0),),
    restarts=3,
    max_restarts=10,
    ready=None,
    size=123_456_789,
    dropped=0,
    lost=0,
    last_line="epoch 7: loss 0.25 " * 10,
    notes=(),
)


def sleeping(name: str) -> str:
    """A cell that starts a job which sleeps; with no shell, which for a moment takes a SIGINT for itself."""
    return f"job = ipyproc.spawn(['sleep', '60'], name={name!r})"


# %jobs


@pytest.mark.parametrize("width", [40, 60, 80, 120, 140])
def test_a_narrow_screen_drops_columns_and_no_row_and_cuts_no_figure(width: int) -> None:
    snapshots = [replace(SNAPSHOT, name=f"training-{n}", pid=1234567 + n) for n in range(20)]
    usage = {shot.pid: (99.0, Usage(rss=123_456_789, cpu_seconds=5.0)) for shot in snapshots}
    lines = bundle(jobs_table(snapshots, usage, width), width)["text/plain"].split("\n")
    assert len(lines) == 21
    assert all(cell_len(line) <= width for line in lines)
    for shot, line in zip(snapshots, lines[1:], strict=True):
        assert shot.name in line and "running" in line
        assert "…" not in line[:100]
    if width == 140:
        assert lines[0].split("  ")[0] == "name"
        assert [name for name in COLUMNS if name not in lines[0]] == []
        assert all(x in lines[1] for x in ("SIGTERM", "3/10", "1 h 02 min", "99 %", "123.5 MB", "epoch 7"))


def test_the_table_of_no_jobs_says_so_in_its_head() -> None:
    assert "name" in bundle(jobs_table([], {}, 80), 80)["text/plain"]


def test_jobs_shows_every_column_and_is_live_until_the_last_job_has_ended(kernel: Kernel) -> None:
    kernel.run("%spawn -n held sh -c 'echo hello; read line; echo bye; exit 3'")
    kernel.run("%spawn -n ended -w echo done")
    kernel.ask_until("'hello' in ipyproc.jobs['held'].output")
    cell = kernel.run("%jobs")
    head, *rows = cell.displays[0].text.split("\n")
    assert [name for name in COLUMNS if name not in head] == []
    assert [row.split()[0] for row in rows] == ["held", "ended"]
    assert "running" in rows[0] and "hello" in rows[0] and "exit 0" in rows[1]
    kernel.until(lambda: re.search(r"held .* \d+ %", cell.shown))
    assert re.search(r"held .* \d[\d.]* [kM]B", cell.shown)
    kernel.run("%send held end")
    kernel.until(lambda: "exit 3" in cell.shown and "bye" in cell.shown)
    assert len(cell.displays) == 1


def test_a_second_table_takes_over_and_the_first_stays_as_it_was(kernel: Kernel) -> None:
    kernel.run(sleeping("held"))
    first = kernel.run("%jobs")
    second = kernel.run("%jobs")
    kernel.run("%stop held")
    kernel.until(lambda: "SIGINT" in second.shown)
    assert "running" in first.shown


def test_the_table_shows_html_without_the_programs_markup(kernel: Kernel) -> None:
    kernel.run("%spawn -w -n markup echo '<b>bold</b>' '[red]x[/red]'")
    cell = kernel.run("%jobs")
    assert "<b>bold" not in cell.displays[0].data["text/html"]
    assert "<b>bold</b> [red]x[/red]" in cell.displays[0].text


def test_the_last_ended_jobs_stay_in_the_table_and_it_says_how_many_were_forgotten(kernel: Kernel) -> None:
    before = kernel.ask("ipyproc.jobs.forgotten")
    kernel.run("%config IPyProc.ended_jobs = 2")
    try:
        started = [kernel.run(f"%spawn -w -n ended-{n} echo {n}") for n in range(4)]
        cell = kernel.run("%jobs")
        _, *rows, caption = cell.displays[0].text.rstrip().split("\n")
        assert [row.split()[0] for row in rows] == ["ended-2", "ended-3"]
        assert caption.strip() == f"… and {int(before) + 2} earlier ones that were forgotten"
        # Their cells have what they had.
        assert all("exit 0" in shown.shown for shown in started)
        assert "earlier ones were forgotten" in kernel.run("%logs ended-0").stderr
    finally:
        kernel.run("%config IPyProc.ended_jobs = 1000")


# %stop, %restart, %send, %close, %signal, %logs


def test_stop_stops_and_shows_what_was_needed(kernel: Kernel) -> None:
    started = kernel.run(sleeping("a"))
    cell = kernel.run("%stop a")
    assert "SIGINT" in cell.shown
    kernel.until(lambda: "SIGINT" in started.shown)


def test_stop_takes_several_names_and_a_pid(kernel: Kernel) -> None:
    kernel.run(sleeping("a"))
    kernel.run(sleeping("b"))
    pid = kernel.ask("ipyproc.jobs['b'].pid")
    assert kernel.run(f"%stop a {pid}").status == "ok"
    assert kernel.ask("[job.done for job in ipyproc.jobs]") == [True, True]


def test_stop_of_a_job_that_has_ended_is_harmless(kernel: Kernel) -> None:
    kernel.run("%spawn -w -n a true")
    cell = kernel.run("%stop a")
    assert cell.status == "ok" and "exit 0" in cell.shown


def test_stop_climbs_after_the_configured_grace(kernel: Kernel) -> None:
    before = kernel.ask("get_ipython().run_line_magic('config', 'IPyProc.grace')")
    kernel.run("%config IPyProc.grace = 0.2")
    cell = kernel.run("%%spawn -n deaf\ntrap '' INT TERM; echo up; while :; do sleep 0.1; done")
    kernel.until(lambda: cell.stdout == "up\n")
    stopped = kernel.run("%stop deaf", timeout=before)
    assert "SIGKILL" in stopped.shown
    kernel.run(f"%config IPyProc.grace = {before}")


def test_restart_starts_the_job_anew_and_its_output_goes_on_in_its_own_cell(kernel: Kernel) -> None:
    first = kernel.run("%%spawn --pipes -n again\necho run; read line; echo $line")
    kernel.until(lambda: first.stdout == "run\n")
    pid = kernel.ask("ipyproc.jobs['again'].pid")
    cell = kernel.run("%restart again")
    assert cell.status == "ok", cell.error
    kernel.until(lambda: first.stdout == "run\nrun\n" and "running" in first.shown)
    assert kernel.ask("ipyproc.jobs['again'].pid") != pid
    kernel.run("%send again bye")
    for shown in (first, cell):
        kernel.until(lambda shown=shown: "exit 0" in shown.shown)
    kernel.until(lambda: first.stdout == "run\nrun\nbye\n")
    assert cell.stdout == ""


def test_restart_starts_a_job_that_has_ended(kernel: Kernel) -> None:
    first = kernel.run("%spawn -w -n again echo run")
    for times in (2, 3):
        cell = kernel.run("%restart again")
        kernel.until(lambda times=times: first.stdout == "run\n" * times)
        kernel.until(lambda cell=cell: "exit 0" in cell.shown)
    assert kernel.ask("ipyproc.jobs['again'].output") == "run\nrun\nrun\n"


def test_a_restart_in_python_goes_on_in_the_jobs_own_cell(kernel: Kernel) -> None:
    first = kernel.run("job = %spawn -w -n again echo run")
    assert kernel.run("await job.restart()").status == "ok"
    kernel.until(lambda: first.stdout == "run\nrun\n")


def test_send_writes_a_line_as_it_stands(kernel: Kernel) -> None:
    cell = kernel.run("%spawn --pipes -n cat cat")
    kernel.run("%send cat two  words -n 'quoted'")
    kernel.run("%send cat     indented {1 + 1}")
    kernel.run("%send -n cat begun")
    kernel.run("%send cat , ended")
    kernel.until(lambda: cell.stdout == "two  words -n 'quoted'\n    indented 2\nbegun, ended\n")


def test_close_ends_the_input_of_several_jobs(kernel: Kernel) -> None:
    kernel.run("%spawn --pipes -n cat cat\n%spawn --pipes -n count wc -l\n%spawn --pipes -n typed --tty cat")
    kernel.run("%send cat a\n%send typed b")
    kernel.run("%close cat count typed")
    kernel.ask_until("all(job.done for job in ipyproc.jobs)")
    assert kernel.ask("[job.output for job in ipyproc.jobs]") == ["a\n", "0\n", "b\nb\n"]


@pytest.mark.parametrize("signal", ["HUP", "sighup", "1", "$name"])
def test_signal_reaches_the_program_of_each_job(kernel: Kernel, signal: str) -> None:
    program = "trap 'echo again; exit 4' HUP; echo up; while :; do sleep 0.02; done"
    kernel.run(f"for name in ('a', 'my b'): ipyproc.spawn({program!r}, name=name, shell='sh')")
    kernel.ask_until("all('up' in job.output for job in ipyproc.jobs)")
    kernel.run("name = 'HUP'")
    assert kernel.run(f"%signal a 'my b' {signal}").status == "ok"
    kernel.ask_until("[job.returncode for job in ipyproc.jobs] == [4, 4]")


# On terminals


def test_a_program_on_a_terminal_is_talked_to_and_a_secret_is_shown_nowhere(kernel: Kernel) -> None:
    script = "read -sp 'Password: ' x; echo; read -p 'Name? ' y; test -t 2 && stty size; echo ${#x} $y"
    cell = kernel.run(f"%%spawn -n talk --tty --rows 30 --columns 90 --shell bash\n{script}")
    kernel.until(lambda: "Password: " in cell.stdout)
    kernel.ask_until("ipyproc.jobs['talk'].hides_input")
    sent = kernel.run("%send talk hunter2")
    kernel.until(lambda: "Name? " in cell.stdout)
    kernel.run("%send talk me")
    kernel.until(lambda: "exit 0" in cell.shown)
    assert kernel.ask("ipyproc.jobs['talk'].output") == "Password: \nName? me\n30 90\n7 me\n"
    shown = cell.shown + cell.stdout + kernel.run("%jobs").shown + sent.shown + sent.stdout
    assert "hunter2" not in shown and "30 90" in cell.stdout


def test_a_held_kernel_reads_and_writes_terminals_and_sees_their_end(kernel: Kernel) -> None:
    cell = kernel.run(
        "import time\n"
        "job = ipyproc.spawn('read -p \"Go? \" x; seq 20000; exit 3', tty=True, quiet=True, shell='bash')\n"
        "job.send('yes\\n')\n"
        "until = time.monotonic() + 60\n"
        "while not job.done and time.monotonic() < until: pass\n"
        "print(job.returncode, 'Go? ' in job.output, job.output.count('\\n'), job.output[-6:-1])"
    )
    assert cell.stdout == "3 True 20001 20000\n", cell.stdout + cell.error


def test_the_kind_of_a_jobs_streams_is_chosen_by_options(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn -w --tty -n both\nprintf 'a\\nb\\n'; echo c >&2; test -t 1; echo $? $TERM")
    kernel.until(lambda: "exit 0" in cell.shown)
    assert kernel.ask("ipyproc.jobs['both'].stdout") == "a\nb\nc\n0 xterm-256color\n"
    kernel.run("%%spawn -w --tty --pipes -n apart\necho c >&2")
    assert kernel.ask("ipyproc.jobs['apart'].stderr") == "c\n"
    kernel.run("%%spawn -w --tty -n fed cat\nbody")
    assert kernel.ask("ipyproc.jobs['fed'].output") == "body\n"
    logs = kernel.run("%logs both")
    kernel.until(lambda: "xterm-256color" in logs.stdout)
    assert logs.stdout.replace("\r\n", "\n") == "a\nb\nc\n0 xterm-256color\n"


def test_logs_replays_here_and_goes_on_live_in_both_cells(kernel: Kernel) -> None:
    first = kernel.run("%%spawn --pipes -n held\necho early; echo oops >&2; read line; echo late")
    kernel.until(lambda: first.stdout and first.stderr)
    logs = kernel.run("%logs held")
    kernel.until(lambda: (logs.stdout, logs.stderr) == ("early\n", "oops\n"))
    kernel.run("%send held go")
    for cell in (first, logs):
        kernel.until(lambda cell=cell: "exit 0" in cell.shown and cell.stdout == "early\nlate\n")
        assert cell.stderr == "oops\n"


def test_logs_in_the_jobs_own_cell_shows_nothing_twice(kernel: Kernel) -> None:
    cell = kernel.run("job = %spawn -w -n once echo hello\n%logs once\njob")
    assert cell.stdout == "hello\n"
    assert len(cell.displays) == 1


# %config


def test_config_shows_and_changes_the_settings(kernel: Kernel) -> None:
    shown = kernel.run("%config IPyProc").stdout
    for name in ("cell_bytes", "tail_lines", "messages_per_second", "bytes_per_second", "grace"):
        assert f"IPyProc.{name}=" in shown
    assert "Current: 200000\n" in shown
    kernel.run("%config IPyProc.cell_bytes = 1000")
    cell = kernel.run("%%spawn seq 1 2000")
    kernel.until(lambda: len(cell.displays) == 2 and cell.displays[1].text.endswith("2000"))
    kernel.run("%config IPyProc.cell_bytes = 200000")
    assert len(cell.stdout) <= 1000


def test_a_setting_that_cannot_be_is_refused(kernel: Kernel) -> None:
    cell = kernel.run("%config IPyProc.tail_lines = 0")
    assert "should not be less than 1" in cell.stderr
    assert "Lines of the live tail.\n    Current: 15\n" in kernel.run("%config IPyProc").stdout


# Completion


@pytest.fixture
def named(kernel: Kernel) -> Iterator[Kernel]:
    for name in ("web-server", "web-client", "build.g++"):
        kernel.run(f"%spawn -q -n {name} sleep 60")
    yield kernel


@pytest.mark.parametrize("magic", ["wait", "stop", "restart", "send", "logs"])
def test_names_of_jobs_are_completed_after(named: Kernel, magic: str) -> None:
    assert named.complete(f"%{magic} we") == ["web-client", "web-server"]
    assert named.complete(f"%{magic} ") == ["build.g++", "web-client", "web-server"]
    assert named.complete(f"x = %{magic} web-s") == ["web-server"]
    assert named.complete(f"print(1)\n%{magic} build.g+") == ["+"]


def test_the_second_name_is_completed_too(named: Kernel) -> None:
    assert named.complete("%wait web-server web-c") == ["web-client"]


def test_options_are_completed_before_the_command_and_not_in_it(named: Kernel) -> None:
    assert named.complete("%spawn --no") == ["--no-raise-error", "--notify"]
    assert named.complete("%%spawn --max-r") == ["--max-restarts"]
    assert named.complete("job = %spawn -w --time") == ["--timeout"]
    assert named.complete("%%spawn --name x --re") == ["--ready", "--replace", "--restart"]
    assert named.complete("%%spawn --restart on") == ["on-failure"]


def test_the_commands_own_words_are_not_completed_by_us() -> None:
    magics = by_call(VERBS)
    assert completions("%%spawn --na", magics, []) == ["--name"]
    assert completions("%%spawn --name --na", magics, []) == []
    assert completions("%%spawn ls --na", magics, []) == []
    assert completions("%%spawn -w -- --na", magics, []) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%wait ", ["a", "b"]),
        ("%wait a", ["a"]),
        ("%waiting ", []),
        ("wait ", []),
        ("10 %wait ", ["a", "b"]),
        ("%nosuch -", []),
        ("%send a", ["a"]),
        ("%send a b", []),
        ("%send -n a", ["a"]),
        ("%send -", ["-n", "--no-newline"]),
        ("a", []),
    ],
)
def test_only_our_magics_are_completed(line: str, expected: list[str]) -> None:
    assert completions(line, by_call(VERBS), ["a", "b", "with space"]) == expected


def test_an_old_job_whose_name_another_has_by_now_is_not_started_again(kernel: Kernel) -> None:
    kernel.run("old = %spawn -w -n same echo old")
    kernel.run("new = %spawn -n same sleep 60")
    refused = kernel.run("await old.restart()")
    assert refused.reply["ename"] == "JobNameError"
    assert "Another job has the name 'same' by now" in refused.reply["evalue"]
    # The magic goes by the name, and so means the new one.
    pid = kernel.ask("new.pid")
    again = kernel.run("%restart same")
    assert again.status == "ok" and kernel.ask("new.pid") != pid and kernel.ask("old.output") == "old\n"
