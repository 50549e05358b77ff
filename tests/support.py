"""What tests of every room use: bounded waiting, child programs, and what the process holds open."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from tornado.ioloop import IOLoop

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "tests" / "programs"
PYTHONPATH = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
"""Of what a test starts: it imports this checkout."""

OTHER_SHELLS = frozenset({"bash", "busybox", "dash", "perl", "zsh"})
"""The shells and interpreters that tests run scripts by, beside ``sh``; not every machine has them."""

NEW_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Runs a command in a pid namespace; there numbers can be given out, and its session's leader is outside."""
if os.geteuid() != 0:
    # A user may make one in a user namespace.
    NEW_NAMESPACE += ["--user", "--map-root-user"]

_MOST_FDS = 4096

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 60, interval: float = 0.005) -> T:
    """Polls until ``condition()`` is true and returns what it gave; AssertionError after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so within {timeout} s: {_source_of(condition)}"
        time.sleep(interval)
    return value


async def until(condition: Callable[[], T], timeout: float = 60, interval: float = 0.005) -> T:
    """`wait_until` for coroutines: the loop runs meanwhile."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so within {timeout} s: {_source_of(condition)}"
        await asyncio.sleep(interval)
    return value


def need_program(name: str) -> None:
    """Skips a test for want of a program, unless ``IPYPROC_BROWSER=required`` says that all must be there."""
    if shutil.which(name) is None:
        if os.environ.get("IPYPROC_BROWSER") == "required":
            pytest.fail(f"{name} was not found, and IPYPROC_BROWSER=required says that it must be there")
        pytest.skip(f"{name} is not on this machine; .ci/run installs it")


