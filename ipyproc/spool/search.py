"""Search for a pattern in the lines of output that comes in pieces."""

from __future__ import annotations

import re

from ipyproc.spool.output import decoder_of

__all__ = ["LineSearch"]

_CARRY = 16 << 10
_LONGEST_LINE = 256 << 10
_CUT = "\ufffd"


class LineSearch:
    """Search for a pattern in complete lines, since the rest of half a line may undo a match.

    A match may span lines, up to 16 kB. Of a line longer than 256 kB only the last 128 kB are searched.
    CR LF ends a line as LF does, and the pattern may contain either.

    Args:
        pattern: the pattern; compile it with `re.MULTILINE` if ``^`` and ``$`` are to match at each line.
        encoding: the encoding of the bytes.
    """

    def __init__(self, pattern: re.Pattern[str], encoding: str) -> None:
        self._pattern = pattern
        self._decoder = decoder_of(encoding)
        self.reset()

    def reset(self) -> None:
        """Forget all input; the next byte begins a line."""
        self._decoder.reset()
        self._lines = "\n"
        self._open = ""

    def feed(self, data: bytes) -> bool:
        """Add bytes; return True if the pattern matches in the lines that they complete."""
        whole, newline, self._open = (self._open + self._decoder.decode(data)).rpartition("\n")
        if len(self._open) > _LONGEST_LINE:
            # The character before it keeps ^ from matching where the line was cut.
            self._open = _CUT + self._open[-_LONGEST_LINE // 2 :]
        return bool(newline) and self._search(whole + newline)

    def end(self) -> bool:
        """End the input; return True if the pattern matches in the last line, which has no line end."""
        rest = self._open + self._decoder.decode(b"", final=True)
        self._open = ""
        return bool(rest) and self._search(rest)

    def _search(self, text: str) -> bool:
        # The search skips the first character; it is there so that ^ knows whether a line begins after it.
        lines = self._lines + text
        self._lines = lines[-_CARRY:]
        if self._pattern.search(lines, 1):
            return True
        return "\r\n" in lines and bool(self._pattern.search(lines.replace("\r\n", "\n"), 1))
