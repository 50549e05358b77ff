"""The files that hold jobs' output, in one private directory, which is removed when the process exits."""

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
    """Return the path of the directory for new output files; the directory may not exist yet.

    The path is fixed before the directory is created, so that a caller can register it with whatever
    removes it if the process is killed.
    """
    return _directory().path


class SpoolFile:
    """One file in the private directory of this process; create it with `create`.

    Its fd stays open until `rest`; after that each access opens the file and closes it again. `remove`
    removes the file, and so does garbage collection. A fork of the process can only read it, since the
    file belongs to the process that created it.
    """

    __slots__ = ("_directory", "_fd", "_inode", "_number")

    def __init__(self, directory: _Directory, number: int, inode: int, fd: int | None) -> None:
        self._directory = directory
        self._number = number
        self._inode = inode
        self._fd = fd

    @property
    def is_ours(self) -> bool:
        """True if this process created the file; False in a fork of it."""
        return self._directory.owner == os.getpid()

    @classmethod
    def create(cls) -> SpoolFile:
        """Create an empty file.

        Raises:
            OSError: the disk is full, or the process may open no more files.
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
        """Write ``data`` at an offset; return the number of bytes written, at least one.

        Raises:
            OSError: no byte could be written, or this process is a fork of the one that owns the file.
        """
        if not self.is_ours:
            raise OSError(errno.EPERM, "A fork may not write output")
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
            FileNotFoundError: the file was removed, or replaced by another.
            OSError: the file could not be opened.
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
        """Close the fd; `read` and `write` still work, and open the file when called."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def remove(self) -> None:
        """Close the fd and remove the file; a second call does nothing."""
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
    """One fd, kept open so that it can be closed for a moment when the process may open no other."""

    def __init__(self) -> None:
        # A dictionary, since two threads may open and close it at once: each of its calls is atomic.
        self._fd: dict[str, int] = {}
        _reserves.add(self)

    def open(self) -> None:
        """Open the fd if it is closed; do nothing if the process may open no more."""
        if not self._fd:
            try:
                fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
            if self._fd.setdefault("fd", fd) != fd:
                os.close(fd)

    def close(self) -> bool:
        """Close the fd; return True if it was open."""
        fd = self._fd.pop("fd", None)
        if fd is not None:
            os.close(fd)
        return fd is not None

    def __del__(self) -> None:
        self.close()


class _Directory:
    """The private directory; it exists while it has a file.

    Attributes:
        path: its path, also before it exists.
        owner: the pid of the process that owns it.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.parent = tempfile.gettempdir()
        self.path = os.path.join(self.parent, PREFIX + secrets.token_hex(8))
        # The garbage collector may call `remove` at any point, in this thread too. Hence an RLock, and hence
        # a file's number is in the set before the file exists.
        self._lock = threading.RLock()
        self._numbers: set[int] = set()
        self._last_number = 0
        self._fd: int | None = None
        self._is_made = False

    def path_of(self, number: int) -> str:
        """Return the path of a file."""
        return f"{self.path}/{number}"

    def new_file(self) -> tuple[int, int]:
        """Create a file; return its number and its fd, which the caller closes."""
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
        """Remove a file, and the directory after its last file; do nothing in a fork of the process."""
        if self.owner != os.getpid():
            return
        try:
            os.unlink(self.path_of(number))
        except OSError:
            pass  # Another program has removed it.
        with self._lock:
            self._forget(number)

    def remove_all(self) -> None:
        """Remove the directory and its files as the process exits; do nothing in a fork of the process."""
        if self.owner == os.getpid() and self._is_made:
            remove_directory(self.path, _AT_EXIT_SECONDS)

    def _lock_it(self) -> None:
        # Programs that clear old files out of temporary directories skip what is locked. The lock comes
        # after the file, since only one fd may have been left.
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            pass  # The lock is a precaution only.

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
            # Another program has put something in it: it stays, and the next file gets a new directory.
            _plan_another(self)


_planned: _Directory | None = None
_directories: WeakSet[_Directory] = WeakSet()
_reserves: WeakSet[Reserve] = WeakSet()
_borrowing = threading.RLock()


def _directory() -> _Directory:
    """Return the directory for the next file."""
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
    """Free an fd for the block by closing a reserve; raise ``error`` if that would not help."""
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
    """Give a fork of the process a directory and a lock of its own."""
    global _planned, _borrowing
    _planned = None
    _borrowing = threading.RLock()


atexit.register(_remove_all)
os.register_at_fork(after_in_child=_forked)
