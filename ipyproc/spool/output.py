"""All output of a job: in memory up to a bound, in private files past it.

The bytes are stored as they came, and decoded when text is asked for.
"""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ipyproc.seen import last_line
from ipyproc.spool.copy import CopyFile
from ipyproc.spool.log import ByteLog
from ipyproc.spool.pieces import INDEX_BYTES, RECORD

__all__ = ["LineReader", "Output", "Piece", "StreamName", "decoder_of", "decoders_of"]

StreamName = Literal["stdout", "stderr"]

_CODES: dict[StreamName, int] = {"stdout": 1, "stderr": 2}
_NAMES: dict[int, StreamName] = {code: name for name, code in _CODES.items()}

_MEMORY = 256 << 10
_SETTLED_MEMORY = 64 << 10
_SETTLED_INDEX = 512
_CHUNK = 1 << 20
_SAME_MOMENT = 0.01
_STDERR_TAIL = 8 << 10

_renewing = threading.Lock()
# One number for all jobs of the process.
_own_pid = os.getpid()


@dataclass(frozen=True)
class Piece:
    """Output that came on one stream at one moment.

    Attributes:
        stream: "stdout" or "stderr".
        at: when it was read, in seconds since the epoch.
        start: the offset of its first byte in the job's output.
        stop: the offset past its last byte.
    """

    stream: StreamName
    at: float
    start: int
    stop: int


