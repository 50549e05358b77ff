"""A log of bytes: in memory up to a bound, in private files past it."""

from __future__ import annotations

import _thread
import logging
import os
from collections.abc import Sequence
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Final

from ipyproc.process.fds import is_want_of_fds
from ipyproc.spool.files import SpoolFile

__all__ = ["MIN_SEGMENT", "SEGMENTS", "ByteLog", "why_lost"]

log = logging.getLogger("ipyproc")

SEGMENTS = 8
"""In how many parts a log is kept, so that the oldest can be dropped by and by."""

MIN_SEGMENT = 64 << 10
"""The bytes of such a part at least."""

_LARGE_FILE = 8 << 20
_WITHOUT_FDS = 8 << 20
_FULL = "no room on disk"
_REMOVED = "its file was removed"


class _Segment:
    """A contiguous run of bytes, either in memory or in a file."""

    __slots__ = ("base", "file", "memory", "size")

    def __init__(self, base: int, file: SpoolFile | None = None) -> None:
        self.base = base
        self.size = 0
        self.file: Final = file
        self.memory: bytes | bytearray = b""

    def write(self, data: memoryview) -> int:
        """Append bytes; return the number of bytes appended, at least one.

        Raises:
            OSError: no byte could be appended.
        """
        if self.file is not None:
            done = self.file.write(data, self.size)
        else:
            if not isinstance(self.memory, bytearray):
                self.memory = bytearray(self.memory)
            self.memory += data
            done = len(data)
        self.size += done
        return done

    def read(self, start: int, stop: int) -> bytes:
        if self.file is None:
            return bytes(self.memory[start:stop])
        return self.file.read(start, stop)


