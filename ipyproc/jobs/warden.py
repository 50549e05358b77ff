"""The warden: a small process that ends the jobs' sessions when the kernel dies without saying so.

This file is both ends. Run as a program it is the warden; imported, it is the kernel's client. One
pipe leads from the client to the program, with one line a message: ``+123`` guards the session 123,
``-123`` releases it. The warden's work begins when the kernel has exited, or has closed the pipe.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import time

# The program sees no site-packages, and is to start fast and stay small: the rest is the client's.
if __name__ != "__main__":
    import logging
    import subprocess
    import threading
    import weakref
    from collections.abc import Iterable

    from tornado.ioloop import IOLoop

    from ipyproc.errors import signal_name
    from ipyproc.process import watch as exits

    _log = logging.getLogger("ipyproc")

__all__ = ["Warden", "end_sessions", "session_members"]

_FILE = os.path.abspath(__file__)
_KERNEL_GONE_GRACE = 0.7
_KILL_SECONDS = 1.0
_END_SECONDS = 2.5
_FLUSH_SECONDS = 0.5
_RETRY_SECONDS = 0.1
_LOOK_SECONDS = 0.5
_STABLE_SECONDS = 1.0
_MAX_QUICK_DEATHS = 5


class Warden:
    """The kernel's client of the warden.

    The program is started at the first `guard`, without waiting for it, and replaced when it has
    been killed: at once where a loop watches it (`watch`), else at the next message. No method
    raises because the warden cannot be started or does not read; that is logged, and tried again
    at the next message. Every method may be called from any thread. In a fork of the kernel none
    does anything: the jobs are the kernel's.

    Example::

        warden = Warden()
        job = subprocess.Popen(["make"], start_new_session=True)
        warden.guard(job.pid)
        job.wait()
        warden.release(job.pid)
        warden.close()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._guarded: dict[int, None] = {}
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
        """The process id of the warden; None before the first `guard`, and once its exit was seen."""
        program = self._program
        return program.proc.pid if program is not None and program.proc.returncode is None else None

    def guard(self, pgid: int) -> None:
        """Has the session ``pgid`` ended if the kernel dies.

        Args:
            pgid: the process group, and session, of a job that was started with a session of its own.

        Raises:
            ValueError: that session is the kernel's own, or no job's.
        """
        _need_others_session(pgid)
        with self._lock:
            if self._owner == os.getpid():
                self._guarded[pgid] = None
                self._send(b"+%d\n" % pgid)

    def release(self, pgid: int) -> None:
        """Forgets the session ``pgid``; harmless when it is not guarded."""
        with self._lock:
            if pgid in self._guarded:
                del self._guarded[pgid]
                self._send(b"-%d\n" % pgid)

    def alive(self) -> bool:
        """Whether the program runs, asked of the system."""
        with self._lock:
            return self._program is not None and self._program.alive()

    def revive(self) -> bool:
        """Replaces a warden that has been killed and still has something to guard.

        Returns:
            Whether another one was started.
        """
        with self._lock:
            if not self._guarded or (self._program is not None and self._program.alive()):
                return False
            return self._start()

    def watch(self, io_loop: IOLoop) -> None:
        """Has ``io_loop`` see the warden's exit from now on, and replace it at once."""
        with self._lock:
            if io_loop is self._io_loop:
                return
            self._io_loop = io_loop
            self._retry_queued = False  # The loop before may be closed, with what was queued on it.
            if self._program is not None:
                self._program.watch(io_loop)

    def close(self) -> None:
        """Ends the warden, and with it every session that is still guarded; returns when it is reaped.

        That takes milliseconds when nothing is guarded, and a few seconds at the very most. A later
        `guard` starts another warden.
        """
        with self._lock:
            program, self._program = self._program, None
            guarded, self._guarded = self._guarded, {}
        # A warden that was killed, or stopped so that it never got round to it, has ended nobody.
        if program is not None and program.end() != 0:
            end_sessions(guarded)

    def _send(self, message: bytes) -> None:
        program = self._program
        if program is not None and program.alive() and program.send(message):
            self._queue_retry(program)
        elif self._guarded:
            self._start()

    def _start(self) -> bool:
        """Starts a warden, in place of the one before, that guards all that is guarded."""
        before = self._program
        if before is not None:
            if before.ended:
                return False  # The interpreter exits, and has ended it: none may follow.
            before.proc.kill()
            before.end()
            quick = time.monotonic() - before.started_at < _STABLE_SECONDS
            self._quick_deaths = self._quick_deaths + 1 if quick else 0
            self._program = None
        try:
            first = b"".join(b"+%d\n" % pgid for pgid in self._guarded)
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
        # In a fork the lock may be held, by a thread that exists no more.
        self._lock = threading.Lock()
        self._guarded = {}
        program, self._program = self._program, None
        if program is not None:
            program.disown()


