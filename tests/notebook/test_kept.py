"""Jobs that outlive the kernel, in notebooks: started in one, found in others, whatever ended the first."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipyproc.model.spec import JobSpec
from tests.hosts.kept import end_all_kept, keeping
from tests.notebook.kernels import Kernel, running_kernel
from tests.support import lives, wait_until

SCRIPT = """for n in $(seq 100); do echo epoch $n; done
read -p 'more? ' answer
echo got $answer
exec sleep 600"""

TRAIN = f"%%spawn --keep --name train\n{SCRIPT}"


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    end_all_kept()


@contextmanager
def a_kernel(below: Path, name: str) -> Iterator[Kernel]:
    (below / name).mkdir()
    with running_kernel(below / name) as kernel:
        yield kernel


def start_training(kernel: Kernel) -> int:
    cell = kernel.run(TRAIN)
    assert cell.status == "ok", cell.error
    kernel.until(lambda: "more?" in cell.stdout + cell.shown)
    assert "epoch 1\n" in cell.stdout and "epoch 100\n" in cell.stdout and "kept" in cell.shown
    return int(kernel.ask("ipyproc.jobs['train'].pid"))


def see_training(kernel: Kernel, pid: int) -> None:
    """The job is there again, with all of its output, live, and it can be talked to."""
    table = kernel.run("%jobs")
    kernel.until(lambda: "train" in table.shown and "running" in table.shown)
    assert kernel.ask("ipyproc.jobs['train'].pid") == pid
    logs = kernel.run("%logs train")
    assert logs.status == "ok", logs.error
    kernel.until(lambda: "more?" in logs.stdout + logs.shown)
    assert "epoch 1\n" in logs.stdout and "epoch 100\n" in logs.stdout
    assert kernel.run("%send train yes").status == "ok"
    kernel.until(lambda: "got yes\n" in logs.stdout)


def test_a_job_that_was_kept_elsewhere_is_there_as_any_other(kernel: Kernel) -> None:
    with keeping() as host:
        job = host.start(JobSpec(SCRIPT, "train", tty=True))
        assert job.block_until(lambda: "more?" in job.output.text(), 60)
        see_training(kernel, job.pid)
        assert kernel.run("%stop train").status == "ok"
        assert job.block_until(lambda: job.ending is not None, 60)
        assert kernel.ask("ipyproc.jobs['train'].join(60, False).ended_by") == "SIGINT"
        kernel.run("%forget train")
        assert not job.place.is_there


@pytest.mark.slow
def test_a_kept_job_is_there_in_the_next_kernel_and_in_others_at_once(tmp_path: Path) -> None:
    with a_kernel(tmp_path, "one") as first, a_kernel(tmp_path, "two") as second:
        pid = start_training(first)
        first.kill()
        see_training(second, pid)
        with a_kernel(tmp_path, "three") as third:
            other = third.run("%logs train")
            third.until(lambda: "got yes\n" in other.stdout)
            stopped = second.run("%stop train")
            assert stopped.status == "ok", stopped.error
            third.until(lambda: "stopped" in other.shown)
            assert third.run("await ipyproc.jobs['train'].wait(raise_error=False)").status == "ok"
            wait_until(lambda: not lives(pid))
            restarted = third.run("%restart train")
            assert restarted.status == "ok", restarted.error
            third.until(lambda: other.stdout.count("epoch 100\n") == 2)
            third.run("%stop train")
            # What has ended is read without a holder, and forgotten for all.
            assert second.run("%forget train").status == "ok"
        assert second.ask("len(ipyproc.jobs)") == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["shutdown", "restart", "now", "group", "quit"])
def test_no_end_of_the_kernel_ends_a_kept_job(way: str, tmp_path: Path) -> None:
    with a_kernel(tmp_path, "one") as first:
        pid = start_training(first)
        cell = first.run("%logs train")
        if way in ("shutdown", "restart"):
            first.control("shutdown_request", restart=way == "restart")
            first.until(lambda: "goes on without the kernel" in cell.shown)
        elif way == "now":
            first.manager.shutdown_kernel(now=True)
        elif way == "group":
            os.killpg(os.getpgid(first.pid), signal.SIGTERM)
        else:
            first.start("import os; os._exit(0)")
        wait_until(lambda: not lives(first.pid) if first.manager.has_kernel else True)
    with a_kernel(tmp_path, "two") as second:
        see_training(second, pid)


def test_what_cannot_be_kept_is_said_in_a_sentence(kernel: Kernel) -> None:
    cell = kernel.run("%spawn --keep --log x.log true")
    assert "A kept job has a host and files of its own; leave log out, or keep." in cell.error + cell.stderr
    missing = kernel.run("ipyproc.spawn(['/no/such/program'], keep=True)")
    assert "No such file or directory: '/no/such/program'" in missing.error
    assert kernel.ask("len(ipyproc.jobs)") == 0
    late = kernel.run("%spawn --keep --pipes --name late -w /no/such/thing")
    assert "/no/such/thing" in late.error + late.shown + late.stdout + late.stderr


def test_a_kept_group_is_there_in_the_next_kernel(tmp_path: Path) -> None:
    with a_kernel(tmp_path, "one") as first:
        cell = first.run("%%fork --keep -n 2 --name pair\nimport time\nprint('up')\ntime.sleep(600)")
        assert cell.status == "ok", cell.error
        first.until(lambda: cell.stdout.count(" up\n") == 2)
        first.ask_until("all(worker.pid for worker in ipyproc.jobs['pair'].workers)")
        pids = first.ask("[worker.pid for worker in ipyproc.jobs['pair'].workers]")
        first.kill()
    with a_kernel(tmp_path, "two") as second:
        second.ask_until(f"[worker.pid for worker in ipyproc.jobs['pair'].workers] == {pids}")
        logs = second.run("%logs pair")
        second.until(
            lambda: "[0]" in logs.stdout and "[1]" in logs.stdout and logs.stdout.count(" up\n") == 2
        )
        second.until(lambda: str(pids[1]) in logs.shown)
        assert second.run("ipyproc.jobs['pair'].signal(9, 1)").status == "ok"
        second.until(lambda: logs.stdout.count(" up\n") == 3)
        assert second.run("%stop pair").status == "ok"
        assert second.ask("ipyproc.jobs['pair'].join(60, False).ended_by") == "SIGINT"
        assert second.run("%forget pair").status == "ok"
