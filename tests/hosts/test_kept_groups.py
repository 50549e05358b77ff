"""Kept worker groups: who may be killed, and what another kernel has of them."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipyproc.console.main import main
from ipyproc.errors import JobStateError
from ipyproc.hosts.keeper.group import KeptGroup
from ipyproc.job.fork import fork
from ipyproc.job.group import WorkerGroup
from ipyproc.job.table import JobTable
from ipyproc.model.event import EventKind
from ipyproc.model.group import WorkerState
from ipyproc.model.life import LADDER
from tests.hosts.contract import ended, said
from tests.hosts.kept import end_all_kept
from tests.hosts.test_kept import kill_one, newest_runner
from tests.support import kept_processes, lives, wait_until

_SECONDS = 60.0

_COUNTS = """
import os, sys, time
n = 0
while not os.path.exists(flag):
    n += 1
    sys.stdout.write(f"{task_id()} {n}\\n")
    if n % 50 == 0:
        sys.stderr.write(f"e {task_id()} {n}\\n")
        sys.stdout.write("part")
        sys.stdout.flush()
        time.sleep(0.01)
        sys.stdout.write("\\n")
    time.sleep(0.002)
print("last", task_id(), n)
"""


@contextmanager
def kernel() -> Iterator[JobTable]:
    """The table of a kernel, whose end ends nothing that is kept."""
    table = JobTable()
    try:
        yield table
    finally:
        table.keeper.close()


@contextmanager
def kernels() -> Iterator[JobTable]:
    """A table; what any table has kept is gone after this."""
    try:
        with kernel() as table:
            yield table
    finally:
        end_all_kept()


def hosted(group: WorkerGroup) -> KeptGroup:
    """The group as its host has it."""
    assert isinstance(group.hosted, KeptGroup)
    return group.hosted


def adopted(table: JobTable, name: str) -> WorkerGroup:
    """The group of that name, which another kernel has started."""
    table.attach_kept()
    group = table[name]
    assert isinstance(group, WorkerGroup)
    return group


def block(group: WorkerGroup, condition: object) -> None:
    """Waits until something holds."""
    assert hosted(group).block_until(condition, _SECONDS), (group.workers, group.stdout[-500:])  # type: ignore[arg-type]


def running(group: WorkerGroup) -> list[int]:
    """Waits until all workers run, as far as this client has heard; returns their pids."""
    block(group, lambda: all(worker.uptime is not None for worker in group.workers))
    return [worker.pid or 0 for worker in group.workers]


def need_all(group: WorkerGroup, workers: int) -> None:
    """Nothing that the workers wrote is lost or doubled, with marks and without, and all is in order."""
    for task_id in range(workers):
        own = group.worker_output(task_id, "stdout")
        whole = [line[4:] for line in group.stdout.split("\n") if line.startswith(f"[{task_id}] ")]
        for text in (own, "\n".join(whole)):
            numbers = [int(n) for n in re.findall(rf"^{task_id} (\d+)$", text, re.MULTILINE)]
            last = re.search(rf"^last {task_id} (\d+)$", text, re.MULTILINE)
            assert last and numbers == list(range(1, int(last[1]) + 1))
        marks = re.findall(rf"^e {task_id} (\d+)$", group.worker_output(task_id, "stderr"), re.MULTILINE)
        assert [int(n) for n in marks] == list(range(50, int(last[1]) + 1, 50))
        assert own.count("part\n") == len(marks)


@pytest.mark.parametrize("times", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_kills_of_holders_and_runners_lose_nothing_of_a_group(times: int, tmp_path: Path) -> None:
    flag, chance = tmp_path / "flag", random.Random(times)
    with kernels() as table:
        group = fork(_COUNTS, 2, variables={"flag": str(flag)}, name="counts", keep=True, table=table)
        job = hosted(group)
        said(job, b"[1] 1 20\n")
        pids = running(group)
        for _ in range(times):
            before = job.output.end
            time.sleep(chance.random() * 0.2)
            kill_one(chance)
            block(group, lambda: job.output.end > before)
        block(group, lambda: all(worker.state is WorkerState.RUNNING for worker in group.workers))
        assert [worker.pid for worker in group.workers] == pids
        flag.touch()
        ended(job, _SECONDS)
        assert job.status().returncode == 0 and not job.output.lost, job.status()
        assert [worker.last_exit for worker in group.workers] == [0, 0]
        need_all(group, 2)
        told = [(event.kind, event.worker) for event in job.events() if event.worker is not None]
        assert sorted(told) == sorted(
            (kind, worker) for kind in (EventKind.STARTED, EventKind.EXITED) for worker in range(2)
        )


_SERVES = """
import sys, time
print("set up")
fork_processes()
print("up", task_id())
while True:
    time.sleep(0.05)
    if task_id() == 1 and os.path.exists(flag):
        os.unlink(flag)
        os._exit(3)