class _Program:
    """One warden, and our end of the pipe to it."""

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
                [sys.executable, "-I", "-S", _FILE, str(os.getpid())],
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
        """Writes what the pipe takes, and keeps the rest for the next time; False if nobody reads."""
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
        """Closes the pipe and reaps the warden; returns its exit status."""
        self.ended = True
        self._finalizer.detach()
        self._flush(_FLUSH_SECONDS)
        self._close()
        try:
            return self.proc.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _log.warning("The warden (pid %d) does not end: SIGKILL.", self.proc.pid)
            self.proc.kill()
            return self.proc.wait()

    def disown(self) -> None:
        """Lets go of it in a fork, where it is nobody's child."""
        self._finalizer.detach()
        self._close()
        # Or Popen would warn that it still runs.
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


def session_members(sid: int) -> list[int]:
    """The processes of a session that have not exited, in ascending order.

    Zombies do not count; they are their parents' to reap. Where the system has no ``/proc`` of
    Linux's kind, the session's first process group stands for all of it, by its number.
    """
    return sorted(_living({sid}))


def end_sessions(sids: Iterable[int], grace: float = 0.5) -> None:
    """Ends every process of some sessions: SIGTERM, and SIGKILL for what is left after ``grace``.

    A shell with job control puts its children into process groups of their own; a session has them
    all. Blocks until all have exited, for ``grace`` and one second at most. Zombies count as gone.

    Args:
        sids: the sessions.
        grace: seconds between the two signals.

    Raises:
        ValueError: one of the sessions is the caller's own, or no job's.
    """
    sessions = set(sids)
    for sid in sessions:
        _need_others_session(sid)
    living = _living(sessions)
    _signal_groups(living, signal.SIGTERM)
    # What is stopped takes its SIGTERM only when it goes on.
    _signal_groups(living, signal.SIGCONT)
    living = _poll_until_gone(sessions, grace)
    if living:
        _tell(f"SIGKILL to {len(living)} processes that lived on for {grace:g} s after a SIGTERM.")
        _poll_until_gone(sessions, _KILL_SECONDS, signal.SIGKILL)


def _need_others_session(sid: int) -> None:
    if sid <= 1 or sid == os.getsid(0):
        whose = "the caller's own" if sid > 1 else "no job's"
        raise ValueError(f"The session {sid} is {whose}; start the job in a session of its own.")


