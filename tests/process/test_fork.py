"""fork_processes, task_id, cpu_count: each line of the contract, with real processes and signals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from ipyproc.process import fork
from tests.support import (
    PROGRAMS,
    PYTHONPATH,
    ROOT,
    lives,
    run_program,
    system_tells_taken_statuses,
    wait_until,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")

Facts = list[tuple[str, Any]]

WAYS_TO_SEE_EXITS = {
    "by pidfd": [],
    "by SIGCHLD": ["pidfd"],
    "by looking": ["pidfd", "main-thread"],
}
every_way = pytest.mark.parametrize("without", WAYS_TO_SEE_EXITS.values(), ids=WAYS_TO_SEE_EXITS.keys())
# Off the main thread Python allows no signal handler.
with_handlers = pytest.mark.parametrize("without", [[], ["pidfd"]], ids=["by pidfd", "by SIGCHLD"])


@dataclass
class Scenario:
    facts: Facts
    stdout: str
    stderr: str
    returncode: int

    def of(self, word: str) -> list[Any]:
        return [fact for heard, fact in self.facts if heard == word]


def command(*args: str) -> list[str]:
    return [sys.executable, "-W", "error", str(PROGRAMS / "fork_scenario.py"), *args]


def run(*args: str) -> Scenario:
    done = subprocess.run(command(*args), cwd=ROOT, env=environment(), capture_output=True, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    return Scenario(facts_in(out), out, err, done.returncode)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PYTHONPATH}


def facts_in(out: str) -> Facts:
    lines = re.findall(r"^([\w ]+?) (\[.*|\{.*|\".*|-?\d+|null|true|false)$", out, re.MULTILINE)
    return [(word, json.loads(fact)) for word, fact in lines]


@contextlib.contextmanager
def workers_of(*args: str, count: int = 2) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """Runs a scenario up to where ``count`` workers have told their pids; ends all of it afterwards."""
    parent = subprocess.Popen(
        command(*args), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    workers = []
    try:
        while len(workers) < count:
            line = parent.stdout.readline()
            assert line, parent.stderr.read().decode()
            workers += [psutil.Process(fact) for _, fact in facts_in(line.decode())]
        yield parent, workers
    finally:
        for process in [parent, *workers]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        parent.communicate()


def gone(workers: list[psutil.Process]) -> bool:
    return not any(map(lives, workers))


# What it returns


@every_way
def test_in_a_worker_it_returns_the_task_id_and_in_the_parent_none(without: list[str]) -> None:
    done = run("clean", *without)
    assert sorted(done.of("worker")) == [[n, n, True] for n in range(3)], "or fds were left open in a worker"
    [[returned, task, same_fds, children, frozen]] = done.of("parent")
    assert (returned, task, same_fds, children, frozen) == (None, None, True, False, 0)


def test_exit_parent_ends_the_parent_with_status_0_as_tornado_does() -> None:
    assert run("exit_parent").of("exit") == [0]


def test_none_zero_and_less_stand_for_cpu_count_workers() -> None:
    done = run("counts")
    [count] = done.of("cpu_count")
    assert sorted(done.of("worker")) == sorted(3 * list(range(count)))


def test_cpu_count_is_the_number_of_processors() -> None:
    assert fork.cpu_count() == os.cpu_count()


def test_task_id_is_none_outside_a_worker() -> None:
    assert fork.task_id() is None


def test_a_worker_cannot_fork_workers() -> None:
    assert "in worker 0" in run("worker_of_a_worker").of("error")[0]


def test_the_three_names_are_all_that_is_public() -> None:
    assert sorted(fork.__all__) == ["cpu_count", "fork_processes", "task_id"]


# Restarts


@every_way
def test_a_restart_has_the_same_task_id_a_new_pid_and_another_random_seed(without: list[str]) -> None:
    done = run("restart", *without)
    workers = done.of("worker")
    assert sorted(number for number, *_ in workers) == [0, 0, 0, 1]
    assert all(number == task for number, task, *_ in workers)
    assert len({pid for _, _, pid, _ in workers}) == 4
    assert len({drawn for *_, drawn in workers}) == 4
    assert done.of("parent") == [None]


@every_way
def test_too_many_restarts_raise_and_the_workers_still_alive_are_ended_first(without: list[str]) -> None:
    done = run("restarts_used_up", *without)
    assert done.of("error") == [
        "Too many child restarts, giving up (max_restarts is 2); the log says how each child ended."
    ]
    assert done.of("left") == [[False, True, 0]]


def test_max_restarts_none_means_100() -> None:
    done = run("none_means_a_hundred")
    assert len(done.of("worker")) == 101
    assert "(max_restarts is 100)" in done.of("error")[0]


@every_way
def test_where_fork_fails_the_error_is_the_callers_and_the_workers_before_are_ended(
    without: list[str],
) -> None:
    assert run("fork_fails", *without).of("left") == [False]


# Loops


def test_an_open_loop_is_refused_and_a_closed_one_is_not() -> None:
    run_program("fork_beside_loop.py")


# Whose children


@every_way
def test_a_strangers_child_keeps_its_exit_status(without: list[str]) -> None:
    assert run("strangers", *without).of("strangers") == [[7, 8]]


@with_handlers
def test_a_worker_reaped_by_a_stranger_has_its_status_or_255_with_a_warning(without: list[str]) -> None:
    done = run("reaped_by_a_stranger", *without)
    assert "Too many child restarts" in done.of("error")[0]
    known = not without and system_tells_taken_statuses()
    assert done.stderr.count("was taken by somebody else; reporting 255") == (0 if known else 2)
    assert done.stderr.count("exited with status 3" if known else "exited with status 255") == 2


@with_handlers
def test_exit_statuses_are_seen_where_sigchld_was_ignored_and_is_again_afterwards(without: list[str]) -> None:
    done = run("exits_ignored", *without)
    assert (done.of("worker"), done.of("parent"), done.returncode) == ([True], [True], 0)


# The parent is told to stop, or dies


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_reaches_the_workers_and_then_the_parent_dies_of_it(signum: int) -> None:
    with workers_of("told_to_stop") as (parent, workers):
        parent.send_signal(signum)
        out, _ = parent.communicate(timeout=60)
        assert sorted(fact for _, fact in facts_in(out.decode())) == [[0, signum], [1, signum]]
        assert parent.returncode == -signum
        assert gone(workers)


@with_handlers
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_ignores_the_signal_is_killed_after_the_grace_time(
    signum: int, without: list[str]
) -> None:
    with workers_of("deaf", *without) as (parent, workers):
        workers[0].suspend()
        parent.send_signal(signum)
        _, err = parent.communicate(timeout=60)
        assert err.count(b"was told to end and has not for 0.2 s; killing it") == 2
        assert parent.returncode == -signum
        assert gone(workers)


def test_where_the_callers_handler_lets_the_parent_go_on_it_raises_if_workers_ended_abnormally() -> None:
    with workers_of("goes_on_after_the_signal") as (parent, workers):
        parent.send_signal(signal.SIGTERM)
        out, _ = parent.communicate(timeout=60)
        assert facts_in(out.decode()) == [
            ("handler", signal.SIGTERM),
            (
                "error",
                "SIGTERM ended the workers, and 2 of them did not exit normally; "
                "the log says how each child ended.",
            ),
        ]


def test_control_c_in_a_terminal_reaches_each_worker_once() -> None:
    code = (
        "import os, signal, time\n"
        "from ipyproc.process import supervisor\n"
        "from ipyproc.process.fork import fork_processes\n"
        # The workers end by the terminal's own, however long that takes them.
        "supervisor._TERMINAL_HEAD_START_SECONDS = 60.0\n"
        "if fork_processes(2) is not None:\n"
        "    count = []\n"
        "    signal.signal(signal.SIGINT, lambda *_: count.append(1))\n"
        "    os.write(1, b'up\\n')\n"
        "    while not count: time.sleep(0.01)\n"
        "    time.sleep(0.2)\n"
        "    os.write(1, b'%d SIGINT\\n' % len(count))\n"
        "    os._exit(0)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-c", code], environment())
    said = b""
    try:
        with contextlib.suppress(OSError):  # EIO: the last process has closed the terminal
            while chunk := os.read(terminal, 1000):
                up = said.count(b"up")
                said += chunk
                if up < 2 == said.count(b"up"):
                    os.write(terminal, b"\x03")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    assert said.count(b"1 SIGINT") == 2, said


@pytest.mark.parametrize("without", [[], ["prctl"]], ids=["by prctl", "by pipe"])
def test_no_worker_outlives_a_parent_that_is_killed_outright(without: list[str]) -> None:
    with workers_of("lives_on", *without) as (parent, workers):
        parent.kill()
        parent.wait()
        wait_until(lambda: gone(workers))


def test_a_lifeline_that_is_a_pipe_costs_the_parent_no_fd_and_each_worker_one() -> None:
    done = run("clean", "prctl")
    assert [same_fds for *_, same_fds in done.of("worker")] == [False] * 3
    assert done.of("parent") == [[None, None, True, False, 0]]


@with_handlers
def test_handlers_and_mask_are_the_callers_own_in_each_worker_and_in_the_parent_again(
    without: list[str],
) -> None:
    done = run("handlers", *without)
    assert done.of("worker") == [[True] * 4] * 2
    assert done.of("parent") == [[True] * 4]


@with_handlers
def test_a_signal_that_arrives_while_forking_loses_no_worker(without: list[str]) -> None:
    done = run("signal_while_forking", *without)
    assert done.returncode == -signal.SIGTERM
    done = run("signal_raises_while_forking", *without)
    assert done.of("left") == [False], done.stderr


# What a worker costs, writes and logs


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_objects_alive_before_the_fork_are_not_copied_by_the_garbage_collector() -> None:
    done = run("memory")
    [[private, size]] = done.of("private")
    assert private < 0.25 * size
    assert done.of("parent") == [[0, 200_000]]


def test_objects_that_the_caller_has_frozen_stay_frozen() -> None:
    assert run("frozen_before").of("parent") == [True]


def test_text_that_was_buffered_before_the_fork_is_written_once() -> None:
    done = run("buffered")
    assert done.stdout.count("once") == 1
    assert done.stderr.count("once") == 1


def test_it_logs_on_tornado_general_in_tornados_words() -> None:
    lines = run("logged").stderr
    for level, text in [
        ("INFO", "Starting 2 processes"),
        ("WARNING", "child 0 (pid "),
        ("WARNING", ") exited with status 5, restarting"),
    ]:
        assert any(
            line.startswith(f"tornado.general {level}") and text in line for line in lines.splitlines()
        )


def test_tornados_own_test_passes() -> None:
    run_program("fork_tornados_test.py")


def test_windows_can_import_it_and_the_call_names_the_platform() -> None:
    run_program("fork_on_windows.py")


# The seam for a helper that shows and steers workers


@every_way
def test_a_supervisor_tells_each_event_and_takes_commands_while_it_waits(without: list[str]) -> None:
    done = run("steered", *without)
    facts = [(word, *fact.values()) if isinstance(fact, dict) else (word, fact) for word, fact in done.facts]
    assert facts[:-3] == [
        ("Started", 0),
        ("Started", 1),
        ("restart", True),
        ("Exited", 1, -signal.SIGTERM),
        ("Restarting", 1, 0),
        ("Started", 1),
        ("kill", True),
        ("Exited", 0, -signal.SIGKILL),
        ("Restarting", 0, 1),
        ("Started", 0),
        ("nobody", False),
        ("restart", False),
    ], done.stderr
    assert sorted(facts[-3:-1]) == [("Exited", 0, -signal.SIGTERM), ("Exited", 1, -signal.SIGTERM)]
    assert facts[-1] == ("parent", "<Supervisor without workers, 0 of 2 workers alive>")


@every_way
def test_an_observer_that_raises_leaves_no_worker(without: list[str]) -> None:
    assert run("observer_fails", *without).of("left") == [False]
