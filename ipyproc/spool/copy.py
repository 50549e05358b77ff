"""A file of the user's that gets a copy of a job's output, as ``tee -a`` makes one, rotated by size."""

from __future__ import annotations

import _thread
import errno
import os
import stat
from contextlib import suppress

__all__ = ["CopyFile"]

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC


class CopyFile:
    """Append bytes to a file; past a size, it becomes ``FILE.1``, that becomes ``FILE.2``, and so on.

    It has no lock: the caller allows one thread at a time.

    Args:
        path: the path of the file, which is created if it does not exist.
        size: the bytes past which the file is rotated, at a line end if there is one; 0 for never.
        keep: the number of rotated files to keep.

    Attributes:
        path: the absolute path of the file.
        missing: the number of bytes that could not be written to it.
        error: why, in the system's words, or why it could not be rotated; empty if all went well.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """

    __slots__ = ("_at", "_fd", "_keep", "_rests", "_size", "error", "missing", "path")

    def __init__(self, path: str, size: int, keep: int) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))
        self.missing = 0
        self.error = ""
        self._size = size
        self._keep = keep
        self._at = 0
        self._rests = False
        self._fd: int | None = None
        self._open()

    def append(self, data: bytes | memoryview) -> None:
        """Append bytes; count those for which there was no room."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._write(view) :]
        except OSError as error:
            self.missing += len(view)
            self.error = _why(error)
        if self._rests:
            self._close()

    def rest(self) -> None:
        """Close the fd, since the job has ended; what still comes is appended all the same."""
        self._rests = True
        self._close()

    def wake(self) -> None:
        """Keep the fd open from the next append on, since the job was started anew."""
        self._rests = False

    @property
    def note(self) -> str:
        """What went wrong, as a sentence without its full stop; empty if all went well."""
        if self.missing:
            return (
                f"{self.missing:,} bytes of output are missing in the log file {self.path!r} ({self.error})"
            )
        return f"the log file {self.path!r} could not be rotated ({self.error})" if self.error else ""

    def __del__(self) -> None:
        self._close()

    def _write(self, view: memoryview) -> int:
        """Write the beginning of ``view``; return how much, 0 after a rotation."""
        fd = self._open()
        if self._size and self._at + len(view) > self._size:
            room = max(0, self._size - self._at)
            whole_lines = bytes(view[:room]).rfind(b"\n") + 1
            if self._at and not whole_lines:
                self._rotate()
                return 0
            view = view[: whole_lines or self._size]
        written = os.write(fd, view)
        self._at += written
        return written

    def _open(self) -> int:
        if self._fd is None:
            fd = os.open(self.path, _FLAGS, 0o666)
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                os.close(fd)
                raise OSError(errno.EINVAL, "it is not a regular file", self.path)
            self._fd, self._at = fd, status.st_size
        return self._fd

    def _rotate(self) -> None:
        self._close()
        oldest = None
        try:
            with suppress(FileNotFoundError):
                # The system frees a large file at its last close, in milliseconds: in a thread, that is.
                oldest = os.open(self._rotated(self._keep), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            if not self._keep:
                os.unlink(self.path)
            for number in range(self._keep, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(self._rotated(number - 1), self._rotated(number))
        except OSError as error:
            self._size, self.error = 0, _why(error)
        finally:
            if oldest is not None:
                _close_elsewhere(oldest)

    def _rotated(self, number: int) -> str:
        return f"{self.path}.{number}" if number else self.path

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _why(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _close_elsewhere(fd: int) -> None:
    try:
        _thread.start_new_thread(os.close, (fd,))
    except RuntimeError:
        # The system allows no more threads, or the interpreter is shutting down.
        os.close(fd)
