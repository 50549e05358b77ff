"""Kept jobs: what of their processes may be killed, what stands in their files, who may come near them."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from ipyproc.hosts.base import HostedJob
from ipyproc.model.spec import JobSpec
from tests.hosts.contract import said
from tests.hosts.kept import keeping
from tests.support import PROGRAMS, kept_processes, lives, wait_until

_SECONDS = 60.0


def counting(flag: Path, pause: float = 0.002, **fields: object) -> JobSpec:
    """A job that writes numbered lines until a file is there."""
    words = (sys.executable, "-S", str(PROGRAMS / "kept_counts.py"), str(flag), str(pause))
    return JobSpec(words, "counts", **fields)  # type: ignore[arg-type]


def need_all(job: HostedJob) -> None:
    """Nothing that it wrote is lost or doubled, and all is in order."""
    output = job.output
    streams = {"stdout": b"", "stderr": b""}
    for name, start, stop in output.runs():
        streams[name] += output.read(start, stop)
    text = output.text() if job.spec.tty else streams["stdout"].decode()
    numbers = [line for line in text.split("\n") if line and line[0] not in "el"]
    found = re.search(r"^last (\d+)$", text, re.MULTILINE)
    assert found and numbers == [str(number) for number in range(1, int(found[1]) + 1)]
    if not job.spec.tty:
        marks = re.findall(rb"^e(\d+)$", streams["stderr"], re.MULTILINE)
        assert [int(mark) for mark in marks] == list(range(200, int(found[1]) + 1, 200))


def kill_one(chance: random.Random) -> None:
    """Kills one of the processes that keep a job, and waits until all are there again."""
    killed = chance.choice(sorted(kept_processes()))
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in (found := kept_processes()) and len(found) >= 3)


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_of_holders_and_runners_lose_nothing(times: int, tty: bool, tmp_path: Path) -> None:
    flag, chance = tmp_path / "flag", random.Random(times + tty)
    with keeping() as host:
        job = said(host.start(counting(flag, tty=tty)), b"200\n")
        pid = job.pid
        for _ in range(times):
            before = job.output.end
            time.sleep(chance.random() * 0.2)
            kill_one(chance)
            assert job.block_until(lambda: job.output.end > before, _SECONDS), job.status()
        assert job.pid == pid and lives(pid)
        flag.touch()
        assert job.block_until(lambda: job.ending is not None, _SECONDS), job.status()
        assert job.status().returncode == 7 and not job.output.lost
        need_all(job)
        assert host.attach(job.ticket) is job
    assert not lives(pid)
