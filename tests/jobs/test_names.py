"""The names of jobs that were given none, and who has a name when several want it."""

from __future__ import annotations

import pytest

from ipyproc.errors import JobNameError
from ipyproc.job.default_names import default_name
from ipyproc.job.table import JobTable
from tests.jobs.looped import looped

NAMES: dict[str, str] = {
    "python3 train.py --lr 0.1": "train",
    "/usr/bin/python3.12 -u -W ignore 'my dir/train model.py'": "trainmodel",
    "python -m http.server 8000": "http.server",
    "python3 -mvenv x": "venv",
    "python3 -c 'print(1)'": "python3",
    "python3 -": "python3",
    "python": "python",
    "bash build.sh": "build",
    "bash -e build.sh": "build",
    "bash -lc 'make all'": "bash",
    "sh -c 'echo x; sleep 1'": "sh",
    "perl -ne print x.txt": "perl",
    "node server.js": "server",
    "./serve.sh &": "serve",
    "uv run x.py": "x",
    "uv run --with numpy python x.py": "x",
    "conda run -n env python t.py": "t",
    "env A=1 prog": "prog",
    "env": "env",
    "A=1 B=2 true": "true",
    "sudo prog": "prog",
    "sudo -u me env -i A=1 make -j4": "make",
    "timeout -k 5 600 sleep 500": "sleep",
    "nohup nice -n 5 ./run": "run",
    "java -jar app.jar": "app",
    "torchrun --nproc_per_node 4 train.py": "train",
    "exec sleep 60": "sleep",
    "cd app && npm start": "npm",
    "cd app": "script",
    "for i in 1 2; do echo $i; done": "script",
    "set -e\nmake": "script",
    "# a comment\nls -la": "ls",
    "#!/usr/bin/env -S python3 -u\nprint()": "python3",
    "ls -la | wc": "ls",
    "sleep 1;ls": "sleep",
    "(true)": "true",
    "echo 'a\nb'": "echo",
    "g++ -c x.cc": "g++",
    "[": "job",
    "! [": "job",
    "x" * 100: "x" * 40,
}


@pytest.mark.parametrize("command", NAMES, ids=range(len(NAMES)))
def test_a_command_makes_the_name_of_its_script_its_module_or_its_program(command: str) -> None:
    assert default_name(command) == NAMES[command]


def test_a_list_makes_a_name_likewise() -> None:
    assert default_name(("/bin/sleep", "0")) == "sleep"
    assert default_name(("/usr/bin/python3", "-m", "pytest", "-q")) == "pytest"
    assert default_name(()) == "job"


def names(table: JobTable) -> list[str]:
    return [job.name for job in table]


@looped
async def test_a_new_job_gets_the_name_of_one_that_has_ended_which_is_numbered_and_stays(
    table: JobTable,
) -> None:
    first = table.spawn("echo 1")
    await first
    between = table.spawn(["sleep", "60"])
    second = table.spawn("echo 2")
    await second
    assert names(table) == ["echo-2", "sleep", "echo"]
    assert table["echo"] is second and table["echo-2"] is first and first.output == "1\n"
    assert first.name == first.snapshot().name == "echo-2"
    await (await first.restart())
    assert first.output == "1\n1\n" and table["echo-2"] is first
    third = table.spawn("echo 3")
    assert table["echo"] is third and names(table) == ["echo-2", "sleep", "echo-3", "echo"]
    # One that runs keeps its name.
    assert table.spawn(["sleep", "60"]).name == "sleep-2" and table["sleep"] is between
    await third
    table.forget("echo-3")
    assert second not in table and third in table
    await between.stop()
    await table["sleep-2"].stop()


@looped
async def test_a_name_that_was_given_is_not_taken_away_by_one_that_a_command_makes(table: JobTable) -> None:
    given = table.spawn("true", name="echo")
    await given
    made = table.spawn("echo hi")
    await made
    assert made.name == "echo-2" and table["echo"] is given
    # But the next that is given the name gets it, as ever.
    again = table.spawn("true", name="echo")
    await again
    assert names(table) == ["echo-2", "echo"] and table["echo"] is again


@looped
async def test_a_job_that_left_processes_running_keeps_its_name(table: JobTable) -> None:
    job = table.spawn("sleep 60 >/dev/null 2>&1 &", shell="sh")
    await job.wait()
    assert job.left == 1 and job.name == "sleep"
    other = table.spawn("sleep 60")
    assert other.name == "sleep-2"
    with pytest.raises(
        JobNameError, match=r"has ended and left 1 running; replace it \(--replace\), stop it"
    ):
        table.spawn("true", name="sleep")
    await job.stop()
    await other.stop()