class Output:
    """All output of one job: every byte, in order, each piece with its stream and its time.

    Any thread may call any method. Each access holds `lock`; code that reads a pipe into an `Output` holds
    it from the read to the append, so that no byte comes twice or out of order. A fork of the process can
    read it, even if another thread held the lock at the fork.

    Args:
        max_bytes: the number of bytes to keep; past it the oldest are dropped.
        encoding: the encoding of the bytes; it has the line ends of ASCII.
        terminal: whether the bytes came from a terminal, which writes CR LF for LF. Text has LF again.

    Attributes:
        encoding: the encoding of the bytes.
        copy: the file that gets a copy of all bytes that are appended; None for none.
        terminal: whether the bytes came from a terminal.
        lost: the number of bytes that could not be stored, for example on a full disk.
    """

    __slots__ = (
        "__weakref__",
        "_given_back",
        "_index",
        "_is_settled",
        "_is_utf8",
        "_last_at",
        "_last_code",
        "_lock",
        "_log",
        "_owner",
        "_seen",
        "_stderr_tail",
        "copy",
        "encoding",
        "lost",
        "terminal",
    )

    def __init__(self, max_bytes: int, encoding: str = "utf-8", *, terminal: bool = False) -> None:
        self.encoding = encoding
        self.copy: CopyFile | None = None
        self.terminal = terminal
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._owner = _own_pid
        self._lock = threading.RLock()
        self.lost = 0
        self._log = ByteLog(_MEMORY, max_bytes)
        self._index = ByteLog(_MEMORY // 4, INDEX_BYTES)
        self._seen = 0
        self._last_code = 0
        self._last_at = 0.0
        self._stderr_tail: bytes | None = b""
        self._given_back = 0
        self._is_settled = False

    @property
    def lock(self) -> threading.RLock:
        """The reentrant lock that each access holds."""
        if self._owner != os.getpid():
            # In a fork the thread that held the lock does not exist, and would never release it.
            with _renewing:
                if self._owner != os.getpid():
                    self._lock = threading.RLock()
                    self._owner = _own_pid
        return self._lock

    @property
    def lost_because(self) -> str:
        """Why bytes were lost last, such as "no room on disk"; empty if none were."""
        return self._log.error or self._index.error or ""

    @property
    def start(self) -> int:
        """The offset of the oldest byte kept."""
        return self._log.start

    @property
    def dropped(self) -> int:
        """The number of bytes dropped because of ``max_bytes``."""
        return self._log.start - self._given_back

    @property
    def end(self) -> int:
        """The offset past the newest byte."""
        return self._log.end

    def append(self, stream: StreamName, data: bytes | memoryview, at: float) -> None:
        """Append a copy of ``data``, which came on ``stream`` at the time ``at``."""
        code = _CODES[stream]
        with self.lock:
            if self._is_settled:
                self._stderr_tail, self._is_settled = self._last_of_stderr(), False
            # Bytes without a record could be shown on the wrong stream, so the record is written first;
            # if the disk is full, the bytes are lost.
            kept = self._log.append(data) if self._note(code, self._log.end, at) else 0
            self.lost += len(data) - kept
            if self.copy is not None:
                self.copy.append(data)
            if stream == "stderr":
                before = self._stderr_tail or b""
                self._stderr_tail = (before + bytes(data[-_STDERR_TAIL:]))[-_STDERR_TAIL:]

    def skip(self, size: int) -> None:
        """Go on ``size`` bytes later: they were dropped before they came here, and so is what came before."""
        with self.lock:
            self._stderr_tail = self._last_of_stderr()
            self._log.skip(size)
            self._last_code = 0

    def lose(self, size: int, because: str) -> None:
        """Count bytes that could not be kept where they came from."""
        with self.lock:
            self.lost += size
            self._log.error = because or self._log.error

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes from ``start`` to ``stop`` (default: the end), both streams as they came."""
        with self.lock:
            return self._log.read(start, self._log.end if stop is None else stop)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
        """Yield the pieces between two offsets; neighbours of one stream and one moment are joined."""
        with self.lock:
            stop = self.end if stop is None else min(stop, self.end)
            position = max(start, self.start)
            record = self._record_of(position)
        while position < stop:
            with self.lock:
                raw = self._index.read(record * RECORD.size, (record + 4097) * RECORD.size)
            records = list(RECORD.iter_unpack(raw[: len(raw) // RECORD.size * RECORD.size]))
            if not records:
                return
            last = len(records) <= 4096
            ends = [offset for offset, _, _ in records[1:]] + ([stop] if last else [])
            for (_, at, code), end in zip(records, ends, strict=False):
                end = min(end, stop)
                if end > position:
                    yield Piece(_NAMES[code], at, position, end)
                    position = end
            record += 4096
            if last:
                return

    def runs(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[StreamName, int, int]]:
        """Yield the stretches of one stream between two offsets, (stream, start, stop), of at most 1 MiB."""
        run: tuple[StreamName, int, int] | None = None
        for piece in self._stretches(start, stop):
            if run and run[0] == piece[0]:
                run = (run[0], run[1], piece[2])
            else:
                if run:
                    yield from _cut(run)
                run = piece
        if run:
            yield from _cut(run)

    def text(self, stream: StreamName | None = None, start: int = 0, stop: int | None = None) -> str:
        """Return the text between two offsets, of one stream or both; undecodable bytes become U+FFFD."""
        decoders = decoders_of(self.encoding)
        parts = [
            decoders[name].decode(self.read(first, last))
            for name, first, last in self.runs(start, stop)
            if stream in (None, name)
        ]
        parts += [decoder.decode(b"", final=True) for decoder in decoders.values()]
        return self._as_written("".join(parts))

    def tail(self, lines: int, max_bytes: int | None = None) -> str:
        """Return the last lines as text.

        Args:
            lines: the number of lines.
            max_bytes: the number of bytes to look at, which may cut a long line; None for no bound.
        """
        with self.lock:
            end, size = self.end, 4096
            while True:
                first = max(self.start, end - min(size, max_bytes or size))
                data = self._log.read(first, end)
                complete = data.count(b"\n", 0, len(data) - 1) >= lines
                if complete or first == self.start or (max_bytes is not None and size >= max_bytes):
                    break
                size *= 4
        if complete:
            data = b"\n".join(data[:-1].rsplit(b"\n", lines)[1:]) + data[-1:]
        elif first > self.start:
            data = self._from_character(data)
        return self._as_written(data.decode(self.encoding, "replace")) if lines > 0 else ""

    def last_line(self, max_bytes: int = 512) -> str:
        """Return the last line that is not blank, as a terminal would show it, without colours."""
        try:
            return last_line(self.tail(5, max_bytes))
        except OSError:
            return ""  # A view, which asks for it, has more to show.

    def stderr_tail(self, lines: int) -> str:
        """Return the last lines of standard error; at most 8 KiB are looked at."""
        data = self._last_of_stderr()
        if len(data) == _STDERR_TAIL:
            data = self._from_character(data)
        text = data.decode(self.encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
        text = text.removesuffix("\n")
        return "\n".join(text.split("\n")[-lines:])

    def decoder(self) -> codecs.IncrementalDecoder:
        """Return a new decoder of its bytes, as `decoder_of` does."""
        return decoder_of(self.encoding)

    def settle(self) -> None:
        """Close all fds and free spare memory, since the job has ended; `append` still works."""
        with self.lock:
            self._log.settle(_SETTLED_MEMORY)
            self._index.settle(_SETTLED_INDEX)
            if not self.lost and self._log.in_memory:
                self._stderr_tail = None  # The log, in memory, has it.
            # What comes after this begins a piece.
            self._last_code, self._last_at = 0, 0.0
            self._is_settled = True

    def close(self) -> None:
        """Free the memory and remove the files; nothing can be read after this."""
        with self.lock:
            self._given_back += self._log.end - self._log.start
            self._log.close()
            self._index.close()
            self._stderr_tail = b""

    def _last_of_stderr(self) -> bytes:
        with self.lock:
            if self._stderr_tail is not None:
                return self._stderr_tail
            stretches = [(first, last) for name, first, last in self._stretches(0, None) if name == "stderr"]
            return b"".join(self._log.read(first, last) for first, last in stretches)[-_STDERR_TAIL:]

    def _as_written(self, text: str) -> str:
        """Return text with the line ends that the program wrote."""
        return text.replace("\r\n", "\n") if self.terminal else text

    def _from_character(self, data: bytes) -> bytes:
        """Return ``data`` from the first byte that begins a character."""
        first = 0
        while self._is_utf8 and first < min(3, len(data)) and data[first] & 0xC0 == 0x80:
            first += 1
        return data[first:]

    def _note(self, code: int, start: int, at: float) -> bool:
        """Record that a piece begins here, if one does; return False if its bytes have the wrong stream."""
        if code == self._last_code and at - self._last_at < _SAME_MOMENT:
            return True
        dropped = self._index.start
        if not self._index.append_whole(RECORD.pack(start, at, code)):
            # On the same stream the bytes join the piece before, with a time that is too early.
            return code == self._last_code
        self._last_code, self._last_at = code, at
        self._seen |= code
        if self._index.start != dropped:
            # Bytes whose record was dropped have no stream: drop them too.
            self._log.drop_before(self._offset_of(self._first_record()))
        return True

    def _stretches(self, start: int, stop: int | None) -> Iterator[tuple[StreamName, int, int]]:
        if self._seen in _NAMES:
            first, last = max(start, self.start), self.end if stop is None else min(stop, self.end)
            if first < last:
                yield _NAMES[self._seen], first, last
            return
        for piece in self.pieces(start, stop):
            yield piece.stream, piece.start, piece.stop

    def _first_record(self) -> int:
        return -(-self._index.start // RECORD.size)

    def _offset_of(self, record: int) -> int:
        raw = self._index.read(record * RECORD.size, (record + 1) * RECORD.size)
        return int(RECORD.unpack(raw)[0]) if len(raw) == RECORD.size else self.end

    def _record_of(self, offset: int) -> int:
        """Return the number of the record of the piece that has an offset."""
        low, high = self._first_record(), self._index.end // RECORD.size
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset_of(middle) <= offset:
                low = middle
            else:
                high = middle
        return low


class LineReader:
    """Read an output line by line, as lines come.

    Each stream is split into lines on its own: half a line on one is not completed by the other. One thread
    at a time may call it.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._position = 0
        self._decoders = decoders_of(output.encoding)
        self._open: dict[StreamName, list[str]] = {"stdout": [], "stderr": []}

    def take(self) -> list[str] | None:
        """Return the lines completed since the last call, of at most 1 MiB; None if no bytes came."""
        output = self._output
        start = max(self._position, output.start)
        stop = min(output.end, start + _CHUNK)
        if stop <= start:
            return None
        lines: list[str] = []
        for name, first, last in output.runs(start, stop):
            text = self._decoders[name].decode(output.read(first, last))
            lines += self._split(name, text)
        self._position = stop
        return lines

    def rest(self) -> list[str]:
        """Return the last lines, which have no line end; call it once, when no more output can come."""
        lines = []
        for name, decoder in self._decoders.items():
            lines += self._split(name, decoder.decode(b"", final=True))
            if self._open[name]:
                lines.append("".join(self._open[name]))
        return lines

    def _split(self, name: StreamName, text: str) -> list[str]:
        *complete, rest = text.split("\n")
        if complete:
            complete[0] = "".join(self._open[name]) + complete[0]
            self._open[name] = []
        if rest:
            self._open[name].append(rest)
        if self._output.terminal:
            complete = [line.removesuffix("\r") for line in complete]
        return [line.removesuffix("\r") for line in complete]


def decoders_of(encoding: str) -> dict[StreamName, codecs.IncrementalDecoder]:
    """Return a decoder for each stream, as `decoder_of` does."""
    return {"stdout": decoder_of(encoding), "stderr": decoder_of(encoding)}


def decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """Return an incremental decoder that replaces undecodable bytes by U+FFFD."""
    return codecs.getincrementaldecoder(encoding)("replace")


def _cut(run: tuple[StreamName, int, int]) -> Iterator[tuple[StreamName, int, int]]:
    name, start, stop = run
    for first in range(start, stop, _CHUNK):
        yield name, first, min(first + _CHUNK, stop)


def _forked() -> None:
    global _own_pid, _renewing
    _own_pid = os.getpid()
    _renewing = threading.Lock()


os.register_at_fork(after_in_child=_forked)
