"""A stranger gets the number of a job that has gone: ``reused_pids.py KIND DEED``, in a new pid namespace.

A kernel has a job whose process has gone: KIND is ``backoff`` for one that waits for its restart, or ``left``
for one that has ended, and whose last process, which it left, has just gone too. A stranger in a session of
its own gets the number; with ``daemon`` the kernel was held for a while before that, and the stranger is a
daemon, whose session has no leader any more. Then the kernel does the DEED: ``stop``, ``kill``, ``end`` (of
the table), or ``die`` by SIGKILL, which leaves it to the warden. Prints the signals that the stranger got,
and ``alive``.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable

from ipyproc.job.table import JobTable
from ipyproc.model.state import JobState
from ipyproc.process.platform.sessions import session_members
from tests.jobs.trees import WITNESS
from tests.support import wait_until

LAST_PID = "/proc/sys/kernel/ns_last_pid"


async def warden_has_read(table: JobTable) -> None:
    """Waits until the warden knows of what has started and gone: it must not see the stranger instead."""
    program = table.local.resources.warden._program
    assert program is not None
    unread = array.array("i", [1])
    while program.pending or unread[0]:
        await asyncio.sleep(0.01)
        fcntl.ioctl(program._fd, termios.FIONREAD, unread)


async def kernel(kind: str) -> None:
    table = JobTable()
    if kind == "backoff":
        job = table.spawn("exit 1", restart="always", backoff=60, cap=60)
        while job.state is not JobState.BACKOFF:
            await asyncio.sleep(0.01)
        await warden_has_read(table)
        print(job.pid, 0, flush=True)
    else:
        job = table.spawn("sleep 60 >/dev/null 2>&1 & echo $!")
        await job
        assert job.left == 1
        await warden_has_read(table)
        print(job.pid, job.output.strip(), flush=True)
    if kind == "daemon":
        deed = sys.stdin.readline().strip()  # Nothing of the jobs is looked after meanwhile.
    else:
        deed = (await asyncio.to_thread(sys.stdin.readline)).strip()
    if deed == "stop":
        await job.stop(grace=0.2)
    elif deed == "kill":
        job.kill()
        await job.wait(raise_error=False)
        while job.left:
            await asyncio.sleep(0.01)
    elif deed == "end":
        table.end_all()
    print("done", flush=True)
    if deed != "end":
        table.end_all()


def give_number(pid: int, *, daemon: bool) -> subprocess.Popen[str]:
    """Start the stranger with a pid of our choice."""
    program = f"exit if fork; {WITNESS}" if daemon else WITNESS
    for _ in range(100):
        with open(LAST_PID, "w") as file:
            file.write(str(pid - 1))
        stranger = subprocess.Popen(
            ["perl", "-e", program], start_new_session=True, stdout=subprocess.PIPE, text=True
        )
        if stranger.pid == pid:
            return stranger
        # A thread of the kernel's was quicker.
        stranger.kill()
        stranger.communicate()
    raise AssertionError(f"nobody could be given the number {pid}")


def main(kind: str, deed: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", __file__, "kernel", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as its:
        assert its.stdin is not None and its.stdout is not None
        pid, left = map(int, its.stdout.readline().split())
        # The system counts hundredths of a second: the stranger is younger than the job.
        time.sleep(0.05)
        if left:
            os.kill(left, signal.SIGKILL)
            wait_until(lambda: not os.path.exists(f"/proc/{left}"))
        if kind == "daemon":
            time.sleep(2.2)
        stranger = give_number(pid, daemon=kind == "daemon")
        assert stranger.stdout is not None and stranger.stdout.readline() == "up\n"
        if kind == "daemon":
            stranger.wait()
        living = session_members(pid)
        if deed == "die":
            its.kill()
        else:
            its.stdin.write(f"{deed}\n")
            its.stdin.flush()
            assert its.stdout.readline() == "done\n"
    # The warden goes last.
    wait_until(lambda: not any("warden_program" in _words(other) for other in os.listdir("/proc")))
    assert session_members(pid) == living != [], f"{deed} has ended the stranger"
    os.killpg(pid, signal.SIGKILL)
    print(stranger.stdout.read() + "alive")
    stranger.wait()


def _words(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


def as_init(run: Callable[[], None]) -> int:
    """Run something in a child, and reap whatever becomes an orphan."""
    child = os.fork()
    if child == 0:
        run()
        sys.exit(0)
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    if sys.argv[1] == "kernel":
        asyncio.run(kernel(sys.argv[2]))
    else:
        sys.exit(as_init(lambda: main(sys.argv[1], sys.argv[2])))
