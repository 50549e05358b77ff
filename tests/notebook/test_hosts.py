"""A notebook shows the jobs of any host, with nothing done for it but ``on=``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notebook.kernels import Kernel

_TOYS = """
import asyncio
from tests.hosts.programs import COROUTINES
from tests.hosts.toy import ToyHost
toys = ToyHost(COROUTINES, asyncio.get_running_loop())
"""

_WIRE = """
from ipyproc.hosts.wire.launch import launch
other = launch()
"""


@pytest.fixture
def toys(kernel: Kernel) -> Kernel:
    """A kernel that has a host of coroutines."""
    assert kernel.run(_TOYS).status == "ok"
    return kernel


@pytest.fixture
def other(kernel: Kernel) -> Iterator[Kernel]:
    """A kernel that has a host in another process."""
    assert kernel.run(_WIRE).status == "ok"
    yield kernel
    assert kernel.run("other.close()").status == "ok"
    kernel.until(lambda: not kernel.children())


def test_a_coroutine_is_a_job_like_any_other(toys: Kernel) -> None:
    cell = toys.run("job = ipyproc.spawn('talk', on=toys)\nresult = await job\nresult")
    assert cell.status == "ok", cell.error
    toys.until(lambda: cell.stdout == "one\nthree\n" and cell.stderr == "two\n")
    assert toys.ask("(result.returncode, result.stdout, job.done)") == (0, "one\nthree\n", True)
    assert "talk" in toys.run("%jobs").shown
    logs = toys.run("%logs talk")
    assert (logs.stdout, logs.stderr) == ("one\nthree\n", "two\n")


def test_a_coroutine_that_fails_raises(toys: Kernel) -> None:
    cell = toys.run("await ipyproc.spawn('fail', on=toys)")
    assert cell.status == "error" and cell.reply["ename"] == "JobFailed"
    assert "exited with status 3" in cell.reply["evalue"]


def test_a_coroutine_is_listed_and_stopped_by_its_name(toys: Kernel) -> None:
    assert toys.run("job = ipyproc.spawn('wait', on=toys, name='toy', quiet=True)").status == "ok"
    toys.ask_until("job.output == 'up\\n'")
    shown = toys.run("%jobs").shown
    assert "toy" in shown and "running" in shown
    assert toys.run("%stop toy").status == "ok"
    assert toys.ask("(job.returncode, job.state.value)") == (-2, "exited")


def test_a_job_in_another_process_is_a_job_like_any_other(other: Kernel) -> None:
    cell = other.run(
        "job = ipyproc.spawn('echo one; echo two >&2; exit 3', on=other, name='far')\n"
        "result = await job.wait(raise_error=False)"
    )
    assert cell.status == "ok", cell.error
    assert cell.stdout == "one\n" and cell.stderr == "two\n"
    assert other.ask("(result.returncode, result.stdout, result.stderr)") == (3, "one\n", "two\n")
    shown = other.run("%jobs").shown
    assert "far" in shown and "exit 3" in shown


def test_a_job_in_another_process_is_awaited_in_a_held_kernel(other: Kernel) -> None:
    cell = other.run(
        "job = ipyproc.spawn('echo one; sleep 0.3; echo two', on=other, name='far')\n"
        "def wait():\n    return job.join(timeout=20).stdout\n"
        "wait()"
    )
    assert cell.status == "ok", cell.error
    assert "one\\ntwo\\n" in cell.shown


def test_magics_reach_a_job_in_another_process(other: Kernel) -> None:
    assert other.run(
        "job = ipyproc.spawn('read x; echo got $x; exec sleep 600', on=other, name='far', quiet=True)"
    )
    assert other.run("%send far word").status == "ok"
    other.ask_until("job.output == 'got word\\n'")
    assert other.run("%restart far").status == "ok"
    assert other.run("%send far again").status == "ok"
    other.ask_until("job.output == 'got word\\ngot again\\n'")
    assert other.run("%stop far").status == "ok"
    assert other.ask("job.returncode") == -2
