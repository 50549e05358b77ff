"""Bytes that are kept: in memory at first, in unlinked temporary files past a bound."""

from __future__ import annotations

import _thread
import os
import tempfile

__all__ = ["ByteLog"]

_SEGMENTS = 8
_MIN_SEGMENT = 64 << 10
_LARGE_FILE = 8 << 20


class _Segment:
    """A run of bytes in one place: in memory, or in an unlinked temporary file."""

    def __init__(self, base: int, fd: int | None = None) -> None:
        self.base = base
        self.size = 0
        self.memory = bytearray()
        # A number, not a file object: in a cycle that is collected, that one would be finalized first,
        # with a ResourceWarning.
        self.fd = fd

    def write(self, data: memoryview, *, whole: bool = False) -> int:
        """Appends what it can: fewer bytes than given, or with ``whole`` none, when the disk is full."""
        if self.fd is None:
            self.memory += data
            self.size += len(data)
            return len(data)
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self.fd, data[done:], self.size + done)
        except OSError:
            if whole:
                return 0
        self.size += done
        return done

    def read(self, start: int, stop: int) -> bytes:
        if self.fd is None:
            return bytes(self.memory[start:stop])
        return os.pread(self.fd, stop - start, start)

    def close(self) -> None:
        self.memory = bytearray()
        if (fd := self.take_fd()) is not None:
            os.close(fd)

    def take_fd(self) -> int | None:
        """The fd, which is the caller's to close from now on."""
        fd, self.fd = self.fd, None
        return fd

    __del__ = close


class ByteLog:
    """Bytes, appended at one end, read anywhere, the oldest dropped past a bound.

    Args:
        memory: how many bytes stay in memory; past that all go to unlinked temporary files.
        max_bytes: how many bytes are kept.

    Attributes:
        start: the offset of the oldest byte that is kept.
        end: the offset past the newest.
    """

    def __init__(self, memory: int, max_bytes: int) -> None:
        self.start = 0
        self.end = 0
        self._memory = min(memory, max_bytes)
        self._max_bytes = max_bytes
        self._segment_size = max(_MIN_SEGMENT, max_bytes // _SEGMENTS)
        self._segments = [_Segment(0)]

    def append_whole(self, data: bytes) -> bool:
        """Appends ``data``, which is small, or none of it; returns whether it could be kept."""
        segment = self._room()
        if segment is None or segment.write(memoryview(data), whole=True) < len(data):
            return False
        self.end += len(data)
        self.drop_before(self.end - self._max_bytes)
        return True

    def append(self, data: bytes | memoryview) -> int:
        """Appends a copy of ``data``; returns how many bytes of it could be kept."""
        view, kept = memoryview(data), 0
        while kept < len(view):
            segment = self._room()
            if segment is None:
                break
            limit = self._memory if segment.fd is None else self._segment_size
            part = view[kept : kept + max(limit - segment.size, 1)]
            written = segment.write(part)
            kept += written
            self.end += written
            if written < len(part):
                break
        self.drop_before(self.end - self._max_bytes)
        return kept

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop``, less what has been dropped or has not come yet."""
        start, stop = max(start, self.start), min(stop, self.end)
        parts = []
        for segment in self._segments:
            first, last = max(start - segment.base, 0), min(stop - segment.base, segment.size)
            while first < last:
                part = segment.read(first, last)
                if not part:
                    break
                parts.append(part)
                first += len(part)
        return b"".join(parts)

    def drop_before(self, offset: int) -> None:
        """Drops what lies before ``offset``; a segment's place is given back once all of it is dropped."""
        self.start = max(self.start, offset)
        while len(self._segments) > 1 and self._segments[1].base <= self.start:
            _close([self._segments.pop(0)])

    def close(self) -> None:
        """Gives everything back; nothing can be read or appended after it."""
        _close(self._segments)
        self._segments = [_Segment(self.end)]
        self.start = self.end

    def __del__(self) -> None:
        _close(self._segments)

    def _room(self) -> _Segment | None:
        """The segment to append to; None when there is no place on disk for one."""
        last = self._segments[-1]
        if last.size < (self._memory if last.fd is None else self._segment_size):
            return last
        fd = _temporary_file()
        if fd is None:
            return None
        fresh = _Segment(self.end, fd)
        if last.fd is None:
            # All that was in memory moves along, so that a job which writes much holds no memory.
            fresh.base = last.base
            if fresh.write(memoryview(last.memory)) < last.size:
                fresh.close()
                return None
            self._segments[-1] = fresh
        else:
            self._segments.append(fresh)
        return fresh


def _close(segments: list[_Segment]) -> None:
    # The system takes its time to free the pages of a file without a name, 5 ms for 128 MiB. A loop
    # has no such time, and what is collected may be collected there.
    large = [segment.take_fd() for segment in segments if segment.size >= _LARGE_FILE]
    fds = [fd for fd in large if fd is not None]
    for segment in segments:
        segment.close()
    if fds:
        try:
            _thread.start_new_thread(_close_fds, (fds,))
        except RuntimeError:
            # No more threads can be had, at the end of the interpreter for one.
            _close_fds(fds)


def _close_fds(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _temporary_file() -> int | None:
    """An fd of a file without a name; None when there is none to be had."""
    try:
        with tempfile.TemporaryFile(buffering=0, prefix="ipyproc-") as file:
            return os.dup(file.fileno())
    except OSError:
        return None
