"""A reading position in output that grows: what has been looked for since, found or not yet.

A search reads only what came since it looked last, so that waiting for something costs what comes. It moves
the position when it has found what it looks for, and only then.
"""

from __future__ import annotations

import re

from ipyproc.spool.output import Output

__all__ = ["Cursor", "Search", "TextSearch"]

_LF = 10
_CHUNK = 1 << 20
_SPAN = 64 << 10
_WITHIN_A_LINE = "\ufffd"


class Cursor:
    """A position in an output, shared by the searches from it; one thread at a time uses it.

    Args:
        output: the output.

    Attributes:
        output: the output.
        position: the offset of the first byte that was not taken yet.
    """

    __slots__ = ("output", "position")

    def __init__(self, output: Output) -> None:
        self.output = output
        self.position = 0


class Search:
    """Bytes from a cursor's position on, as they come.

    Args:
        cursor: the cursor.

    Attributes:
        behind: whether more has come than `fill` has read.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.begin()

    def begin(self) -> None:
        """Begin at the cursor's position."""
        self._start = self._cursor.position
        self._data = bytearray()
        self._searched = 0
        self._is_new = True
        self.behind = True

    def fill(self) -> bool:
        """Read what came since the last call, at most 1 MiB; return True if any came, or it is the first."""
        output = self._cursor.output
        at = self._start + len(self._data)
        if output.start > at:
            # The oldest output was dropped (`max_output`): go on with what is kept.
            self._start, at = output.start, output.start
            self._data.clear()
            self._searched = 0
        stop = min(output.end, at + _CHUNK)
        self._data += output.read(at, stop)
        self.behind = stop < output.end
        is_new, self._is_new = self._is_new, False
        return stop > at or is_new

    def find(self, delimiter: bytes) -> int | None:
        """Return the number of bytes up to the end of a delimiter; None if it has not come."""
        at = self._data.find(delimiter, self._searched)
        self._searched = max(0, len(self._data) - len(delimiter) + 1)
        return None if at < 0 else at + len(delimiter)

    def match(self, pattern: re.Pattern[bytes]) -> int | None:
        """Return the number of bytes up to the end of the first match; None if there is none yet."""
        found = pattern.search(self._data)
        return None if found is None else found.end()

    @property
    def size(self) -> int:
        """The number of bytes that were read and not taken."""
        return len(self._data)

    def take(self, size: int) -> bytes:
        """Move the cursor past so many bytes, and return them."""
        taken = bytes(self._data[:size])
        self._cursor.position = self._start + len(taken)
        return taken


class TextSearch(Search):
    """A search for a pattern in text, of which a match has at most 64 kB.

    Args:
        cursor: the cursor.
        pattern: the pattern.
    """

    def __init__(self, cursor: Cursor, pattern: re.Pattern[str]) -> None:
        super().__init__(cursor)
        self._pattern = pattern

    def look(self) -> re.Match[str] | None:
        """Return the first match, and move the cursor past it; None if there is none yet."""
        text = self._text(len(self._data))
        # The character before it tells ^ whether a line begins here.
        found = self._pattern.search(self._before + text, 1)
        if found is None:
            self._drop_old()
            return None
        found = self._pattern.match(text, found.start() - 1) or found
        self.take(self._size_of(found.end()))
        return found

    def begin(self) -> None:
        """Begin at the cursor's position."""
        super().begin()
        at = self._start
        self._before = "\n" if at == 0 or self._cursor.output.read(at - 1, at) == b"\n" else _WITHIN_A_LINE

    def _text(self, size: int) -> str:
        """Return the text of the first bytes, without a character or a line end that is not whole."""
        output = self._cursor.output
        text = output.decoder().decode(bytes(self._data[:size]))
        if not output.terminal:
            return text
        if size < len(self._data) and self._data[size] == _LF:
            text = text.removesuffix("\r")
        return text.replace("\r\n", "\n")

    def _size_of(self, length: int) -> int:
        """Return the smallest number of bytes whose text has a length."""
        low, high = 0, len(self._data)
        while low < high:
            middle = (low + high) // 2
            if len(self._text(middle)) < length:
                low = middle + 1
            else:
                high = middle
        return low

    def _drop_old(self) -> None:
        spare = len(self._data) - 2 * _SPAN
        if spare > 0:
            # At the end of a line, where no character is cut.
            at = self._data.rfind(b"\n", 0, spare + _SPAN) + 1 or spare + _SPAN
            self._before = "\n" if self._data[at - 1] == _LF else _WITHIN_A_LINE
            self._start += at
            del self._data[:at]
