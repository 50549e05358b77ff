"""The terminal of a job's process, and the gate at which the program waits until it is guarded."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from weakref import WeakSet

from ipyproc.errors import JobSpecError
from ipyproc.hosts.local.feed import put_nothing_at
from ipyproc.model.spec import JobSpec
from ipyproc.process.platform import pty
from ipyproc.process.terminal_popen import CAN_SPAWN
from ipyproc.process.terminal_program import PROGRAM, what_to_do

__all__ = ["Gate", "Terminal", "instructions", "interrupts_blocked", "is_spawned", "paths_of"]


class Terminal:
    """The kernel's own slave end of a pseudo-terminal, open until the process has exited.

    A master whose slave nobody holds is at its end, and to close it hangs up: a program that has redirected
    all its streams to files would be ended by SIGHUP. Any thread may call any method.

    Args:
        slave: the fd, which this closes.
    """

    _slave: int | None = None

    def __init__(self, slave: int) -> None:
        # Else the number could be another file's by the time that another thread has used it.
        self._lock = threading.RLock()
        self._slave = slave

    def fileno(self) -> int | None:
        """Return the fd; None once it is closed."""
        return self._slave

    @property
    def hides_input(self) -> bool:
        """True if it reads a line and does not echo it; see `ipyproc.process.platform.pty.hides_input`."""
        with self._lock:
            return self._slave is not None and pty.hides_input(self._slave)

    def end_of_file(self) -> bytes:
        """Return the character that ends the input at the start of a line."""
        with self._lock:
            return b"" if self._slave is None else pty.end_of_file(self._slave)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size; the foreground processes get SIGWINCH if it changes."""
        with self._lock:
            if self._slave is not None:
                pty.set_size(self._slave, rows, columns)

    def close(self) -> None:
        """Close the fd: the master comes to its end when no other process has the terminal open."""
        with self._lock:
            slave, self._slave = self._slave, None
            if slave is not None:
                os.close(slave)

    def lose(self) -> None:
        """Replace the terminal by /dev/null in a fork of the process, where it would keep it open."""
        self._lock = threading.RLock()
        if self._slave is not None:
            put_nothing_at(self._slave)

    def __del__(self) -> None:
        # Without the lock: nobody else has it, and garbage collection may run anywhere.
        slave, self._slave = self._slave, None
        if slave is not None:
            os.close(slave)


class Gate:
    """The gate before a program on a terminal: it is executed when the kernel has opened it.

    By then the warden knows the process. A kernel that is killed before leaves a gate that stays shut, at
    which the process exits. The constructor opens pipes; `open` or `close` closes them.

    Attributes:
        inodes: the numbers of the pipes that the process holds until the program runs.
    """

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._is_sure = False
        self._program: str | bytes = ""
        self._explained: Callable[[], AbstractContextManager[object]] = nullcontext
        try:
            self._go, self._release = self._pipe()
            self._told, self._tell = self._pipe()
            self.inodes = [os.fstat(fd).st_ino for fd in (self._go, self._tell)]
        except BaseException:
            self.close()
            raise
        _gates.add(self)

    @property
    def fds(self) -> tuple[int, int]:
        """The fds that the process inherits."""
        return self._go, self._tell

    def command(self, what: int) -> list[str]:
        """Return the command that waits at the gate.

        Args:
            what: the fd of the file with what to do, which the process inherits too.

        Raises:
            JobSpecError: Python does not know its own program.
        """
        if not sys.executable:
            raise JobSpecError(
                "A job on a terminal is started by Python, which does not know its own program "
                "(sys.executable is empty); leave tty out."
            )
        return [sys.executable, "-I", "-S", "-c", PROGRAM, *map(str, (self._go, self._tell, what))]

    def set_program(
        self,
        program: str | bytes,
        explained: Callable[[], AbstractContextManager[object]],
        *,
        is_sure: bool,
    ) -> None:
        """Set what `open` waits for, and what its error says.

        Args:
            program: the name of the program.
            explained: returns a context that replaces an error of the system by one with a sentence.
            is_sure: whether the program can certainly be executed, so that `open` need not wait.
        """
        self._program, self._explained, self._is_sure = program, explained, is_sure

    def open(self) -> None:
        """Let the program run. Unless that is sure to work, block until it does.

        It takes about 10 ms, in which a Python starts.

        Raises:
            OSError: it could not be executed.
        """
        with suppress(BrokenPipeError):
            os.write(self._release, b"!")
        if self._is_sure:
            self.close()
            return
        for fd in (self._go, self._release, self._tell):
            self._close(fd)
        told = b""
        while data := os.read(self._told, 64):
            told += data
        self.close()
        if told:
            code = int(told)
            with self._explained():
                raise OSError(code, os.strerror(code), self._program)

    def close(self) -> None:
        """Close the pipes; a process that waits exits. Harmless when they are closed."""
        for fd in list(self._fds):
            self._close(fd)

    def _pipe(self) -> tuple[int, int]:
        pipe = os.pipe()
        self._fds += pipe
        return pipe

    def _close(self, fd: int) -> None:
        if fd in self._fds:
            self._fds.remove(fd)
            os.close(fd)


def is_spawned(spec: JobSpec) -> bool:
    """Return True if a job on a terminal can be started by `TerminalPopen`, rather than wait at a gate."""
    return CAN_SPAWN and spec.cwd is None and spec.limits.user is None and spec.limits.umask is None


def paths_of(argv: Sequence[str | bytes], executable: str | bytes | None, path: bytes | None) -> list[bytes]:
    """Return the paths that a program may have, as `subprocess` tries them.

    Args:
        argv: the arguments of the program.
        executable: its path; None if the first argument is its name.
        path: the PATH in which a name without a folder is looked for; None for the system's usual one.
    """
    program = os.fsencode(argv[0] if executable is None else executable)
    if os.path.dirname(program):
        return [program]
    folders = (os.fsencode(os.defpath) if path is None else path).split(os.fsencode(os.pathsep))
    return [os.path.join(folder, program) for folder in folders]


def instructions(
    argv: Sequence[str | bytes],
    executable: str | bytes | None,
    environment: Mapping[bytes, bytes],
    user: tuple[int, int, Sequence[int]] | None,
    *,
    mask: Iterable[int],
    is_sure: bool,
) -> bytes:
    """Return what the process at the gate is to do.

    Args:
        argv: the arguments of the program.
        executable: its path; None if the first argument is its name.
        environment: its environment, in whose PATH it is looked for.
        user: the numbers of its user, its group and its further groups; None for those of this process.
        mask: the signals that it blocks.
        is_sure: whether nobody waits for what keeps it from running.
    """
    paths = paths_of(argv, executable, environment.get(b"PATH"))
    return what_to_do(
        paths, [os.fsencode(word) for word in argv], environment, user, mask=mask, is_heard=not is_sure
    )


@contextmanager
def interrupts_blocked() -> Iterator[set[int]]:
    """Block SIGINT in this thread, and in what it starts; return what was blocked before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield {int(one) for one in before}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_gates: WeakSet[Gate] = WeakSet()


def _close_in_a_fork() -> None:
    # Another thread is starting a job: its gate would have no end while the fork holds it.
    for gate in list(_gates):
        gate.close()
    _gates.clear()


os.register_at_fork(after_in_child=_close_in_a_fork)