class ByteLog:
    """An append-only log of bytes that can be read at any offset and drops the oldest past a bound.

    It has no lock: the caller allows one thread at a time.

    Args:
        memory: the number of bytes to hold in memory; past it all bytes go to files.
        max_bytes: the number of bytes to keep.

    Attributes:
        start: the offset of the oldest byte kept.
        end: the offset past the newest byte.
        error: why bytes were lost last; None if none were lost.
    """

    __slots__ = ("_max_bytes", "_memory", "_segments", "end", "error", "start")

    def __init__(self, memory: int, max_bytes: int) -> None:
        self.start = 0
        self.end = 0
        self.error: str | None = None
        self._memory = min(memory, max_bytes)
        self._max_bytes = max_bytes
        self._segments: tuple[_Segment, ...] = ()

    @property
    def in_memory(self) -> bool:
        """True if no byte is in a file."""
        return not any(segment.file for segment in self._segments)

    def append_whole(self, data: bytes) -> bool:
        """Append all of ``data``, which is small, or none of it; return True if it was appended."""
        try:
            segment = self._room()
            written = segment.write(memoryview(data))
        except OSError as error:
            self.error = why_lost(error)
            return False
        if written < len(data):
            segment.size -= written
            self.error = _FULL
            return False
        self.end += len(data)
        self.drop_before(self.end - self._max_bytes)
        return True

    def append(self, data: bytes | memoryview) -> int:
        """Append a copy of ``data``; return the number of bytes kept, fewer if there was no room."""
        view, kept = memoryview(data), 0
        while kept < len(view) and (written := self._append(view[kept:])):
            kept += written
        self.drop_before(self.end - self._max_bytes)
        return kept

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to ``stop``, without those that were dropped or have not come.

        Raises:
            OSError: a file could not be opened, since the process may open no more.
        """
        start, stop = max(start, self.start), min(stop, self.end)
        parts = []
        for segment in self._segments:
            first, last = max(start - segment.base, 0), min(stop - segment.base, segment.size)
            while first < last:
                try:
                    part = segment.read(first, last)
                except FileNotFoundError as error:
                    self._miss(segment, error)
                    break
                if not part:
                    break
                parts.append(part)
                first += len(part)
        return b"".join(parts)

    def drop_before(self, offset: int) -> None:
        """Drop the bytes before ``offset``; a segment is removed once all its bytes are dropped."""
        self.start = max(self.start, offset)
        while len(self._segments) > 1 and self._segments[1].base <= self.start:
            first, *rest = self._segments
            self._segments = tuple(rest)
            _remove((first,))

    def skip(self, size: int) -> None:
        """Go on ``size`` bytes later: neither these nor any before are kept."""
        segments, self._segments = self._segments, ()
        self.end += size
        self.start = self.end
        _remove(segments)

    def settle(self, memory: int) -> None:
        """Close all fds and free spare memory, until the next append.

        Args:
            memory: the number of bytes that may stay in memory.
        """
        settled = []
        for segment in self._segments:
            if segment.file is None and segment.size > memory:
                try:
                    segment = _in_a_file(segment)
                except OSError:
                    pass  # It stays in memory.
            if segment.file is not None:
                segment.file.rest()
            else:
                segment.memory = bytes(segment.memory)
            settled.append(segment)
        self._segments = tuple(settled)

    def close(self) -> None:
        """Free the memory and remove the files; `read` returns nothing after this."""
        segments, self._segments = self._segments, ()
        self.start = self.end
        _remove(segments)

    def __del__(self) -> None:
        _remove(self._segments)

    def _miss(self, segment: _Segment, error: OSError) -> None:
        # In a fork this is no loss: the owner of the files may have dropped these bytes.
        if segment.file and segment.file.is_ours and self.error != _REMOVED:
            self.error = _REMOVED
            log.warning("Output is lost, since another program removed its file: %s.", error)

    def _append(self, view: memoryview) -> int:
        """Append to the last segment; return the number of bytes appended, 0 if there is no room.

        A segment may pass its limit by one byte, so that each call makes progress.
        """
        try:
            segment = self._room()
            written = segment.write(view[: max(self._limit_of(segment) - segment.size, 1)])
        except OSError as error:
            self.error = why_lost(error)
            return 0
        self.end += written
        return written

    def _limit_of(self, segment: _Segment) -> int:
        if segment.file is not None:
            return max(MIN_SEGMENT, self._max_bytes // SEGMENTS)
        # Only a process that may open no more files fills a segment in memory.
        return self._memory if segment.size < self._memory else self._memory + _WITHOUT_FDS

    def _room(self) -> _Segment:
        """Return the segment to append to.

        Raises:
            OSError: neither memory nor disk has room for one.
        """
        if not self._segments:
            self._segments = (_Segment(self.end),)
        last = self._segments[-1]
        if last.file is None:
            if last.size < self._memory:
                return last
            try:
                # All bytes in memory move to the file, so that a job that writes much holds no memory.
                self._segments = (*self._segments[:-1], _in_a_file(last))
            except OSError as error:
                # Memory serves until an fd is free again, up to a bound.
                if not is_want_of_fds(error) or last.size >= self._limit_of(last):
                    raise
        elif last.size >= self._limit_of(last):
            try:
                fresh = _Segment(self.end, SpoolFile.create())
            except OSError as error:
                if not is_want_of_fds(error):
                    raise
                fresh = _Segment(self.end)
            last.file.rest()
            self._segments = (*self._segments, fresh)
        return self._segments[-1]


def _in_a_file(segment: _Segment) -> _Segment:
    """Return a copy, in a new file, of a segment in memory.

    Raises:
        OSError: the disk has no room for it, or the process may open no more files.
    """
    copy = _Segment(segment.base, SpoolFile.create())
    view = memoryview(segment.memory)
    while copy.size < segment.size:
        copy.write(view[copy.size :])
    return copy


def why_lost(error: OSError) -> str:
    """Return why bytes could not be kept, in a few words."""
    if is_want_of_fds(error):
        return "no more files may be opened"
    if error.errno in (ENOSPC, EDQUOT, EFBIG):
        return _FULL
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _remove(segments: Sequence[_Segment]) -> None:
    # The system needs 5 ms to free 128 MiB of a file, which would hold an event loop up; garbage collection
    # may call this on a loop's thread.
    large = [segment.file for segment in segments if segment.file and segment.size >= _LARGE_FILE]
    for segment in segments:
        if segment.file and segment.size < _LARGE_FILE:
            segment.file.remove()
    if large:
        try:
            _thread.start_new_thread(_remove_files, (large,))
        except RuntimeError:
            # The system allows no more threads, or the interpreter is shutting down.
            _remove_files(large)


def _remove_files(files: list[SpoolFile]) -> None:
    for file in files:
        file.remove()
