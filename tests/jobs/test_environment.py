"""The environment of a job, and the limits within which it runs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from ipyproc.errors import JobSpecError
from ipyproc.hosts.local.environment import environment_of, with_python_first
from ipyproc.job.command import explain_start_error
from ipyproc.job.table import JobTable
from tests.jobs.looped import PYTHON, looped
from tests.support import run_python

ENV = [*PYTHON, "import os; print(*(f'{k}={v}' for k, v in os.environ.items()), sep='\\n')"]


# Variables


@looped
async def test_a_variable_is_added_changed_or_removed(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "kept")
    monkeypatch.setenv("GONE", "there")
    env = {"NEW": "new", "EMPTY": "", "GONE": None, "NEVER": None, "PYTHONUNBUFFERED": None}
    lines = (await table.spawn(ENV, env=env)).stdout.split("\n")
    assert {"KEPT=kept", "NEW=new", "EMPTY="} <= set(lines)
    assert not [line for line in lines if line.startswith(("GONE", "NEVER", "PYTHONUNBUFFERED"))]


@looped
async def test_a_clean_environment_has_what_is_given_and_nothing_else(table: JobTable) -> None:
    result = await table.spawn(ENV, env={"A": "1"}, clean_env=True)
    assert [line for line in result.stdout.split() if not line.startswith("LC_CTYPE")] == ["A=1"]


@looped
async def test_the_kernels_own_python_comes_first(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    folder = os.path.dirname(sys.executable)
    assert (await table.spawn("command -v python3")).stdout == f"{folder}/python3\n"
    assert (await table.spawn("echo $PATH", env={"PATH": "/bin"})).stdout == "/bin\n"
    monkeypatch.setattr(table, "kernel_path", False)
    assert (await table.spawn("echo $PATH")).stdout == "/usr/bin:/bin\n"


def test_a_path_that_finds_the_kernels_python_first_stays_as_it_is(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir()
        for name in ("python", "python3"):
            (folder / name).write_text("")
            (folder / name).chmod(0o755)
    python = str(ours / "python3")
    for path, expected in (
        (f"{ours}:/bin", f"{ours}:/bin"),
        (f"/nosuch:{ours}:{others}", f"/nosuch:{ours}:{others}"),
        (f"{others}:{ours}", f"{ours}:{others}:{ours}"),
        ("/nosuch", f"{ours}:/nosuch"),
        ("", str(ours)),
    ):
        assert with_python_first(path, python) == expected
    for missing in (None, ""):
        assert with_python_first("/nosuch", missing) == "/nosuch"


def test_the_kernels_environment_stays_as_it_is() -> None:
    before = dict(os.environb)
    environment_of({"HOME": None, "A": "1"})
    assert dict(os.environb) == before


@looped
async def test_what_is_too_long_for_the_system_is_named(table: JobTable) -> None:
    for command, env, sentence in (
        (
            "true",
            {"LONG": "x" * 200_000},
            "The environment variable 'LONG' has 200,005 bytes, but",
        ),
        (["true", "x" * 200_000], {}, "The argument 1 of the command has 200,000 bytes, but the system"),
        (["true", *["x" * 100_000] * 90], {}, "The command and its environment have 9,0"),
    ):
        with pytest.raises(OSError) as refused:
            table.spawn(command, env=env)
        assert explain_start_error(refused.value, "true").startswith(sentence)
        assert sentence in str(refused.value)
    assert not len(table)


# Limits


@looped
async def test_limits_hold_from_the_first_instruction_on(table: JobTable) -> None:
    cpu = min(os.sched_getaffinity(0))
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)
    program = "import os; print(os.nice(0), sorted(os.sched_getaffinity(0)), oct(os.umask(0)))"
    job = table.spawn([sys.executable, "-c", program], nice=3, umask=0o27, affinity=[cpu])
    assert (await job).stdout == f"{before[0] + 3} [{cpu}] 0o27\n"
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)) == before
    for pid in (thread.id for thread in psutil.Process().threads()):
        assert os.getpriority(os.PRIO_PROCESS, pid) == before[0]


@looped
async def test_a_start_that_fails_under_limits_raises_as_ever(table: JobTable) -> None:
    with pytest.raises(FileNotFoundError, match="nosuch"):
        table.spawn(["nosuch"], nice=1)
    assert not len(table)


_AS_ANOTHER = """
import asyncio, os, sys
from ipyproc.job.command import explain_start_error
from ipyproc.job.table import JobTable
table = JobTable()
async def main():
    for limits in {limits!r}:
        try:
            job = table.spawn({command!r}, **limits)
            print((await job).stdout, end="")
        except (OSError, ValueError) as error:
            print(explain_start_error(error, "x") if isinstance(error, OSError) else error)