"""


def test_another_kernel_has_the_group_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flag = tmp_path / "flag"
    code = _SERVES.replace("import sys", "import os, sys")
    with kernels() as table:
        with kernel() as first:
            group = fork(code, 2, variables={"flag": str(flag)}, name="web", keep=True, table=first)
            assert [worker.state for worker in group.workers] == [WorkerState.STARTING] * 2
            said(hosted(group), b"[1] up 1\n")
            pids = running(group)
            pid = group.pid
        # Nobody is there, nor a runner: the holder hears of it.
        wait_until(lambda: len(kept_processes()) == 2)
        flag.touch()
        wait_until(lambda: not flag.exists())
        group = adopted(table, "web")
        assert group.command == "fork -n 2" and group.pid == pid and group.snapshot().is_kept
        block(group, lambda: hosted(group).output.text().count("up 1") == 2)
        block(group, lambda: group.workers[1].restarts == 1 and group.workers[1].uptime is not None)
        first_worker, second = group.workers
        assert first_worker.pid == pids[0] and second.pid != pids[1]
        assert (second.restarts, second.exits, second.last_exit) == (1, ((3, 1),), 3)
        assert group.stdout.startswith("set up\n") and group.worker_output(1) == "up 1\n" * 2
        assert group.snapshot().restarts == 1 and group.snapshot().workers[0].memory
        assert group.helper_pid and lives(group.helper_pid)
        # One worker alone, by a signal, and by a restart that does not count.
        group.signal(signal.SIGKILL, 0)
        block(group, lambda: group.workers[0].exits == ((-9, 1),) and group.workers[0].uptime)
        assert group.snapshot().restarts == 2
        group.restart_worker(0)
        block(group, lambda: group.workers[0].exits == ((-9, 1), (-15, 1)) and group.workers[0].uptime)
        assert group.snapshot().restarts == 2
        block(group, lambda: group.worker_output(0).count("up 0\n") == 3)
        with pytest.raises(JobStateError, match="does not report to this kernel"):
            group.listen(print)
        # A terminal's words are no commands for the helper.
        assert main(["send", "web", "text"]) == 1 and "takes no input" in capsys.readouterr().err
        assert main(["ls"]) == 0 and "fork -n 2" in capsys.readouterr().out
        # The whole anew.
        hosted(group).restart(60.0, LADDER)
        block(group, lambda: group.pid not in (0, pid) and all(worker.uptime for worker in group.workers))
        assert [worker.exits for worker in group.workers] == [(), ()]
        block(group, lambda: group.worker_output(0).count("up 0\n") == 4)
        hosted(group).stop(60.0, LADDER)
        ended(hosted(group))
        assert {worker.last_exit for worker in group.workers} <= {-2, -15}
        wait_until(lambda: not kept_processes())
        # What ended is there without anybody to run it.
        with kernel() as third:
            again = adopted(third, "web")
            assert again.done and again.worker_output(1) == group.worker_output(1) != ""
            assert again.workers == group.workers and again.stdout == group.stdout
            third.forget("web")
        assert not os.path.exists(hosted(group).place.path)


def test_a_runner_whose_holders_are_killed_together_holds_the_group(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with kernels() as table:
        group = fork(_COUNTS, 2, variables={"flag": str(flag)}, name="counts", keep=True, table=table)
        job = hosted(group)
        said(job, b"[1] 1 20\n")
        wait_until(lambda: len(kept_processes()) == 3 and newest_runner(job.place.path))
        holders = [pid for pid in kept_processes() if pid != newest_runner(job.place.path)]
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for pid in holders:
                os.kill(pid, signum)
        wait_until(lambda: not kept_processes().keys() & set(holders) and len(kept_processes()) == 3)
        before = job.output.end
        block(group, lambda: job.output.end > before)
        flag.touch()
        assert ended(job, _SECONDS).status().returncode == 0
        need_all(group, 2)


def test_a_group_that_nobody_holds_any_more_ends_and_says_so() -> None:
    with kernels() as table:
        group = fork("import time\nprint('up')\ntime.sleep(600)", 2, name="idle", keep=True, table=table)
        job = hosted(group)
        block(group, lambda: job.output.text().count("up") == 2)
        pids = running(group)
        wait_until(lambda: len(kept_processes()) == 2)
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for pid in kept_processes():
                os.kill(pid, signum)
        wait_until(lambda: not any(map(lives, [*pids, group.pid])))
        with kernel() as other:
            again = adopted(other, "idle")
            ended(hosted(again))
            # Where a container has no process that waits for orphans, its status is known all the same.
            assert again.hosted.status().returncode in (-signal.SIGTERM, 255)
            assert "its holders were killed, and its workers ended with them" in again.hosted.status().notes
            assert {worker.state for worker in again.workers} == {WorkerState.EXITED}


@pytest.mark.slow
def test_a_runner_that_is_killed_as_it_starts_a_group_starts_one_in_the_end(tmp_path: Path) -> None:
    chance = random.Random(1)
    code = "import os, time\nopen(path, 'a').write(f'{os.getpid()}\\n')\nprint('up')\ntime.sleep(600)"
    with kernels() as table:
        for number in range(8):
            path, large = tmp_path / f"{number}", bytes(200_000)
            group = fork(code, 2, variables={"path": str(path), "large": large}, keep=True, table=table)
            runner = wait_until(lambda: newest_runner(hosted(group).place.path))
            time.sleep(0.1 + chance.random() * 0.5)
            os.kill(runner, signal.SIGKILL)
            pids = running(group)
            # What was started before it is gone, or is it.
            wait_until(lambda: {int(pid) for pid in path.read_text().split() if lives(int(pid))} == {*pids})
            block(group, lambda: [group.worker_output(task_id).count("up") for task_id in range(2)] == [1, 1])
            group.kill()
            ended(hosted(group))
