"""The warden's program: it ends the jobs' sessions when the kernel dies without saying so.

One pipe leads from the kernel to standard input, with one line a message:

==================  ==========================================================================
``?12 34``          a process is about to be started whose pipes have the inodes 12 and 34
``?-8 170``         the same of one that gets the terminal ``/dev/pts/7``, made 170 ns after the epoch
``+123 12``         guard the session 123; it is the one that was expected with inode 12 first
``!12``             what was expected with inode 12 first has not been started
``-123``            release the session 123
``d2f746d70``       remove the directory of this name, in hexadecimal, if the kernel is killed
``d``               remove none of them: the kernel does
==================  ==========================================================================

Its arguments are the kernel's pid and session. Its work begins when the kernel has exited, or has closed
the pipe. Its kernel's end is `ipyproc.hosts.local.warden`. The program sees no site-packages, and imports
little: it starts fast and stays small.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time

from ipyproc.process.bare import signal
from ipyproc.process.leftovers import remove_directory
from ipyproc.process.platform.pidfd import open_pidfd
from ipyproc.process.platform.processes import has_process, start_time
from ipyproc.process.platform.sessions import end_sessions, need_other_session

__all__ = ["main"]

_GRACE = 0.7
_LOOK_SECONDS = 0.5
_BATCH_SECONDS = 0.02
_EXPECT_SECONDS = 4.0  # A child may be held up between its fork and its session.
_FEWEST_LOOKS = 20  # However long this process itself is held up.
_EXPECT_PAUSE = 0.01
_GONE_SECONDS = 1.0
_CLEAR_SECONDS = 5.0


class Guarded:
    """What the messages have said.

    Attributes:
        sessions: each session, and when its leader started; None where it had gone before we looked.
        expected: what is about to be started, by the first number of its message: all of them.
        directories: what the kernel leaves behind if it is killed.
    """

    def __init__(self) -> None:
        self.sessions: dict[int, int | None] = {}
        self.expected: dict[int, list[int]] = {}
        self.directories: set[str] = set()

    def take(self, line: bytes) -> None:
        """Take one message; leave out what is no message, and say so on standard error."""
        try:
            if line[:1] == b"d":
                self._take_directory(bytes.fromhex(line[1:].decode("ascii")))
            else:
                self._take(line[:1], [int(word) for word in line[1:].split()])
        except (ValueError, IndexError) as error:
            _tell(f"left out the message {line!r}: {error}")

    def _take_directory(self, path: bytes) -> None:
        if path:
            self.directories.add(os.fsdecode(path))
        else:
            self.directories.clear()

    def _take(self, sign: bytes, numbers: list[int]) -> None:
        if sign == b"?":
            if numbers[0] < 0 and len(numbers) == 1:
                raise ValueError("A terminal comes with the time at which it was made.")
            self.expected[numbers[0]] = numbers
        elif sign == b"!":
            self.expected.pop(numbers[0], None)
        elif sign == b"+":
            need_other_session(numbers[0])
            self.sessions[numbers[0]] = start_time(numbers[0])
            if len(numbers) > 1:
                self.expected.pop(numbers[1], None)
        elif sign == b"-":
            self.sessions.pop(numbers[0], None)
        else:
            raise ValueError("A message is one of ? ! + - and numbers, or d and a path.")


def main(arguments: list[str]) -> int:
    """Guard until the kernel is gone, then end what is guarded; return the exit status."""
    if complaint := _complaint(arguments):
        _tell(complaint)
        return 2
    # Whoever ends the kernel's whole container asks everybody in it; the warden's turn is the last.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    kernel, kernels_session = int(arguments[0]), int(arguments[1])
    parent = os.getppid()
    guarded = _guarded_in_the_end(kernel)
    sessions = dict(guarded.sessions)
    # Beside the others, who may take their time: of one that exits soon, what it started is found only as
    # long as it holds the pipes.
    searching = _fork() if guarded.expected else None
    if searching == 0:
        try:
            _end_expected(guarded.expected, kernels_session)
        finally:
            os._exit(0)
    end_sessions(sessions, _GRACE, started=sessions, tell=_tell)
    if searching is not None:
        os.waitpid(searching, 0)
    else:
        _end_expected(guarded.expected, kernels_session)
    if guarded.directories and _is_gone(kernel, parent):
        for directory in guarded.directories:
            remove_directory(directory, _CLEAR_SECONDS)
    return 0


def _complaint(arguments: list[str]) -> str:
    """Return what is wrong with how the program was started, in one sentence; empty when nothing is."""
    is_number = [argument.isdecimal() for argument in arguments]
    if is_number != [True, True] or int(arguments[0]) < 1:
        given = " ".join(arguments) or "nothing"
        return (
            f"the arguments are the kernel's pid and session, but {given!r} was given; "
            "ipyproc itself starts this."
        )
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(0).st_mode)
    except OSError:
        is_pipe = False
    if not is_pipe:
        kind = "a terminal" if os.isatty(0) else "no pipe"
        return f"stdin is {kind}, but must be a pipe from the kernel; ipyproc itself starts this."
    return ""


def _guarded_in_the_end(kernel: int) -> Guarded:
    """Follow the messages until the kernel is gone; return what is guarded then."""
    guarded = Guarded()
    unread = b""
    os.set_blocking(0, False)
    parent, pidfd = os.getppid(), open_pidfd(kernel)
    poll, end = select.poll(), select.poll()
    poll.register(0, select.POLLIN)
    if pidfd is not None:
        poll.register(pidfd, select.POLLIN)
        end.register(pidfd, select.POLLIN)
    gone = not has_process(kernel)
    while True:
        try:
            while data := os.read(0, 65536):
                # A last line without its end, from a kernel killed as it wrote, is not taken.
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    guarded.take(line)
            return guarded
        except BlockingIOError:
            pass
        # Only now, since a kernel that is gone has left its last messages in the pipe. The end of the
        # pipe alone would not do: a fork of the kernel may hold it open.
        if gone:
            return guarded
        # A reader that waits at the pipe takes the kernel's processor at each message. It comes back for
        # several at a time instead; the kernel's end wakes it at once.
        ready = dict(end.poll(_BATCH_SECONDS * 1000))
        if not ready:
            ready = dict(poll.poll(_LOOK_SECONDS * 1000 if pidfd is None else None))
        gone = os.getppid() != parent if pidfd is None else pidfd in ready


def _fork() -> int | None:
    try:
        return os.fork()
    except OSError:
        return None


def _end_expected(expected: dict[int, list[int]], kernels_session: int) -> None:
    """End what a kernel that was killed as it started a process has left.

    That has not told its number, and may not even be in its session yet.
    """
    deadline, looks = time.monotonic() + _EXPECT_SECONDS, 0
    while expected and (time.monotonic() < deadline or looks < _FEWEST_LOOKS):
        looks += 1
        late = {sid: start_time(sid) for sid in _sessions_holding(expected, kernels_session)}
        if late:
            end_sessions(late, 0.1, started=late, tell=_tell)
        time.sleep(_EXPECT_PAUSE)


def _sessions_holding(expected: dict[int, list[int]], kernels_session: int) -> set[int]:
    """Return the sessions in which a process holds one of the pipes or terminals that are expected.

    Not the kernel's own: forks of the kernel in it may hold them too. Its number is 0 where its leader is
    outside the kernel's pid namespace, as in many containers.

    A pipe's number is nobody else's. That of a terminal is given anew as soon as nobody has it open, so the
    time at which it was made tells it from a stranger's.
    """
    pipes: set[str] = set()
    terminals: dict[str, int] = {}
    for first, *others in expected.values():
        if first >= 0:
            pipes.update(f"pipe:[{inode}]" for inode in (first, *others))
        else:
            name = f"/dev/pts/{-first - 1}"
            # So it is named when its master is closed, as after the kernel's end.
            terminals[name] = terminals[f"{name} (deleted)"] = others[0]
    found: set[int] = set()
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return found
    left_out = {0, kernels_session, os.getsid(0)}
    for pid in pids:
        try:
            sid = os.getsid(pid)
            if sid not in found and sid not in left_out and _holds(pid, pipes, terminals):
                found.add(sid)
        except OSError:
            continue  # It is gone, or another user's.
    return found


def _holds(pid: int, pipes: set[str], terminals: dict[str, int]) -> bool:
    """Return whether a process holds one of the pipes, or of the terminals made at these times."""
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):
        fd = f"{directory}/{name}"
        link = os.readlink(fd)
        if link in pipes or (link in terminals and os.stat(fd).st_ctime_ns == terminals[link]):
            return True
    return False


def _is_gone(kernel: int, parent: int) -> bool:
    """Return whether the kernel has exited, or does so within a second: it may only have closed the pipe."""
    deadline = time.monotonic() + _GONE_SECONDS
    # A zombie exists, but is nobody's parent.
    while os.getppid() == parent if parent == kernel else has_process(kernel):
        if time.monotonic() > deadline:
            return False
        time.sleep(_EXPECT_PAUSE)
    return True


def _tell(sentence: str) -> None:
    print(f"warden: {sentence}", file=sys.stderr)
