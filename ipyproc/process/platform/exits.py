"""Who notices that a child has exited: a pidfd on the child's own loop, or SIGCHLD.

A pidfd (Linux 5.3, `pidfd_open(2)`) becomes readable when its process exits. It needs no signal
handler, works in any thread, and costs the same however many children live. Where the system has
none, or refuses them, one SIGCHLD handler on a designated loop looks after all children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tornado.ioloop import IOLoop
from tornado.log import gen_log

from ipyproc.process.fds import is_want_of_fds
from ipyproc.process.loops import asyncio_loop, on_loop
from ipyproc.process.platform.ignored import is_ignored
from ipyproc.process.platform.pidfd import HAS_PIDFDS, LOST_STATUS, exit_status, must_open_pidfd, open_pidfd
from ipyproc.process.turns import turn_of

if TYPE_CHECKING:
    from types import FrameType

__all__ = [
    "LOST_STATUS",
    "Child",
    "Pidfd",
    "Sigchld",
    "early_pidfd",
    "has_exited",
    "reap",
    "sigchld",
    "watch",
    "watch_with_pidfd",
]

_LOOK_AGAIN_SECONDS = 0.01
_LOOKS_FOR_A_TAKEN_STATUS = 20

_SignalHandler = Callable[[int, "FrameType | None"], object] | int | None


class Child(Protocol):
    """What a watcher needs to know of a subprocess."""

    io_loop: IOLoop
    proc: subprocess.Popen[bytes]

    def _exited(self, status: int) -> None:
        """Take the exit status; called once, on `io_loop`."""


def reap(proc: subprocess.Popen[bytes]) -> int | None:
    """Take the exit status of a child that has exited, and leave ``proc.returncode`` in step.

    Returns:
        The exit status, negative for a signal; None while the child lives, or while another thread
        is taking the status through ``proc`` at this very moment.

    Raises:
        ChildProcessError: somebody took the status, and ``proc`` does not know it (yet).
    """
    # Popen.poll() makes up a 0 for a status that somebody else took: look first, take after.
    if proc.returncode is None and has_exited(proc.pid) is False:
        return None
    return proc.poll()


def has_exited(pid: int) -> bool | None:
    """Return whether a child has exited, and leave its exit status for whoever takes it.

    None where the system does not tell that (Python before 3.13 on macOS has no `os.waitid`).

    Raises:
        ChildProcessError: it is no child of this process, or its status has been taken.
    """
    if not hasattr(os, "waitid"):
        return None
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class Pidfd:
    """A pidfd, closed when nobody has it any more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the fd; harmless when it is closed."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def early_pidfd(pid: int) -> Pidfd | None:
    """Open a pidfd for a child that was started just now, while SIGCHLD is ignored.

    Once the child has gone nobody can open it, and only a pidfd from before tells its exit status.
    """
    fd = open_pidfd(pid)
    return None if fd is None else Pidfd(fd)


def watch(child: Child, pidfd: Pidfd | None = None) -> None:
    """Have ``child._exited`` called, on the child's loop, when the child has exited; call from any thread.

    Args:
        child: the child.
        pidfd: what `early_pidfd` gave for it.

    Raises:
        OSError: no more file descriptors may be opened (``EMFILE``, ``ENFILE``).
    """
    if pidfd is not None:
        on_loop(child.io_loop, _Watch(pidfd, child).register)
        return
    if sigchld.active:
        sigchld.watch(child)
        return
    sigchld.hand_over()
    if not watch_with_pidfd(child):
        sigchld.install(child.io_loop)
        sigchld.watch(child)


def _is_over(proc: subprocess.Popen[bytes]) -> bool:
    """Return whether the child has exited, even if another thread is taking its status at this moment."""
    try:
        exited = None if proc.returncode is not None else has_exited(proc.pid)
    except ChildProcessError:
        return True
    return proc.poll() is not None if exited is None else exited


def _settle(child: Child, pidfd: Pidfd | None = None, looks: int = _LOOKS_FOR_A_TAKEN_STATUS) -> None:
    """Deliver the status of a child that has certainly exited, whoever took or takes the status."""
    try:
        status = _status(child.proc, pidfd)
    except ChildProcessError:
        looks -= not _is_being_taken(child.proc)
        status = None if looks else _lost(child.proc.pid)
    if status is not None:
        if pidfd is not None:
            pidfd.close()
        child._exited(status)
    else:
        # Another thread may be inside Popen.wait(): about to take the status, or with it in hand and
        # not stored yet. Only a status that is gone and was not stored for a while is lost. And where
        # SIGCHLD is ignored, a pidfd is readable shortly before it knows the status.
        child.io_loop.call_later(_LOOK_AGAIN_SECONDS, _settle, child, pidfd, looks)


def _is_being_taken(proc: subprocess.Popen[bytes]) -> bool:
    """Return whether a thread is inside Popen.wait(), which it leaves with the status stored.

    By ``Popen._waitpid_lock``; where that is missing, it returns False, and a thread that gets no time for
    as long as the looks take is too late.
    """
    lock = getattr(proc, "_waitpid_lock", None)
    return lock is not None and bool(lock.locked())