def _poll_until_gone(sids: set[int], seconds: float, signum: signal.Signals | None = None) -> dict[int, int]:
    """Polls until nobody lives or the time is over; what lives is sent ``signum`` each time."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while (living := _living(sids)) and (left := deadline - time.monotonic()) > 0:
        if signum is not None:
            _signal_groups(living, signum)
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.04)
    return living


def _signal_groups(living: dict[int, int], signum: signal.Signals) -> None:
    # By groups: for the system that is one step, which misses no child that is just being forked.
    for pgid in set(living.values()):
        try:
            os.killpg(pgid, signum)
        except (ProcessLookupError, PermissionError):
            pass


def _living(sids: set[int]) -> dict[int, int]:
    """The process group of each process of these sessions that has not exited."""
    pids = _all_pids()
    if pids is None:
        return {sid: sid for sid in sids if _has_group(sid)}
    living = {}
    for pid in pids:
        try:
            # getsid costs a fiftieth of a look into /proc, which is left to the few that matter.
            if os.getsid(pid) in sids and not _has_exited(pid):
                living[pid] = os.getpgid(pid)
        except ProcessLookupError:
            pass
    return living


def _all_pids() -> list[int] | None:
    """Every process there is; None where the system does not list them as Linux does."""
    if not os.path.exists("/proc/self/stat"):
        return None
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return None  # No fd is left.


def _has_exited(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(1024)
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:
        return False
    # The second field is the program's name, which may hold blanks and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    # A process whose first thread has ended looks like a zombie while its other threads live.
    return fields[0] in (b"Z", b"X") and int(fields[17]) < 2


def _has_group(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _tell(sentence: str) -> None:
    if __name__ == "__main__":
        print(f"warden: {sentence}", file=sys.stderr)
    else:
        _log.warning(sentence)


def _main(arguments: list[str]) -> int:
    if complaint := _complaint(arguments):
        _tell(complaint)
        return 2
    # Whoever ends the kernel's whole container asks everybody in it; the warden's turn is the last.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    end_sessions(_guarded_in_the_end(int(arguments[0])), _KERNEL_GONE_GRACE)
    return 0


def _complaint(arguments: list[str]) -> str:
    """What is wrong with how the program was started, in one sentence; empty when nothing is."""
    if len(arguments) != 1 or not arguments[0].isdecimal() or int(arguments[0]) < 1:
        given = " ".join(arguments) or "nothing"
        return f"the one argument is the kernel's pid, but {given!r} was given; ipyproc itself starts this."
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(0).st_mode)
    except OSError:
        is_pipe = False
    if not is_pipe:
        kind = "a terminal" if os.isatty(0) else "no pipe"
        return f"stdin is {kind}, but must be a pipe from the kernel; ipyproc itself starts this."
    return ""


def _guarded_in_the_end(kernel: int) -> set[int]:
    """Follows the messages until the kernel is gone; returns the sessions that are guarded then."""
    guarded: set[int] = set()
    unread = b""
    os.set_blocking(0, False)
    parent, pidfd = os.getppid(), _open_pidfd(kernel)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if pidfd >= 0:
        poll.register(pidfd, select.POLLIN)
    gone = not _exists(kernel)
    while True:
        try:
            while data := os.read(0, 65536):
                # A last line without its end, from a kernel killed as it wrote, is not taken.
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    _take(line, guarded)
            return guarded
        except BlockingIOError:
            pass
        # Only now, since a kernel that is gone has left its last messages in the pipe. The end of the
        # pipe alone would not do: a fork of the kernel may hold it open.
        if gone:
            return guarded
        ready = dict(poll.poll(None if pidfd >= 0 else _LOOK_SECONDS * 1000))
        gone = pidfd in ready if pidfd >= 0 else os.getppid() != parent


def _take(line: bytes, guarded: set[int]) -> None:
    sign, digits = line[:1], line[1:]
    try:
        if sign not in (b"+", b"-") or not digits.isdigit():
            raise ValueError("A message is + or - and the number of a session.")
        _need_others_session(int(digits))
    except ValueError as error:
        _tell(f"left out the message {line!r}: {error}")
        return
    if sign == b"+":
        guarded.add(int(digits))
    else:
        guarded.discard(int(digits))


def _open_pidfd(pid: int) -> int:
    """A pidfd, or -1 where the system has none, refuses them, or has no such process."""
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    except OSError:
        return -1


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))


def _disown_all() -> None:
    for warden in list(_wardens):
        warden._disown()


_wardens: weakref.WeakSet[Warden] = weakref.WeakSet()
os.register_at_fork(after_in_child=_disown_all)