if os.getuid() == 0 and {drop!r}:
    os.setgid(65534), os.setuid(65534)
asyncio.run(main())
table.end_all()
"""


def test_a_kernel_that_may_not_says_so() -> None:
    limits = [{"nice": -5}, {"user": "root"}]
    told = run_python("-c", _AS_ANOTHER.format(limits=limits, command="true", drop=True)).stdout
    assert told == (
        "This kernel may not make a job less nice (-5); give 0 to 19.\n"
        "Only root may start a job as the user 'root'; leave the user out, or run 'sudo -u' in the job.\n"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_job_of_another_user_has_its_groups_and_home_and_may_read_its_script() -> None:
    limits = [{"user": "nobody"}, {"user": 65534, "env": {"HOME": "/"}}]
    shown = "id -un; id -Gn; echo $HOME $USER $LOGNAME\n"
    for command in (shown, f"#!/bin/bash\n{shown}"):
        told = run_python("-c", _AS_ANOTHER.format(limits=limits, command=command, drop=False)).stdout
        assert told == "nobody\nnogroup\n/nonexistent nobody nobody\nnobody\nnogroup\n/ nobody nobody\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"nice": 20}, "The niceness 20 is invalid; give a whole number from -20 to 19."),
        ({"nice": True}, "The niceness True is invalid; give a whole number from -20 to 19."),
        ({"nice": "5"}, "The niceness '5' is invalid; give a whole number from -20 to 19."),
        ({"umask": -1}, "The umask -1 is invalid; give one from 0 to 0o777, such as 0o077."),
        ({"umask": "077"}, "The umask '077' is invalid; give one from 0 to 0o777, such as 0o077."),
        ({"user": "nosuch"}, "There is no user 'nosuch'; give the name or the number of one."),
        ({"user": 10**9}, "There is no user 1000000000; give the name or the number of one."),
        ({"user": ["a"]}, "There is no user ['a']; give the name or the number of one."),
        ({"affinity": []}, "The CPUs (none) do not all exist; give some of 0 to "),
        ({"affinity": [10**6]}, "The CPUs 1000000 do not all exist; give some of 0 to "),
        ({"affinity": ["a"]}, "The CPUs 'a' do not all exist; give some of 0 to "),
        ({"affinity": 5}, "The CPUs 5 are not a set of numbers; give some as {0, 1}."),
        ({"shell": ""}, "The shell '' is not a program; give one such as 'bash'."),
        ({"shell": "'open"}, "The shell \"'open\" is not a program; give one such as 'bash'."),
        ({"shell": ["bash"]}, "The shell ['bash'] is not a program; give one such as 'bash'."),
        (
            {"env": {"A": "\0"}},
            "The value of the environment variable 'A' has a NUL or half a surrogate pair",
        ),
        ({"env": {"A=B": None}}, "The environment variable 'A=B' has no name, or a '=' in it"),
    ],
    ids=repr,
)
def test_what_cannot_be_is_named_in_one_sentence(
    table: JobTable, arguments: dict[str, object], sentence: str
) -> None:
    async def spawn() -> None:
        with pytest.raises(JobSpecError) as refused:
            table.spawn("true", **arguments)
        assert str(refused.value).startswith(sentence)

    asyncio.run(spawn())
    assert not len(table)
