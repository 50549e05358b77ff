"""The files in which jobs' output is kept: all in one private directory, which goes with the process."""

from __future__ import annotations

import atexit
import errno
import fcntl
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from ipyproc.process.fds import is_want_of_fds
from ipyproc.process.leftovers import PREFIX, remove_directory

__all__ = ["Reserve", "SpoolFile", "directory_path"]

_AT_EXIT_SECONDS = 5.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def directory_path() -> str:
    """Return where this process keeps output from now on; the directory may not be there yet.

    Known before it is made, so that somebody can be told who removes it if the process is killed.
    """
    return _directory().path


class SpoolFile:
    """One file in the private directory of this process; made by `create`.

    Its fd is open from then on, until `rest`; after that every access opens the file for a moment. It is
    removed by `remove`, and when nobody has it any more. In a fork of the process it can be read, and
    nothing else: it is the process's.
    """

    __slots__ = ("_directory", "_fd", "_inode", "_number")

    def __init__(self, directory: _Directory, number: int, inode: int, fd: int | None) -> None:
        self._directory = directory
        self._number = number
        self._inode = inode
        self._fd = fd

    @property
    def is_ours(self) -> bool:
        """Whether it is this process's, and not that of the one from which it was forked."""
        return self._directory.owner == os.getpid()

    @classmethod
    def create(cls) -> SpoolFile:
        """Make an empty one.

        Raises:
            OSError: the system has no room for it, or no more files may be opened.
        """
        directory = _directory()
        try:
            number, fd = directory.new_file()
        except OSError as error:
            with _borrowed_fd(error):
                number, fd = directory.new_file()
                inode = os.fstat(fd).st_ino
                os.close(fd)
            return cls(directory, number, inode, None)
        return cls(directory, number, os.fstat(fd).st_ino, fd)

    def write(self, data: memoryview, offset: int) -> int:
        """Write some of ``data`` at an offset; return how many bytes that was, one at least.

        Raises:
            OSError: none can be written.
        """
        if not self.is_ours:
            raise OSError(errno.EPERM, "A fork keeps no output")
        if self._fd is None:
            try:
                self._fd = self._open(_WRITE)
            except OSError as error:
                with _borrowed_fd(error):
                    fd = self._open(_WRITE)
                    try:
                        return os.pwrite(fd, data, offset)
                    finally:
                        os.close(fd)
        return os.pwrite(self._fd, data, offset)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes between two offsets; fewer at the end of the file.

        Raises:
            OSError: it cannot be opened, as when somebody has removed it.
        """
        if (fd := self._fd) is not None:
            return os.pread(fd, stop - start, start)
        try:
            fd = self._open(_READ)
        except OSError as error:
            with _borrowed_fd(error):
                return self._read_and_close(self._open(_READ), start, stop)
        return self._read_and_close(fd, start, stop)

    def rest(self) -> None:
        """Close its fd; it can be read and written still."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def remove(self) -> None:
        """Give back its fd and its place on disk; harmless the second time."""
        self.rest()
        number, self._number = self._number, -1
        if number >= 0:
            self._directory.remove(number)

    __del__ = remove

    def _open(self, flags: int) -> int:
        path = self._directory.path_of(self._number)
        fd = os.open(path, flags)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_ino != self._inode:
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "Another file is there", path)
        return fd

    @staticmethod
    def _read_and_close(fd: int, start: int, stop: int) -> bytes:
        try:
            return os.pread(fd, stop - start, start)
        finally:
            os.close(fd)


class Reserve:
    """One fd, kept open to be given up for a moment when no other may be opened."""

    def __init__(self) -> None:
        self._fd: int | None = None
        _reserves.add(self)

    def open(self) -> None:
        """Take the fd, unless it is there, or none is to be had."""
        if self._fd is None:
            try:
                self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                pass

    def close(self) -> bool:
        """Give it up; return whether there was one."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        return fd is not None

    def __del__(self) -> None:
        self.close()


class _Directory:
    """The private directory; it is there while a file is in it.

    Attributes:
        path: where it is, or will be.
        owner: the process id of whose it is.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.parent = tempfile.gettempdir()
        self.path = os.path.join(self.parent, PREFIX + secrets.token_hex(8))
        # A collection may remove files in the midst of anything, in this thread too: an RLock, and a set,
        # which has a file's number before its file is there.
        self._lock = threading.RLock()
        self._numbers: set[int] = set()
        self._last_number = 0
        self._fd: int | None = None
        self._is_made = False

    def path_of(self, number: int) -> str:
        """Return where a file is."""
        return f"{self.path}/{number}"

    def new_file(self) -> tuple[int, int]:
        """Make a file; return its number, and an fd that is the caller's to close."""
        with self._lock:
            number = self._last_number = self._last_number + 1
            self._numbers.add(number)
            try:
                if not self._is_made:
                    os.mkdir(self.path, 0o700)
                    self._is_made = True
                fd = os.open(self.path_of(number), _WRITE | os.O_CREAT | os.O_EXCL, 0o600)
            except BaseException:
                self._forget(number)
                raise
            if self._fd is None:
                self._lock_it()
            return number, fd

    def remove(self, number: int) -> None:
        """Remove a file, and with the last one the directory; nothing in a fork of the process."""
        if self.owner != os.getpid():
            return
        try:
            os.unlink(self.path_of(number))
        except OSError:
            pass  # Somebody has removed it.
        with self._lock:
            self._forget(number)

    def remove_all(self) -> None:
        """Remove it with all files, for the end of the process; nothing in a fork of the process."""
        if self.owner == os.getpid() and self._is_made:
            remove_directory(self.path, _AT_EXIT_SECONDS)

    def _lock_it(self) -> None:
        # Whoever clears old files out of temporary directories leaves alone what somebody has locked. It
        # comes after the file: there may have been one fd left.
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            pass  # It serves without.

    def _forget(self, number: int) -> None:
        self._numbers.discard(number)
        if self._numbers or not self._is_made:
            return
        self._is_made = False
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        try:
            os.rmdir(self.path)
        except OSError:
            # Somebody has put something in it: it stays, and the next one is another.
            _plan_another(self)


_planned: _Directory | None = None
_directories: WeakSet[_Directory] = WeakSet()
_reserves: WeakSet[Reserve] = WeakSet()
_borrowing = threading.RLock()


def _directory() -> _Directory:
    """The directory in which the next file is made."""
    global _planned
    found = _planned
    if found is None or found.parent != tempfile.gettempdir():
        found = _planned = _Directory()
        _directories.add(found)
    return found


def _plan_another(spoiled: _Directory) -> None:
    global _planned
    if _planned is spoiled:
        _planned = None


@contextmanager
def _borrowed_fd(error: OSError) -> Iterator[None]:
    """Have an fd free within the block, by a reserve; raise ``error`` where that does not help."""
    if not is_want_of_fds(error):
        raise error
    with _borrowing:
        reserve = next((one for one in list(_reserves) if one.close()), None)
        if reserve is None:
            raise error
        try:
            yield
        finally:
            reserve.open()


def _remove_all() -> None:
    for directory in list(_directories):
        directory.remove_all()


def _forked() -> None:
    """A fork of the process makes files of its own, in a directory of its own."""
    global _planned, _borrowing
    _planned = None
    _borrowing = threading.RLock()


atexit.register(_remove_all)
os.register_at_fork(after_in_child=_forked)
