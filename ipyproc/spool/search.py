"""A pattern, looked for in the lines of what comes in pieces."""

from __future__ import annotations

import re

from ipyproc.spool.output import decoder_of

__all__ = ["LineSearch"]

_CARRY = 16 << 10
_LONGEST_LINE = 256 << 10
_CUT = "\ufffd"


class LineSearch:
    """Looks for a pattern in whole lines: half a line may go on in a way that does not match.

    A match may span lines, 16 kB of them. Of a line that is longer than 256 kB its last 128 kB are looked
    at. CR LF ends a line as LF does, and a pattern may have either.

    Args:
        pattern: compiled with `re.MULTILINE` where ``^`` and ``$`` are to stand for a line's ends.
        encoding: what the bytes are as text.
    """

    def __init__(self, pattern: re.Pattern[str], encoding: str) -> None:
        self._pattern = pattern
        self._decoder = decoder_of(encoding)
        self.reset()

    def reset(self) -> None:
        """Begin anew, at the start of a line."""
        self._decoder.reset()
        self._lines = "\n"
        self._open = ""

    def feed(self, data: bytes) -> bool:
        """Take what came; return whether a match is in the lines that are whole by now."""
        whole, newline, self._open = (self._open + self._decoder.decode(data)).rpartition("\n")
        if len(self._open) > _LONGEST_LINE:
            # With something before it: a ^ is not to match where the line was cut.
            self._open = _CUT + self._open[-_LONGEST_LINE // 2 :]
        return bool(newline) and self._look(whole + newline)

    def end(self) -> bool:
        """Take it that no more comes; return whether a match is in the line that has no end."""
        rest = self._open + self._decoder.decode(b"", final=True)
        self._open = ""
        return bool(rest) and self._look(rest)

    def _look(self, text: str) -> bool:
        # The character before the first line is not looked at: it says whether a line begins there.
        lines = self._lines + text
        self._lines = lines[-_CARRY:]
        if self._pattern.search(lines, 1):
            return True
        return "\r\n" in lines and bool(self._pattern.search(lines.replace("\r\n", "\n"), 1))