def _status(proc: subprocess.Popen[bytes], pidfd: Pidfd | None) -> int | None:
    """Take or find the exit status; return and raise what `reap` does."""
    if proc.returncode is None:
        try:
            return reap(proc)
        except ChildProcessError:
            if pidfd is None or (status := exit_status(pidfd.fd)) is None:
                raise
            return status
    # Popen.wait() makes up a 0 for a status that it could not take.
    status = None if pidfd is None else exit_status(pidfd.fd)
    return proc.returncode if status is None else status


def _lost(pid: int) -> int:
    if is_ignored():
        gen_log.warning(
            "SIGCHLD is ignored in this process, so that the exit status of process %d is lost; reporting "
            "%d. Call signal.signal(signal.SIGCHLD, signal.SIG_DFL) before processes are started.",
            pid,
            LOST_STATUS,
        )
    else:
        gen_log.warning(
            "The exit status of process %d was taken by somebody else; reporting %d.", pid, LOST_STATUS
        )
    return LOST_STATUS


class _Watch:
    """One pidfd on one loop.

    The loop's selector holds the only reference: when the loop is closed, or forgotten, the fd goes
    with it.
    """

    def __init__(self, pidfd: Pidfd, child: Child) -> None:
        self._pidfd = pidfd
        self._child = child

    def register(self) -> None:
        loop = asyncio_loop(self._child.io_loop)
        if not loop.is_closed():
            loop.add_reader(self._pidfd.fd, self._readable)

    def _readable(self) -> None:
        loop = asyncio_loop(self._child.io_loop)
        if not turn_of(loop).is_spent(loop):
            loop.remove_reader(self._pidfd.fd)
            _settle(self._child, self._pidfd)


def watch_with_pidfd(child: Child) -> bool:
    """Watch by a pidfd; return False where the system has none or refuses them (a seccomp filter)."""
    if not HAS_PIDFDS:
        return False
    try:
        # Before it is opened: once it has been reaped, its number may be a stranger's.
        if child.proc.returncode is not None:
            raise ChildProcessError
        has_exited(child.proc.pid)
        pidfd = Pidfd(must_open_pidfd(child.proc.pid))
    except (ChildProcessError, ProcessLookupError):
        on_loop(child.io_loop, lambda: _settle(child))
        return True
    except OSError as error:
        if is_want_of_fds(error):
            raise
        return False
    on_loop(child.io_loop, _Watch(pidfd, child).register)
    return True


class Sigchld:
    """The SIGCHLD watcher: one handler, on one designated loop, for children of any loop."""

    def __init__(self) -> None:
        self._io_loop: IOLoop | None = None
        self._previous: _SignalHandler = None
        self._children: dict[int, Child] = {}

    @property
    def active(self) -> bool:
        """Return whether the handler is installed on a loop that is still open."""
        return self._io_loop is not None and not asyncio_loop(self._io_loop).is_closed()

    def install(self, io_loop: IOLoop) -> None:
        """Install the handler on ``io_loop``; harmless when one is there already.

        Raises:
            RuntimeError: off the main thread, where Python allows no signal handler.
        """
        if self.active:
            return
        if not _on_main_thread():
            raise RuntimeError(
                "Subprocess.initialize() was called off the main thread, where Python allows no signal "
                "handler; call it on the main thread, or not at all: where the system has pidfds, exits "
                "are seen without it."
            )
        previous = signal.getsignal(signal.SIGCHLD)
        asyncio_loop(io_loop).add_signal_handler(signal.SIGCHLD, self._sweep)
        if self._io_loop is None:
            self._previous = previous
        self._io_loop = io_loop
        self._sweep()

    def uninstall(self) -> None:
        """Remove the handler, put back the one before it, and hand what is watched to pidfds."""
        if self._io_loop is None:
            return
        loop = asyncio_loop(self._io_loop)
        if not loop.is_closed():
            loop.remove_signal_handler(signal.SIGCHLD)
        # None stands for a handler that was not installed from Python: it cannot be put back.
        if self._previous is not None:
            signal.signal(signal.SIGCHLD, self._previous)
        self._io_loop = self._previous = None
        self.hand_over()

    def forget_closed_loops(self) -> None:
        """Let go of loops that are closed, or are being closed; for who ends the children of such a loop.

        A loop closes the pipe that signals are written to first: of each child that exits after that, Python
        would print that it cannot write.
        """
        for pid, child in list(self._children.items()):
            if asyncio_loop(child.io_loop).is_closed():
                self._children.pop(pid, None)
        if self._io_loop is not None and not self.active and _on_main_thread():
            signal.set_wakeup_fd(-1)

    def hand_over(self) -> None:
        """Hand to pidfds what a handler that is gone was watching."""
        for pid, child in list(self._children.items()):
            if watch_with_pidfd(child):
                self._children.pop(pid, None)

    def watch(self, child: Child) -> None:
        """Watch one more child, which may have exited already."""
        self._children[child.proc.pid] = child
        self._look_at(child)

    def _sweep(self) -> None:
        for child in list(self._children.values()):
            self._look_at(child)

    def _look_at(self, child: Child) -> None:
        pid = child.proc.pid
        if asyncio_loop(child.io_loop).is_closed():
            self._children.pop(pid, None)
            return
        if _is_over(child.proc) and self._children.pop(pid, None) is not None:
            child.io_loop.add_callback(_settle, child)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


sigchld = Sigchld()
"""The process's one SIGCHLD watcher; signal dispositions are the whole process's too."""
