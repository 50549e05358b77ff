"""The holder of a kept job: a small process that keeps the job's pipes, and starts a runner to work on them.

    holder_program DIRECTORY SOCKET PYTHON PROGRAM

It listens at SOCKET, exits, and goes on as a daemon: two processes, one of which stands by and takes over
should the other be killed. Whichever holds starts ``PYTHON -I -S -c PROGRAM DIRECTORY LISTENING POST FDS``,
the runner: LISTENING is the listening socket's fd, POST that of a socket to the holder, and FDS are the fds
that are kept, as ``name=fd``. The runner sends one message at a time:

    ready        I work: should I be killed, start another at once, rather than by and by
    keep NAME    with an fd: keep it, in place of the one of that name
    drop NAME    close it
    rest SECONDS
                 I exit now; start another when one of the fds has something, somebody connects, a child
                 exits, or so many seconds have passed (``inf``)
    over         I exit now, and there is nothing more to do

While there is no runner, clients wait at SOCKET.bell, and are cut off when there is one.

A runner that exits without either is replaced at once, and finds all as it was: the fds, what is in the
pipes, and the directory. The holder is the parent of what a runner that is gone has started
(PR_SET_CHILD_SUBREAPER of `prctl(2)`); of each such child that exits it appends ``PID STATUS`` to the file
``exits``, the status as `os.waitstatus_to_exitcode` gives it.

It imports as little as can be: a job that waits should cost next to nothing.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import select
import sys
import time

from ipyproc.process.bare import signal

__all__ = ["main"]

_ANSWERS_LATE, _HELD_ALREADY = 1, 3
_BACKLOG = 64
_BELL = ".bell"
_MESSAGE = 256
_SUBREAPER = 36
_FD_SIZE = 4
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0
_LEAVE_SECONDS = 2.0
_LOOK_SECONDS = 0.002


def main(arguments: list[str]) -> int:
    """Run the program; return its exit status. What keeps it from holding is written to standard output."""
    directory, path, python, program = arguments
    try:
        lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _HELD_ALREADY
    except OSError as error:
        os.write(1, str(error).encode())
        return _ANSWERS_LATE
    try:
        listening = _listen(path)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        if os.fork():
            # The socket listens by now.
            os._exit(0)
    except OSError as error:
        os.write(1, str(error).encode())
        return _ANSWERS_LATE
    os.setsid()
    os.chdir("/")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _let_go_of_streams()
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    _become_subreaper()
    holder = _Holder(directory, path, listening, python, program)
    if os.fork():
        theirs.close()
        holder.stand_by(ours)
    else:
        ours.close()
        _become_subreaper()
        holder.hold(theirs)
    os._exit(0)


class _Holder:
    """What is held, by either of the two processes."""

    def __init__(
        self, directory: str, path: str, listening: _socket.socket, python: str, program: str
    ) -> None:
        self._directory = directory
        self._path = path
        self._listening = listening
        self._python = python
        self._program = program
        self._kept: dict[bytes, int] = {}
        self._partner: _socket.socket | None = None
        self._runner = 0
        self._post: _socket.socket | None = None
        self._rests = False
        self._has_news = False
        self._is_ready = False
        self._is_over = False
        self._due = float("inf")
        self._started = 0.0
        self._pause = 0.0
        self._must_run = True
        self._bell, self._alarm = -1, -1
        self._door: _socket.socket | None = None

    def stand_by(self, partner: _socket.socket) -> None:
        """Take what the other process is told to keep, and take over once that is gone."""
        self._hear_of_exits()
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        poll.register(partner.fileno(), select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            # Also of what is this process's child since another has gone.
            self._reap(self._bell in ready)
            if partner.fileno() not in ready:
                continue
            message, fd = _receive(partner)
            if not message:
                break
            if message == b"over":
                return
            self._take(message, fd)
        partner.close()
        self._wait_for_its_runner()
        self._must_run = True
        self.hold(self._new_partner())

    def hold(self, partner: _socket.socket | None) -> None:
        """Hold until all is over."""
        self._partner = partner
        if self._bell < 0:
            self._hear_of_exits()
        self._reap()
        while not self._is_over:
            if self._must_run and not self._runner and time.monotonic() >= self._started + self._pause:
                self._run()
            self._wait()
        self._ring()
        self._tell_partner(b"over", None)

    # What happens

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if self._partner is not None:
            poll.register(self._partner.fileno(), select.POLLIN)
        seconds = float("inf")
        if self._post is not None:
            poll.register(self._post.fileno(), select.POLLIN)
        elif self._must_run:
            seconds = self._started + self._pause - time.monotonic()
        else:
            poll.register(self._listening.fileno(), select.POLLIN)
            for name, fd in self._kept.items():
                if not name.startswith(b"in"):
                    poll.register(fd, select.POLLIN)
            seconds = self._due - time.monotonic()
        ready = {fd for fd, _ in poll.poll(None if seconds == float("inf") else max(0.0, seconds) * 1000 + 1)}
        self._reap(self._bell in ready)
        if self._partner is not None and self._partner.fileno() in ready:
            # It never says anything: it is gone.
            self._partner.close()
            self._partner = self._new_partner()
        if self._post is not None:
            if self._post.fileno() in ready:
                self._hear()
        elif ready - {self._bell, -1} or time.monotonic() >= self._due:
            self._must_run = True

    def _hear(self) -> None:
        """Take one message of the runner, or its end."""
        assert self._post is not None
        message, fd = _receive(self._post)
        if message == b"ready":
            self._is_ready = True
        elif message.startswith(b"rest "):
            self._rests, self._due = True, time.monotonic() + float(message[5:])
            self._hang_bell()
        elif message == b"over":
            self._rests = self._is_over = True
        elif message:
            self._tell_partner(message, fd)
            self._take(message, fd)
        else:
            self._post.close()
            self._post = None
            # It may take another moment to be gone, and then is a child that exits.
            self._leave(self._runner)
            self._runner = 0
            self._must_run = self._has_news or not self._rests
            if self._rests or self._is_ready:
                self._pause = 0.0
            else:
                self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, self._pause * 2))

    def _hang_bell(self) -> None:
        """Have clients wait at a socket of which nobody takes them in, until it is closed."""
        try:
            self._door = _listen(self._path + _BELL)
        except OSError:
            self._door = None  # They connect again after a while, and start a runner.

    def _ring(self) -> None:
        door, self._door = self._door, None
        if door is not None:
            try:
                os.unlink(self._path + _BELL)
            except OSError:
                pass
            door.close()

    def _take(self, message: bytes, fd: int | None) -> None:
        what, _, name = message.partition(b" ")
        if what in (b"keep", b"drop"):
            before = self._kept.pop(name, None)
            if before is not None:
                os.close(before)
            if fd is not None:
                self._kept[name] = fd
        elif what == b"runner":
            self._runner = int(name)

    def _hear_of_exits(self) -> None:
        """Have a pipe of this process's own be readable when a child exits."""
        self._bell, self._alarm = os.pipe()
        for fd in (self._bell, self._alarm):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)

    def _reap(self, rings: bool = True) -> None:
        """Note each child that has exited."""
        if not rings:
            return
        try:
            os.read(self._bell, _MESSAGE)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._runner:
                self._runner = 0  # Its end is that of the socket.
                continue
            self._note(pid, os.waitstatus_to_exitcode(status))
            self._must_run = self._has_news = True

    def _note(self, pid: int, status: int) -> None:
        path = os.path.join(self._directory, "exits")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.write(fd, b"%d %d\n" % (pid, status))
            os.close(fd)
        except OSError:
            pass  # The disk is full: the status is asked of the system, or not known.

    # Processes

    def _run(self) -> None:
        """Start a runner."""
        self._ring()
        self._must_run = self._has_news = self._rests = self._is_ready = False
        self._due = float("inf")
        self._started = time.monotonic()
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            pid = os.fork()
        except OSError:
            self._must_run, self._pause = True, 1.0
            return
        if pid == 0:
            self._become_runner(theirs)
        theirs.close()
        self._runner, self._post = pid, ours
        self._tell_partner(b"runner %d" % pid, None)

    def _become_runner(self, post: _socket.socket) -> None:
        try:
            for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(signum, signal.SIG_DFL)
            fds = [f"{name.decode()}={fd}" for name, fd in self._kept.items()]
            for fd in (self._listening.fileno(), post.fileno(), *self._kept.values()):
                os.set_inheritable(fd, True)
            given = [self._directory, str(self._listening.fileno()), str(post.fileno()), *fds]
            os.execv(self._python, [self._python, "-I", "-S", "-c", self._program, *given])
        except BaseException:
            os._exit(127)

    def _new_partner(self) -> _socket.socket | None:
        """Start a process that stands by in place of the one that is gone."""
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            if os.fork():
                theirs.close()
                return ours
        except OSError:
            return None  # It holds alone.
        ours.close()
        for one in (self._post, self._door):
            if one is not None:
                one.close()
        self._post = self._door = None
        for end in (self._bell, self._alarm):
            os.close(end)
        _become_subreaper()
        self.stand_by(theirs)
        os._exit(0)

    def _wait_for_its_runner(self) -> None:
        """Wait until the runner of the other process is gone: it goes when that process does."""
        self._leave(self._runner)
        self._runner = 0

    def _leave(self, pid: int) -> None:
        """Wait until a runner is gone; one that has lost its holder goes at once."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        while pid and _lives(pid):
            late = time.monotonic() > deadline
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    return
                if late:
                    os.kill(pid, signal.SIGKILL)
            except ChildProcessError:
                # It is nobody's of ours, and its number may be a stranger's by then.
                if late:
                    return
            time.sleep(_LOOK_SECONDS)

    def _tell_partner(self, message: bytes, fd: int | None) -> None:
        if self._partner is None:
            return
        data = (
            []
            if fd is None
            else [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(_FD_SIZE, sys.byteorder))]
        )
        try:
            self._partner.sendmsg([message], data)
        except OSError:
            pass  # It is gone, which is seen at its socket's end.


def _listen(path: str) -> _socket.socket:
    try:
        # The lock says that nobody listens there.
        os.unlink(path)
    except FileNotFoundError:
        pass
    listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(path)
    finally:
        os.umask(before)
    listening.listen(_BACKLOG)
    listening.setblocking(False)
    return listening


def _receive(socket: _socket.socket) -> tuple[bytes, int | None]:
    """Return a message, with the fd that came with it; an empty one at the end."""
    try:
        message, data, _, _ = socket.recvmsg(_MESSAGE, _socket.CMSG_LEN(_FD_SIZE), _socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return b"", None
    for level, kind, content in data:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            return message, int.from_bytes(content[:_FD_SIZE], sys.byteorder)
    return message, None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _let_go_of_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def _become_subreaper() -> None:
    """Be the parent of what a descendant leaves behind; Linux 3.4."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass
