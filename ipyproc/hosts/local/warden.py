"""The kernel's client of the warden: a small process that ends the jobs' sessions if the kernel is killed.

`ipyproc.process.warden_program` is the program, and documents the messages.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

from tornado.ioloop import IOLoop

from ipyproc.errors import signal_name
from ipyproc.process.platform import exits, sessions
from ipyproc.process.platform.processes import start_time

__all__ = ["Warden", "end_sessions", "program"]

_log = logging.getLogger("ipyproc")

_HOME = str(Path(__file__).resolve().parents[3])
# -I and -S: no module of the folder that the kernel works in, and no site-packages.
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_HOME!r}); "
    "from ipyproc.process.warden_program import main; sys.exit(main(sys.argv[1:]))"
)
_END_SECONDS = 3.0
_FLUSH_SECONDS = 0.5
_RETRY_SECONDS = 0.1
_STABLE_SECONDS = 1.0
_MAX_QUICK_DEATHS = 5


class Warden:
    """The kernel's client of the warden.

    The first `guard` starts the program, without waiting for it. If the program is killed, it is replaced:
    at once if a loop watches it (`watch`), otherwise at the next message. No method raises if the warden
    could not be started or does not read; that is logged, and tried again at the next message. Any thread
    may call any method. In a fork of the kernel no method does anything, since the jobs are the kernel's.

    Example::

        warden = Warden()
        job = subprocess.Popen(["make"], start_new_session=True)
        warden.guard(job.pid)
        job.wait()
        warden.release(job.pid)
        warden.close()
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._guarded: dict[int, None] = {}
        self._expected: dict[int, bytes] = {}
        self._directories: dict[str, None] = {}
        self._program: _Program | None = None
        self._io_loop: IOLoop | None = None
        self._retry_queued = False
        self._quick_deaths = 0
        _wardens.add(self)

    def __repr__(self) -> str:
        if (pid := self.pid) is None:
            return "<Warden not running>"
        return f"<Warden running, pid {pid}, guards {len(self._guarded)}>"

    @property
    def pid(self) -> int | None:
        """The pid of the warden; None before the first `guard`, and after its exit was seen."""
        program = self._program
        return program.proc.pid if program is not None and program.proc.returncode is None else None

    def expect(self, marks: Sequence[int]) -> None:
        """Guard a process that is about to be started, and has no number yet.

        Args:
            marks: the inodes of the pipes that it gets, or -N - 1 for the terminal ``/dev/pts/N`` and the
                time at which that was made, by which the warden finds it if the kernel is killed before
                `guard` or `cancel` is called. The first names it there.
        """
        with self._lock:
            if self._owner == os.getpid():
                message = b"?%s\n" % b" ".join(b"%d" % mark for mark in marks)
                self._expected[marks[0]] = message
                self._send(message)

    def cancel(self, mark: int) -> None:
        """Forget a process that was given to `expect` but could not be started."""
        with self._lock:
            if self._expected.pop(mark, None) is not None:
                self._send(b"!%d\n" % mark)

    def guard(self, sid: int, mark: int | None = None) -> None:
        """Let the warden end the session ``sid`` if the kernel dies.

        Args:
            sid: the session of a job, which the job leads.
            mark: the first of those given to `expect`; None if it was not called.

        Raises:
            ValueError: that session is the kernel's own, or not a job's.
        """
        sessions.need_other_session(sid)
        with self._lock:
            if self._owner == os.getpid():
                self._guarded[sid] = None
                if mark is not None and self._expected.pop(mark, None) is not None:
                    self._send(b"+%d %d\n" % (sid, mark))
                else:
                    self._send(b"+%d\n" % sid)

    def release(self, sid: int) -> None:
        """Forget the session ``sid``; harmless when it is not guarded.

        Where a loop is watched, the program is told a moment later, of all that were released by then: the
        number of a session that has gone is not given to another that soon.
        """
        with self._lock:
            if sid not in self._guarded:
                return
            del self._guarded[sid]
            program, message = self._program, b"-%d\n" % sid
            if program is not None and self._io_loop is not None:
                program.pending += message
                self._queue_retry(program)
            else:
                self._send(message)

    def clear(self, directory: str) -> None:
        """Let the warden remove a private directory if the kernel is killed; it need not exist yet.

        See `ipyproc.process.leftovers`. This starts no program: the next `guard` passes it on.
        """
        with self._lock:
            if self._owner == os.getpid() and directory not in self._directories:
                self._directories[directory] = None
                if self._program is not None:
                    self._send(_clear_message(directory))

    def alive(self) -> bool:
        """Return True if the program runs; this asks the system."""
        with self._lock:
            return self._program is not None and self._program.alive()

    def revive(self) -> bool:
        """Replace a warden that was killed while it had sessions to guard.

        Returns:
            True if another one was started.
        """
        with self._lock:
            if not self._guarded or (self._program is not None and self._program.alive()):
                return False
            return self._start()

    def watch(self, io_loop: IOLoop) -> None:
        """Watch the warden's exit on ``io_loop`` from now on, and replace it at once."""
        with self._lock:
            if io_loop is self._io_loop:
                return
            self._io_loop = io_loop
            self._retry_queued = False  # The loop before may be closed, with what was queued on it.
            if self._program is not None:
                self._program.watch(io_loop)

    def close(self) -> None:
        """End the warden and every session that is still guarded; return when the warden is reaped.

        This takes milliseconds if nothing is guarded, and a few seconds at most. A later `guard` starts
        another warden.
        """
        with self._lock:
            program, self._program = self._program, None
            guarded, self._guarded = self._guarded, {}
            self._expected, self._directories = {}, {}
        # A warden that was killed or stopped has not ended the sessions.
        if program is not None and program.end() != 0:
            end_sessions(guarded)

    def _send(self, message: bytes) -> None:
        program = self._program
        if program is not None and program.alive() and program.send(message):
            self._queue_retry(program)
        elif self._guarded or self._expected:
            self._start()

    def _start(self) -> bool:
        """Start a warden in place of the one before, which guards the same sessions."""
        before = self._program
        if not sys.executable:
            _log.warning(
                "The warden cannot be started (Python does not know its own program); "
                "jobs would outlive a kernel that is killed."
            )
            return False
        if before is not None:
            if before.ended:
                return False  # The interpreter exits, and has ended it: none may follow.
            before.proc.kill()
            before.end()
            quick = time.monotonic() - before.started_at < _STABLE_SECONDS
            self._quick_deaths = self._quick_deaths + 1 if quick else 0
            self._program = None
        try:
            directories = [_clear_message(directory) for directory in self._directories]
            sessions = [b"+%d\n" % sid for sid in self._guarded]
            first = b"".join([*directories, *self._expected.values(), *sessions])
            self._program = program = _Program(self, first)
        except OSError as error:
            _log.warning(
                "The warden cannot be started (%s); jobs would outlive a kernel that is killed.", error
            )
            return False
        if before is not None:
            _log.warning("The warden %s; %s replaces it.", before, program)
        self._queue_retry(program)
        if self._io_loop is not None:
            program.watch(self._io_loop)
        return True

    def _exited(self, program: _Program) -> None:
        with self._lock:
            if program is not self._program or not self._guarded:
                return
            if self._quick_deaths < _MAX_QUICK_DEATHS:
                self._start()
            else:
                _log.warning(
                    "The warden %s, as %d did before it, each at once; the next job tries again.",
                    program,
                    self._quick_deaths,
                )

    def _queue_retry(self, program: _Program) -> None:
        if program.pending and self._io_loop is not None and not self._retry_queued:
            self._retry_queued = True
            self._io_loop.add_callback(self._io_loop.call_later, _RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        with self._lock:
            self._retry_queued = False
            if self._program is not None:
                self._send(b"")

    def _disown(self) -> None:
        # In a fork the lock may be held by a thread that does not exist.
        self._lock = threading.RLock()
        self._guarded, self._expected, self._directories = {}, {}, {}
        program, self._program = self._program, None
        if program is not None:
            program.disown()


class _Program:
    """One warden, and the kernel's end of the pipe to it."""

    io_loop: IOLoop

    def __init__(self, client: Warden, first: bytes) -> None:
        self.started_at = time.monotonic()
        self.pending = b""
        self.ended = False
        # A loop that watches this must not keep a forgotten client alive.
        self._client = weakref.ref(client)
        childs_end, self._fd = os.pipe()
        try:
            os.set_blocking(self._fd, False)
            # Before it runs: a kernel killed at this very moment leaves it what it has to know.
            self.send(first)
            self.proc = subprocess.Popen(
                program(str(os.getpid()), str(os.getsid(0))),
                stdin=childs_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(childs_end)
        self._finalizer = weakref.finalize(client, self.end)

    def __str__(self) -> str:
        status = self.proc.returncode
        if status is None:
            state = "running"
        else:
            state = f"was ended by {signal_name(-status)}" if status < 0 else f"exited with status {status}"
        return f"(pid {self.proc.pid}) {state}"

    def alive(self) -> bool:
        return self.proc.poll() is None

    def send(self, message: bytes) -> bool:
        """Write what the pipe accepts, and keep the rest for the next call; return False if it is broken."""
        if self._fd < 0:
            return False  # The interpreter exits, and jobs still end meanwhile.
        self.pending += message
        try:
            while self.pending:
                self.pending = self.pending[os.write(self._fd, self.pending) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            return False
        return True

    def watch(self, io_loop: IOLoop) -> None:
        self.io_loop = io_loop
        try:
            exits.watch(self)
        except (OSError, RuntimeError):
            # No fd is left, or there are no pidfds off the main thread: the next message will see it.
            pass

    def end(self) -> int:
        """Close the pipe and reap the warden; return its exit status."""
        self.ended = True
        self._finalizer.detach()
        if self._fd >= 0:
            self.send(b"d\n")  # A kernel that exits normally removes its directories itself.
        self._flush(_FLUSH_SECONDS)
        self._close()
        try:
            return self.proc.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _log.warning("The warden (pid %d) does not end: SIGKILL.", self.proc.pid)
            self.proc.kill()
            return self.proc.wait()

    def disown(self) -> None:
        """Close the pipe in a fork of the kernel, of which the warden is not a child."""
        self._finalizer.detach()
        self._close()
        # Otherwise Popen would warn that it still runs.
        self.proc.returncode = 0

    def _exited(self, status: int) -> None:
        self.proc.returncode = status
        if (client := self._client()) is not None:
            # Later: a watch on a warden that is dead already calls this while the client has its lock.
            self.io_loop.add_callback(client._exited, self)

    def _flush(self, seconds: float) -> None:
        poll = select.poll()
        deadline = time.monotonic() + seconds
        while self.pending and (left := deadline - time.monotonic()) > 0:
            poll.register(self._fd, select.POLLOUT)
            poll.poll(left * 1000)
            if not self.send(b""):
                return

    def _close(self) -> None:
        self.pending = b""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def program(*arguments: str) -> list[str]:
    """Return the command of the warden's program."""
    return [sys.executable, "-I", "-S", "-c", _PROGRAM, *arguments]


def _clear_message(directory: str) -> bytes:
    return b"d%s\n" % os.fsencode(directory).hex().encode()


def end_sessions(sids: Iterable[int], grace: float = 0.5) -> None:
    """End every process of some sessions that children of this process lead or led.

    As `ipyproc.process.platform.sessions.end_sessions`; blocks.
    """
    exits.sigchld.forget_closed_loops()
    started = {sid: _start_of_child(sid) for sid in sids}
    sessions.end_sessions(started, grace, started=started, tell=_log.warning)


def _start_of_child(pid: int) -> int | None:
    """Return when a child started; None if it was reaped, since another process may have its pid by now."""
    sessions.need_other_session(pid)
    try:
        exits.has_exited(pid)
    except ChildProcessError:
        return None
    return start_time(pid)


def _disown_all() -> None:
    for warden in list(_wardens):
        warden._disown()


_wardens: weakref.WeakSet[Warden] = weakref.WeakSet()
os.register_at_fork(after_in_child=_disown_all)