def _source_of(condition: Callable[[], object]) -> str:
    code = getattr(condition, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(condition)


def run_program(name: str, *args: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
    """Runs ``tests/programs/<name>`` in a fresh interpreter where warnings are errors.

    AssertionError with all that it printed unless it exits with status 0.
    """
    return run_python(str(PROGRAMS / name), *args, timeout=timeout)


def run_python(*args: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter from the root of the project; AssertionError unless it exits with 0."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{args} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextmanager
def loop_in_a_thread() -> Iterator[IOLoop]:
    """A loop that runs in another thread, and is not the current one here."""
    loops: list[IOLoop] = []
    stops: list[asyncio.Event] = []
    started = threading.Event()

    async def main() -> None:
        stops.append(asyncio.Event())
        loops.append(IOLoop.current())
        started.set()
        await stops[0].wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert started.wait(60)
    try:
        yield loops[0]
    finally:
        loops[0].add_callback(stops[0].set)
        thread.join(60)


def system_tells_taken_statuses() -> bool:
    """Whether a pidfd tells the exit status of a process that somebody else has reaped (Linux 6.15)."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return sys.platform == "linux" and version is not None and tuple(map(int, version.groups())) >= (6, 15)


def open_all_that_may_be() -> list[int]:
    """Opens files until no more may be; returns their fds."""
    fds = []
    try:
        while True:
            fds.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE, error
    return fds


def open_fds_below(limit: int) -> list[int]:
    """The open file descriptors, found with none to spare: to read a directory takes one."""
    fds = []
    for fd in range(limit):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            continue
        fds.append(fd)
    return fds


def open_fds() -> dict[int, str]:
    """The open file descriptors of this process, and what each refers to."""
    if not os.path.exists("/proc/self/stat"):
        return dict(_open_fds_by_fstat())
    fds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            fds[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # The directory listing's own.
    return fds


def steady_fds() -> dict[int, str]:
    """`open_fds`, but for those by which a thread looks at the system's processes just now."""
    return {fd: target for fd, target in open_fds().items() if not target.startswith("/proc")}


def _open_fds_by_fstat() -> Iterator[tuple[int, str]]:
    """Each open file descriptor, and what tells apart what they refer to where no ``/proc`` does."""
    kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFREG: "file"}
    for fd in range(_MOST_FDS):
        try:
            status = os.fstat(fd)
        except OSError:
            continue  # It is not open, or a thread has closed it just now.
        if stat.S_ISDIR(status.st_mode):
            continue  # Of a thread that lists the processes just now.
        kind = kinds.get(stat.S_IFMT(status.st_mode), "other")
        yield fd, f"{kind}:[{status.st_dev}:{status.st_ino}:{status.st_rdev}]"


def lives(process: psutil.Process | int) -> bool:
    """Whether a process, or that of a pid, runs; a zombie does not."""
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def child_pids() -> set[int]:
    """Every child of this process, zombies included."""
    if hasattr(os, "waitid"):
        # At once, where there is none.
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return set()
    return {child.pid for child in psutil.Process().children()}


@dataclass(frozen=True)
class Holdings:
    """What this process holds at one moment, of all that a test has to give back."""

    fds: dict[int, str]
    children: set[int]
    # Weakly: a strong reference would keep what the thread's object refers to.
    threads: weakref.WeakSet[threading.Thread]
    files: set[str]
    kept: dict[int, str]

    @classmethod
    def now(cls) -> Holdings:
        temporary = os.listdir(tempfile.gettempdir())
        return cls(
            fds=open_fds(),
            children=child_pids(),
            threads=weakref.WeakSet(threading.enumerate()),
            files={name for name in temporary if name.startswith("ipyproc")},
            kept=kept_processes(),
        )

    def left_over(self) -> list[str]:
        """A line for each thing held now that was not held then, and for each fd lost since."""
        now = Holdings.now()
        then_open, now_open = Counter(self.fds.values()), Counter(now.fds.values())
        # By what they refer to: the same file may have come back under another number.
        opened, lost = now_open - then_open, then_open - now_open
        lines = [f"{n} fd to {target}, of {_numbers(now.fds, target)}" for target, n in opened.items()]
        lines += [
            f"fd to {target} was closed, of {_numbers(self.fds, target)}, and was not the test's"
            for target in lost
        ]
        lines += [f"process {_describe(pid)}" for pid in sorted(now.children - self.children)]
        lines += [f"thread {thread.name!r}" for thread in now.threads - self.threads]
        lines += [f"temporary file {name}" for name in sorted(now.files - self.files)]
        lines += [f"process of a kept job {now.kept[pid]}" for pid in now.kept.keys() - self.kept.keys()]
        return lines


def kept_processes() -> dict[int, str]:
    """The holders and runners of the kept jobs of this run, by their pids, with what they were started by."""
    state = os.environ["XDG_STATE_HOME"]
    found = {}
    # Most tests keep nothing.
    for name in os.listdir("/proc") if os.path.isdir(os.path.join(state, "ipyproc")) else ():
        if name.isdigit():
            with suppress(OSError):
                words = Path("/proc", name, "cmdline").read_text("utf-8", "replace")
                if f"\0{state}/" in words and "hosts.keeper" in words:
                    found[int(name)] = words.replace("\0", " ")
    return found


def _numbers(fds: dict[int, str], target: str) -> list[int]:
    return [fd for fd, its_target in fds.items() if its_target == target]


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return f"{pid} {process.status()} {process.name()}"
    except psutil.NoSuchProcess:
        return f"{pid}, just gone"


def collect_until_nothing_is_left(before: Holdings, timeout: float = 60) -> list[str]:
    """Waits until all is back that was not held ``before``; returns what is left after ``timeout`` s."""
    if not (left := before.left_over()):
        return []
    deadline = time.monotonic() + timeout
    while left and time.monotonic() < deadline:
        gc.collect()
        if left := before.left_over():
            time.sleep(0.01)
    return left


def kernel_environment(home: Path) -> dict[str, str]:
    """The environment of a kernel that imports this checkout, and keeps its own files below ``home``."""
    return {**os.environ, "PYTHONPATH": PYTHONPATH, "IPYTHONDIR": str(home / "ipython")}
