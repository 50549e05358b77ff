"""Output in files that have names: one process writes them, and any number of others read them meanwhile.

The bytes stand in segments ``out.OFFSET``, and the pieces, each with its offset, time and stream, in segments
``pieces.OFFSET``; the number in a name is the offset of the segment's first byte. The size of a file is the
truth: nothing else says how much there is, so that whoever opens them after the writer was killed goes on
where it stopped. Bytes of a pipe or a terminal are moved by `splice(2)`, within the system: a writer that is
killed amid that has neither lost nor doubled a byte.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress

from ipyproc.spool.log import MIN_SEGMENT, SEGMENTS, ByteLog, why_lost
from ipyproc.spool.output import Output, StreamName
from ipyproc.spool.pieces import INDEX_BYTES, RECORD

__all__ = ["NamedLog", "NamedOutput"]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
_DISCARD = 256 << 10
_STDERR_LOOK = 1 << 20
_STDERR_TAIL = 8 << 10
_DONT_WAIT = getattr(os, "SPLICE_F_NONBLOCK", 2)
_CANNOT_SPLICE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_NAME = re.compile(r"(out|pieces)\.(\d{20})")


class NamedLog(ByteLog):
    """A log of bytes in named segments, of which the oldest are removed past a bound.

    It has no lock: the caller allows one thread at a time.

    Args:
        directory: of the files; it exists.
        prefix: the first part of their names, ``out`` or ``pieces``.
        max_bytes: the number of bytes to keep.
        unit: the size of a record; what is more at the end was not written whole.
        writes: whether this is the one that writes them.
    """

    __slots__ = ("_bases", "_directory", "_prefix", "_read", "_unit", "_write", "_writes")

    def __init__(self, directory: str, prefix: str, max_bytes: int, *, unit: int = 1, writes: bool) -> None:
        self._bases: list[int] = []
        self._read: tuple[int, int] | None = None
        self._write: int | None = None
        super().__init__(0, max_bytes)
        self._directory = directory
        self._prefix = prefix
        self._unit = unit
        self._writes = writes
        self.refresh()

    @property
    def in_memory(self) -> bool:
        """False: all bytes are in files."""
        return False

    def refresh(self) -> None:
        """Look at the files: how far they go, and which there are."""
        found = (_NAME.fullmatch(name) for name in os.listdir(self._directory))
        bases = sorted(int(one[2]) for one in found if one is not None and one[1] == self._prefix)
        if not bases:
            return
        with suppress(FileNotFoundError):
            size = os.stat(self._path(bases[-1])).st_size
            self.end = max(self.end, bases[-1] + size // self._unit * self._unit)
        self._bases = bases
        self.start = max(self.start, bases[0], self.end - self._max_bytes)

    def append_whole(self, data: bytes) -> bool:
        """Append all of ``data``, which is small, or none of it; return True if it was appended."""
        at = self.end
        if self.append(data) == len(data):
            return True
        self.end = at
        return False

    def append(self, data: bytes | memoryview) -> int:
        """Append ``data``; return the number of bytes kept, fewer if there was no room."""
        view, kept = memoryview(data), 0
        while kept < len(view):
            try:
                fd, at, room = self._to_write()
                done = os.pwrite(fd, view[kept : kept + room], at)
            except OSError as error:
                self.error = why_lost(error)
                break
            kept += done
            self.end += done
        self.drop_before(self.end - self._max_bytes)
        return kept

    def splice(self, source: int) -> int | None:
        """Move what a pipe holds to the end of the log, at most 1 MiB.

        Args:
            source: the pipe's reading end, which does not block.

        Returns:
            The number of bytes; 0 at the pipe's end; None where it holds nothing.

        Raises:
            OSError: the disk has no room for them, or the system cannot do this; nothing was moved.
        """
        fd, at, room = self._to_write()
        try:
            moved = os.splice(source, fd, min(room, _PIECE), offset_dst=at, flags=_DONT_WAIT)
        except BlockingIOError:
            return None
        self.end += moved
        self.drop_before(self.end - self._max_bytes)
        return moved

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to ``stop``, without those that were dropped or have not come.

        Raises:
            OSError: a file could not be opened, since the process may open no more.
        """
        start, stop = max(start, self.start), min(stop, self.end)
        parts: list[bytes] = []
        ends = [*self._bases[1:], self.end] if self._bases else []
        for base, end in zip(self._bases, ends, strict=True):
            first, last = max(start, base), min(stop, end)
            while first < last:
                try:
                    part = os.pread(self._to_read(base), last - first, first - base)
                except FileNotFoundError:
                    part = b""
                if not part:
                    # The writer may have dropped it, or somebody has removed it.
                    self.error = None if self._is_dropped(base) else "its file was removed"
                    break
                parts.append(part)
                first += len(part)
        return b"".join(parts)

    def drop_before(self, offset: int) -> None:
        """Drop the bytes before ``offset``; the writer removes a segment once all its bytes are dropped."""
        self.start = max(self.start, offset)
        while len(self._bases) > 1 and self._bases[1] <= self.start:
            dropped = self._bases.pop(0)
            if self._writes:
                with suppress(OSError):
                    os.unlink(self._path(dropped))

    def skip(self, size: int) -> None:
        """Do nothing: what was dropped is seen by the names of the files."""

    def settle(self, memory: int) -> None:
        """Close all fds, until the next access."""
        for fd in (self._write, self._read and self._read[1]):
            if fd is not None:
                os.close(fd)
        self._write = self._read = None

    def close(self) -> None:
        """Close all fds; `read` returns nothing after this, and the files stay."""
        self.settle(0)
        self.start = self.end
        self._bases = []

    def __del__(self) -> None:
        self.settle(0)

    # Helpers

    def _path(self, base: int) -> str:
        return os.path.join(self._directory, f"{self._prefix}.{base:020d}")

    def _is_dropped(self, base: int) -> bool:
        return not os.path.lexists(self._path(base)) and bool(self._bases) and base < self._bases[-1]

    def _to_write(self) -> tuple[int, int, int]:
        """Return the fd of the last segment, the offset in it, and how many bytes it still takes.

        Raises:
            OSError: no file can be made or opened.
        """
        # Whole records, so that none stands in two files.
        limit = max(MIN_SEGMENT, self._max_bytes // SEGMENTS) // self._unit * self._unit
        if not self._bases or self.end - self._bases[-1] >= limit:
            fd = os.open(self._path(self.end), _WRITE | os.O_CREAT, 0o600)
            if self._write is not None:
                os.close(self._write)
            self._write = fd
            self._bases.append(self.end)
        elif self._write is None:
            self._write = os.open(self._path(self._bases[-1]), _WRITE)
        at = self.end - self._bases[-1]
        return self._write, at, limit - at

    def _to_read(self, base: int) -> int:
        if self._read is None or self._read[0] != base:
            fd = os.open(self._path(base), _READ)
            if self._read is not None:
                os.close(self._read[1])
            self._read = base, fd
        return self._read[1]


class NamedOutput(Output):
    """All output of one job, in the named files of a directory; see `Output`.

    Args:
        directory: of the files; it exists.
        max_bytes: the number of bytes to keep.
        encoding: the encoding of the bytes.
        terminal: whether they come from a terminal.
        writes: whether this is the one that writes them. Of the others each looks by `refresh` what has come.
    """

    __slots__ = ("_can_splice",)

    def __init__(
        self, directory: str, max_bytes: int, encoding: str = "utf-8", *, terminal: bool, writes: bool
    ) -> None:
        super().__init__(max_bytes, encoding, terminal=terminal)
        self._log = NamedLog(directory, "out", max_bytes, writes=writes)
        self._index = NamedLog(directory, "pieces", INDEX_BYTES, unit=RECORD.size, writes=writes)
        self._can_splice = hasattr(os, "splice")
        # A terminal has one stream; of pipes each stretch is looked up.
        self._seen = 1 if terminal else 3

    def refresh(self) -> bool:
        """Look at the files; return whether there is more of it than before."""
        with self.lock:
            end = self._log.end
            # In this order: of all bytes that are seen, the pieces are there by then.
            for one in (self._log, self._index):
                if isinstance(one, NamedLog):
                    one.refresh()
            return self._log.end > end

    def take(self, stream: StreamName, fd: int, at: float, through: tuple[int, int] | None) -> int | None:
        """Move what a pipe or a terminal holds to the end; for the writer, with the lock held.

        Args:
            stream: what it is.
            fd: the pipe's reading end, or the terminal's master; it does not block.
            at: the time.
            through: of a terminal, the two ends of a pipe through which its bytes go, non-blocking too.

        Returns:
            The number of bytes; 0 at the end; None where it holds nothing.

        Raises:
            OSError: the terminal is at its end (EIO), or it cannot be read.
        """
        if not self._note(1 if stream == "stdout" else 2, self._log.end, at):
            return self._discard(fd)
        if not self._can_splice:
            return self._copy(fd)
        found: int | None = None
        if through is not None:
            try:
                found = os.splice(fd, through[1], _PIECE, flags=_DONT_WAIT)
            except BlockingIOError:
                pass
            except OSError as error:
                # What another process has put into the pipe before it was killed comes first.
                if error.errno not in _CANNOT_SPLICE:
                    if moved := self._move(through[0]):
                        return moved
                    raise
                self._can_splice = False
                return self._copy(fd)
        moved = self._move(fd if through is None else through[0])
        return found if moved is None else moved

    def _move(self, fd: int) -> int | None:
        assert isinstance(self._log, NamedLog)
        try:
            return self._log.splice(fd)
        except OSError as error:
            if error.errno in _CANNOT_SPLICE:
                self._can_splice = False
                return self._copy(fd)
            self._log.error = why_lost(error)
            return self._discard(fd)

    def _copy(self, fd: int) -> int | None:
        """Read and append; where the system cannot splice, a writer that is killed loses a piece."""
        try:
            data = os.read(fd, _DISCARD)
        except BlockingIOError:
            return None
        self.lost += len(data) - self._log.append(data)
        return len(data)

    def _discard(self, fd: int) -> int | None:
        """Read and count as lost: a job is not to wait for a disk that is full."""
        try:
            size = len(os.read(fd, _DISCARD))
        except BlockingIOError:
            return None
        self.lost += size
        return size

    def _last_of_stderr(self) -> bytes:
        with self.lock:
            start = max(self.start, self.end - _STDERR_LOOK)
            stretches = [
                (first, last) for name, first, last in self._stretches(start, None) if name == "stderr"
            ]
            return b"".join(self._log.read(first, last) for first, last in stretches)[-_STDERR_TAIL:]
