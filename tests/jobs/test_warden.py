from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from tornado.ioloop import IOLoop

import ipyproc.hosts.local.warden as warden_module
from ipyproc.hosts.local.warden import Warden, end_sessions
from ipyproc.process.platform import processes as processes_module
from ipyproc.process.platform.pty import made_at, number_of
from ipyproc.process.platform.sessions import session_members
from ipyproc.process.warden_program import _sessions_holding
from tests.support import NEW_NAMESPACE, PROGRAMS, PYTHONPATH, lives, open_fds, run_program, until, wait_until

pytestmark = pytest.mark.timeout(120)

ARGUMENTS = [str(os.getpid()), str(os.getsid(0))]
NOBODY = 10**8  # Above the highest process id that Linux gives.


def kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        pass


class Kernel:
    """A `warden_kernel.py`, with all that it started."""

    def __init__(self, *args: str) -> None:
        self.proc = subprocess.Popen(
            [sys.executable, "-W", "error", PROGRAMS / "warden_kernel.py", *args],
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.jobs: dict[str, list[psutil.Process]] = {}
        self.read()

    def read(self) -> None:
        assert self.proc.stdout is not None
        told = json.loads(self.proc.stdout.readline())
        self.warden = psutil.Process(told["warden"])
        self.fork = psutil.Process(told["fork"]) if told["fork"] else None
        if not self.jobs:
            self.jobs = {kind: [psutil.Process(pid) for pid in pids] for kind, pids in told["jobs"].items()}

    def kill(self) -> None:
        self.proc.kill()
        self.proc.wait()

    def living(self) -> list[str]:
        return [kind for kind, processes in self.jobs.items() for process in processes if lives(process)]

    def clean_up(self) -> None:
        self.kill()
        for process in [self.warden, *(process for job in self.jobs.values() for process in job)]:
            kill(process)
        if self.fork is not None:
            kill(self.fork)
        assert self.proc.stdout is not None
        self.proc.stdout.close()


@contextmanager
def kernel(*args: str) -> Iterator[Kernel]:
    kernel = Kernel(*args)
    try:
        yield kernel
    finally:
        kernel.clean_up()


@contextmanager
def session(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A job in a session of its own, reaped at the end; by default one that sleeps."""
    with subprocess.Popen(
        command or ["sleep", "60"], start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as job:
        try:
            yield job
        finally:
            job.kill()


@contextmanager
def sessions(n: int) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        yield [stack.enter_context(session()) for _ in range(n)]


@contextmanager
def job(kind: str) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A `warden_job.py` and its processes, all of them killed at the end."""
    with session(sys.executable, "-S", str(PROGRAMS / "warden_job.py"), kind) as leader:
        assert leader.stdout is not None
        processes = [psutil.Process(int(pid)) for pid in leader.stdout.readline().split()]
        try:
            yield leader, processes
        finally:
            for process in processes:
                kill(process)


@pytest.fixture(autouse=True)
def patient(killed_are_waited_for: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warden that a slow machine delays is not taken for one that hangs."""
    monkeypatch.setattr(warden_module, "_END_SECONDS", 60.0)
    monkeypatch.setattr(warden_module, "_FLUSH_SECONDS", 60.0)


@pytest.fixture
def warden(patient: None) -> Iterator[Warden]:
    warden = Warden()
    yield warden
    warden.close()


def started(pid: int | None) -> psutil.Process:
    assert pid is not None
    return psutil.Process(pid)


@pytest.mark.parametrize("fork", ["no", "fork", "raw"])
def test_nothing_of_the_jobs_runs_two_seconds_after_the_kernel_was_killed(fork: str) -> None:
    with kernel(fork, "family", "orphan", "stubborn", "groups", "stopped") as it:
        assert len(it.living()) == 11
        assert all(lives(process) for job in it.jobs.values() for process in job)
        it.kill()
        wait_until(lambda: not it.living())
        wait_until(lambda: not lives(it.warden))
        assert it.fork is None or lives(it.fork)


def test_a_released_session_outlives_the_kernel() -> None:
    with kernel("no", "family", "-groups") as it:
        it.kill()
        wait_until(lambda: not lives(it.warden))
        assert it.living() == ["groups"] * 3


def test_a_kernel_killed_after_its_warden_was_killed_leaves_nothing() -> None:
    with kernel("no", "family", "groups") as it:
        before = it.warden
        before.kill()
        it.read()
        assert it.warden != before
        it.kill()
        wait_until(lambda: not it.living())


def test_a_kernel_and_its_warden_gone_before_the_warden_began_leave_nothing() -> None:
    with sessions(1) as (guarded,):
        # An argument that names a process long gone, as when the kernel died while this started.
        gone = subprocess.Popen(["true"])
        gone.wait()
        read_end, write_end = os.pipe()
        program = subprocess.Popen(warden_module.program(str(gone.pid), str(os.getsid(0))), stdin=read_end)
        os.close(read_end)
        os.write(write_end, b"+%d\n" % guarded.pid)
        # The pipe stays open here, as in a fork of that kernel.
        try:
            assert program.wait(30) == 0
        finally:
            os.close(write_end)
            program.wait()
        assert guarded.wait(30) == -signal.SIGTERM


def test_no_warden_runs_before_something_is_guarded(warden: Warden) -> None:
    assert (warden.pid, warden.alive(), repr(warden)) == (None, False, "<Warden not running>")
    warden.release(NOBODY)
    warden.close()
    assert warden.pid is None


def test_the_warden_has_a_session_of_its_own_and_one_is_enough(warden: Warden) -> None:
    with sessions(2) as (one, two):
        warden.guard(one.pid)
        pid = warden.pid
        warden.guard(two.pid)
        assert started(pid).pid == warden.pid == os.getsid(warden.pid or 0)
        assert warden.alive()
        assert repr(warden) == f"<Warden running, pid {pid}, guards 2>"
        warden.release(one.pid)
        warden.release(two.pid)


def test_close_ends_the_warden_and_only_what_is_still_guarded(warden: Warden) -> None:
    with sessions(3) as (guarded, released, stranger):
        warden.guard(guarded.pid)
        warden.guard(released.pid)
        warden.release(released.pid)
        process = started(warden.pid)
        warden.close()
        assert guarded.wait(30) == -signal.SIGTERM
        assert (released.poll(), stranger.poll()) == (None, None)
        assert not psutil.pid_exists(process.pid)
        assert warden.pid is None
        warden.close()


def test_after_close_a_guard_starts_another_warden(warden: Warden) -> None:
    with sessions(1) as (job,):
        warden.guard(job.pid)
        warden.close()
        job.wait()
    with sessions(1) as (job,):
        warden.guard(job.pid)
        assert warden.alive()
        warden.close()
        assert job.wait(30) == -signal.SIGTERM


def test_a_killed_warden_is_replaced_at_the_next_message(
    warden: Warden, caplog: pytest.LogCaptureFixture
) -> None:
    with sessions(3) as (one, two, three):
        warden.guard(one.pid)
        warden.guard(three.pid)
        before = started(warden.pid)
        before.kill()
        wait_until(lambda: not lives(before))
        warden.release(three.pid)
        assert warden.alive() and warden.pid != before.pid
        warden.guard(two.pid)
        assert [record.name for record in caplog.records] == ["ipyproc"]
        assert f"(pid {before.pid}) was ended by SIGKILL; (pid {warden.pid}) running" in caplog.text
        warden.close()
        assert (one.wait(30), two.wait(30)) == (-signal.SIGTERM, -signal.SIGTERM)
        assert three.poll() is None


def test_revive_replaces_a_killed_warden_that_has_something_to_guard(warden: Warden) -> None:
    assert not warden.revive()
    with sessions(1) as (job,):
        warden.guard(job.pid)
        assert not warden.revive()
        before = started(warden.pid)
        before.kill()
        wait_until(lambda: not warden.alive())
        assert warden.pid is None
        assert warden.revive()
        assert warden.alive()
        warden.release(job.pid)
        started(warden.pid).kill()
        wait_until(lambda: not warden.alive())
        assert not warden.revive()


def test_a_warden_moves_to_another_loop_and_watching_twice_costs_no_fd(warden: Warden) -> None:
    async def killed_and_replaced() -> None:
        warden.watch(IOLoop.current())
        fds = len(open_fds())
        warden.watch(IOLoop.current())
        assert len(open_fds()) == fds
        before = warden.pid
        started(before).kill()
        await until(lambda: warden.pid not in (None, before))

    with sessions(1) as (job,):
        warden.guard(job.pid)
        for _ in range(2):
            asyncio.run(killed_and_replaced())
        warden.close()
        assert job.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("when", ["before the first guard", "after it"])
def test_a_watched_warden_is_replaced_as_soon_as_it_is_killed(
    warden: Warden, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with sessions(1) as (job,):
            if when == "before the first guard":
                warden.watch(IOLoop.current())
                warden.guard(job.pid)
            else:
                warden.guard(job.pid)
                warden.watch(IOLoop.current())
            for _ in range(2):
                before = warden.pid
                started(before).kill()
                await until(lambda: warden.pid not in (None, before))
            assert len(caplog.records) == 2
            warden.close()
            assert job.wait(30) == -signal.SIGTERM
            # The closed warden's exit is still to come round to the loop.
            await asyncio.sleep(0.02)
            assert warden.pid is None

    asyncio.run(main())


def test_a_warden_that_always_dies_at_once_is_given_up_until_the_next_job(
    warden: Warden, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        warden.watch(IOLoop.current())
        with sessions(2) as (one, two):
            with monkeypatch.context() as patch:
                patch.setattr(sys, "executable", "/bin/false")
                patch.setattr(warden_module, "_STABLE_SECONDS", 60.0)
                warden.guard(one.pid)
                await until(lambda: "each at once; the next job tries again" in caplog.text)
            assert not warden.alive()
            warden.guard(two.pid)
            assert warden.alive()
            warden.close()
            assert (one.wait(30), two.wait(30)) == (-signal.SIGTERM, -signal.SIGTERM)

    asyncio.run(main())


def test_a_warden_that_cannot_be_started_is_logged_and_tried_again(
    warden: Warden, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with sessions(2) as (one, two):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(tmp_path / "missing"))
            warden.guard(one.pid)
        assert "The warden cannot be started ([Errno 2]" in caplog.text
        assert warden.pid is None
        warden.guard(two.pid)
        warden.close()
        assert (one.wait(30), two.wait(30)) == (-signal.SIGTERM, -signal.SIGTERM)


def test_a_warden_that_does_not_read_never_blocks_the_kernel_and_misses_nothing(warden: Warden) -> None:
    with sessions(1) as (job,):
        warden.guard(job.pid)
        process = started(warden.pid)
        process.suspend()
        for number in range(NOBODY, NOBODY + 10_000):
            warden.guard(number)
        warden.release(job.pid)
        process.resume()
        warden.close()
        assert job.poll() is None


def test_a_watching_loop_sends_on_what_the_pipe_did_not_take(warden: Warden) -> None:
    async def main() -> None:
        warden.watch(IOLoop.current())
        with sessions(1) as (job,):
            warden.guard(NOBODY)
            process = started(warden.pid)
            process.suspend()
            wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
            for number in range(NOBODY, NOBODY + 10_000):
                warden.guard(number)
            warden.guard(job.pid)
            assert warden._program is not None and warden._program.pending
            process.resume()
            await until(lambda: warden._program is not None and not warden._program.pending)
            warden.close()
            assert job.wait(30) == -signal.SIGTERM

    asyncio.run(main())


def test_close_kills_a_warden_that_hangs_and_does_its_work(
    warden: Warden, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warden_module, "_END_SECONDS", 0.1)
    with sessions(1) as (job,):
        warden.guard(job.pid)
        process = started(warden.pid)
        process.suspend()
        warden.close()
        assert f"(pid {process.pid}) does not end: SIGKILL" in caplog.text
        assert job.wait(30) == -signal.SIGTERM
        assert not psutil.pid_exists(process.pid)


def test_the_warden_is_deaf_to_the_signals_that_ask(warden: Warden) -> None:
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with sessions(1) as (job,):
        warden.guard(job.pid)
        process = started(warden.pid)
        wait_until(lambda: all(ignores(process.pid, signum) for signum in asked))
        for signum in asked:
            process.send_signal(signum)
        warden.close()
        assert job.wait(30) == -signal.SIGTERM


def ignores(pid: int, signum: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    return False


def test_jobs_do_not_inherit_the_pipe_to_the_warden(warden: Warden) -> None:
    before = set(open_fds().values())
    warden.guard(NOBODY)
    pipe = set(open_fds().values()) - before
    assert len(pipe) == 1
    with sessions(1) as (job,):
        fds = Path(f"/proc/{job.pid}/fd")
        assert pipe.isdisjoint(os.readlink(fd) for fd in fds.iterdir())


def test_guard_and_release_may_be_called_from_any_thread(warden: Warden) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 300):
            warden.guard(number)
            warden.release(number)

    with sessions(1) as (job,):
        threads = [threading.Thread(target=work, args=(NOBODY + 1000 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        warden.guard(job.pid)
        for thread in threads:
            thread.join()
        assert repr(warden).endswith("guards 1>")
        warden.close()
        assert job.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("sid", [0, 1, -5, os.getsid(0)])
def test_the_kernels_own_session_and_no_session_are_refused(warden: Warden, sid: int) -> None:
    with pytest.raises(ValueError, match=f"The session {sid} is "):
        warden.guard(sid)
    with pytest.raises(ValueError, match=f"The session {sid} is "):
        end_sessions([sid])


def test_an_exit_without_close_and_a_fork_say_nothing_and_leave_nothing() -> None:
    done = run_program("warden_exit.py")
    assert done.stderr == ""
    wait_until(lambda: not any(lives(int(pid)) for pid in done.stdout.split()))


def test_a_forgotten_warden_ends() -> None:
    forgotten = Warden()
    forgotten.guard(NOBODY)
    pid = forgotten.pid
    assert pid is not None
    del forgotten
    assert not psutil.pid_exists(pid)


def run_warden(stdin: int, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        warden_module.program(*args), stdin=stdin, stderr=subprocess.PIPE, text=True, timeout=60
    )


@pytest.mark.parametrize("args", [[], ["kernel", "1"], ["0", "1"], ["1"], ["1", "-2"], ["1", "2", "3"]])
def test_run_with_odd_arguments_the_warden_explains_itself(args: list[str]) -> None:
    done = run_warden(subprocess.DEVNULL, *args)
    assert done.returncode == 2
    assert "the arguments are the kernel's pid and session" in done.stderr
    assert done.stderr.count("\n") == 1


def test_run_in_a_terminal_the_warden_explains_itself() -> None:
    ours, its = pty.openpty()
    try:
        done = run_warden(its, *ARGUMENTS)
    finally:
        os.close(ours)
        os.close(its)
    assert done.returncode == 2
    assert "stdin is a terminal" in done.stderr
    assert done.stderr.count("\n") == 1


def test_run_with_stdin_from_elsewhere_the_warden_explains_itself() -> None:
    done = run_warden(subprocess.DEVNULL, *ARGUMENTS)
    assert done.returncode == 2
    assert "stdin is no pipe" in done.stderr


def test_odd_messages_are_left_out_and_a_last_one_without_an_end_is_not_taken() -> None:
    with sessions(2) as (guarded, cut_off):
        text = f"hello\n?-3\n+1\n+0\n\n+12x\n+{guarded.pid}\n+{os.getsid(0)}\n+{cut_off.pid}"
        read_end, write_end = os.pipe()
        os.write(write_end, text.encode())
        os.close(write_end)
        try:
            done = run_warden(read_end, *ARGUMENTS)
        finally:
            os.close(read_end)
        assert done.returncode == 0
        assert done.stderr.count("left out the message") == 7
        assert guarded.wait(30) == -signal.SIGTERM
        assert cut_off.poll() is None


@pytest.mark.parametrize("around", [[], NEW_NAMESPACE], ids=["here", "with a session leader outside"])
def test_what_a_kernel_was_about_to_start_is_found_after_its_first_process_has_gone(
    around: list[str],
) -> None:
    done = subprocess.run(
        [*around, sys.executable, "-W", "error", PROGRAMS / "expected_session.py"],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.stdout == "False True\n"


def test_an_expected_terminal_is_told_from_a_strangers_of_the_same_number() -> None:
    master, slave = pty.openpty()
    number = number_of(slave)
    assert number is not None
    with (
        subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.PIPE) as piped,
        subprocess.Popen(["sleep", "60"], start_new_session=True, stdin=slave) as on_terminal,
    ):
        try:
            assert piped.stdout is not None
            inode = os.fstat(piped.stdout.fileno()).st_ino
            ours = {inode: [inode], -number - 1: [-number - 1, made_at(slave)]}
            # A kernel that has gone had that number before.
            strangers = {-number - 1: [-number - 1, made_at(slave) - 10**9]}
            session = os.getsid(0)
            assert _sessions_holding(ours, session) == {piped.pid, on_terminal.pid}
            assert _sessions_holding(strangers, session) == set()
            # As when the kernel has gone.
            os.close(master)
            assert _sessions_holding(ours, session) == {piped.pid, on_terminal.pid}
            assert _sessions_holding(strangers, session) == set()
        finally:
            piped.kill()
            on_terminal.kill()
            os.close(slave)


def test_session_members_are_those_of_every_group_and_no_zombies() -> None:
    with job("groups") as (leader, processes):
        assert session_members(leader.pid) == sorted(process.pid for process in processes)
        # Its parent does not reap it.
        processes[2].kill()
        wait_until(lambda: processes[2].status() == psutil.STATUS_ZOMBIE)
        assert session_members(leader.pid) == sorted(process.pid for process in processes[:2])
    wait_until(lambda: session_members(leader.pid) == [])


def test_a_process_whose_first_thread_has_ended_still_counts() -> None:
    with job("headless") as (leader, _):
        wait_until(lambda: psutil.Process(leader.pid).status() == psutil.STATUS_ZOMBIE)
        assert session_members(leader.pid) == [leader.pid]
        end_sessions([leader.pid])
        assert session_members(leader.pid) == []


def test_end_sessions_leaves_zombies_to_be_reaped_and_is_done_at_once() -> None:
    with sessions(2) as jobs:
        began = time.monotonic()
        end_sessions([job.pid for job in jobs], grace=100)
        assert time.monotonic() - began < 50
        assert [job.returncode for job in jobs] == [None, None]
        assert [job.wait(30) for job in jobs] == [-signal.SIGTERM] * 2


def test_end_sessions_kills_what_ignores_sigterm_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with job("stubborn") as (leader, processes), sessions(1) as (bystander,):
        end_sessions([leader.pid], grace=0.05)
        assert not any(lives(process) for process in processes)
        assert leader.wait(30) == -signal.SIGKILL
        assert caplog.messages == ["SIGKILL to 2 processes that lived on for 0.05 s after a SIGTERM."]
        assert caplog.records[0].levelno == logging.WARNING
        assert bystander.poll() is None


def test_end_sessions_of_none_and_of_ended_ones_returns() -> None:
    end_sessions([])
    with session("true") as ended:
        ended.wait()
        end_sessions([ended.pid, NOBODY])


def test_where_the_system_lists_no_processes_the_first_group_stands_for_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes_module, "_listing", None)
    with job("family") as (leader, processes):
        assert session_members(leader.pid) == [leader.pid]
        # A zombie's group cannot be told from a living one there.
        reaper = threading.Thread(target=leader.wait)
        reaper.start()
        end_sessions([leader.pid])
        reaper.join()
        assert not any(lives(process) for process in processes)
