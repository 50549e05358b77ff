"""What is promised for systems other than Linux holds on Linux without what only Linux has.

Each test runs tests of other folders once more, in a place without ``/proc``, pidfds, epoll, `os.waitid`,
memfds, CPU affinity and the signal at a parent's death (`tests.elsewhere`).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.elsewhere import run_elsewhere

_PYTEST = ("-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "--timeout=120")


def passed(folder: Path, tests: str, names: str = "", *options: str) -> int:
    """Runs tests, and returns how many passed; AssertionError when one did not, or was skipped."""
    done = run_elsewhere(folder, *_PYTEST, *options, f"-k={names}", f"tests/{tests}", timeout=280)
    (summary,) = re.findall(r"^=+ (.* passed.*) =+$", done.stdout, re.MULTILINE)
    assert "skipped" not in summary, done.stdout
    return int(re.findall(r"(\d+) passed", summary)[0])


def test_there_is_nothing_that_only_linux_has(tmp_path: Path) -> None:
    program = """
import os, select
from ipyproc.process.platform import lifeline, pidfd, processes
assert processes.listing() is None and not os.path.exists("/proc/self/stat")
assert not pidfd.HAS_PIDFDS and pidfd.open_pidfd(os.getpid()) is None
assert lifeline._load_parent_death_signal() is None
assert not hasattr(select, "epoll") and not hasattr(os, "waitid")
import ipyproc.hosts.local
assert os.getpid() in processes.listing().pids()
"""
    run_elsewhere(tmp_path, "-c", program)


def test_what_a_test_leaves_behind_is_found(tmp_path: Path) -> None:
    assert passed(tmp_path, "test_support.py") >= 8


def test_a_subprocess_is_watched_and_awaited(tmp_path: Path) -> None:
    # The others ask os.waitid themselves.
    names = "(wait or callback or signal or stream) and not pidfd and not tornado"
    names += " and not taken and not unseen and not take_the_status"
    assert passed(tmp_path, "process/test_parity.py", names) >= 14


def test_a_job_is_started_and_awaited_and_its_output_kept(tmp_path: Path) -> None:
    # A loop off the main thread has no way to see exits there: see the next test.
    assert passed(tmp_path, "jobs/test_job.py", "not threads_spawn") >= 60


def test_a_job_runs_on_a_terminal_of_its_own(tmp_path: Path) -> None:
    names = "starting or alternating or end_of_input or hides or new_size or not_hung_up or ctrl_c or fork"
    assert passed(tmp_path, "jobs/test_terminal.py", names) >= 12


def test_a_loop_off_the_main_thread_is_refused_in_a_sentence(tmp_path: Path) -> None:
    program = """
import asyncio, threading
from ipyproc.process import Subprocess
async def main():
    process = Subprocess(["true"])
    try:
        process.set_exit_callback(print)
    except RuntimeError as error:
        process.proc.wait()
        print(error)
thread = threading.Thread(target=asyncio.run, args=(main(),))
thread.start()
thread.join()
"""
    said = run_elsewhere(tmp_path, "-c", program).stdout
    assert "off the main thread, where Python allows no signal handler" in said


def test_a_job_is_stopped_with_its_children_in_every_group_of_its_session(tmp_path: Path) -> None:
    names = "ends_with_the_job or stop_climbs"
    assert passed(tmp_path, "jobs/test_process_model.py", names) >= 6


@pytest.mark.slow
def test_a_job_is_restarted_when_it_fails(tmp_path: Path) -> None:
    assert passed(tmp_path, "jobs/test_life.py", "restart and not loop and not storm") >= 5


@pytest.mark.slow
def test_a_process_that_an_ended_job_left_is_told_shown_and_stopped(tmp_path: Path) -> None:
    names = "a_script_left or what_a_job_left or left_the_session"
    assert passed(tmp_path, "jobs/test_process_model.py", names) == 3


@pytest.mark.slow
def test_a_signal_goes_to_the_programs_of_a_script(tmp_path: Path) -> None:
    names = "(reloads_at_sighup or saves_at_sigusr1) and sh-export"
    assert passed(tmp_path, "jobs/test_process_model.py", names) >= 4


def test_a_closed_loop_ends_its_jobs(tmp_path: Path) -> None:
    # A closed loop has closed the pipe that signals are written to: Python says so of each SIGCHLD.
    quiet = "-Wignore::pytest.PytestUnraisableExceptionWarning"
    assert passed(tmp_path, "jobs/test_life.py", "loop_that_is_closed or loop_was_closed", quiet) >= 7


@pytest.mark.slow
def test_workers_are_forked_replaced_and_end_with_their_parent(tmp_path: Path) -> None:
    names = "(SIGCHLD or looking) and (replaced or restart or lifeline or killed or outlive)"
    # It asks os.waitid itself.
    names += " and not too_many_restarts"
    assert passed(tmp_path, "process/test_fork.py", names) >= 4
    assert passed(tmp_path, "workers/test_group.py", "killed or stopped or restart") >= 3


@pytest.mark.slow
def test_a_host_in_another_process_keeps_its_contract(tmp_path: Path) -> None:
    names = "Wire and (stop or restarted or ready or listens or exit_status or input)"
    assert passed(tmp_path, "hosts/test_contract.py", names) >= 8


def test_a_cpu_affinity_is_refused_in_a_sentence(tmp_path: Path) -> None:
    program = """
import asyncio
from ipyproc.errors import JobSpecError
from ipyproc.job.table import JobTable
async def main():
    try:
        JobTable().spawn("true", affinity={0})
    except JobSpecError as error:
        print(error)
asyncio.run(main())
"""
    said = run_elsewhere(tmp_path, "-c", program).stdout
    assert "CPUs 0" in said and "CPU affinity; leave them out" in said


@pytest.mark.slow
def test_the_first_process_group_of_each_job_ends_with_a_kernel_that_is_killed(tmp_path: Path) -> None:
    assert passed(tmp_path, "jobs/test_process_model.py", "first_process_group_ends") == 1


@pytest.mark.slow
def test_cells_of_a_kernel_start_jobs_and_show_them(tmp_path: Path) -> None:
    assert passed(tmp_path, "notebook/test_spawn.py", "not proc") >= 10
