"""The marks of workers in the output of a group, ``[2] ``, in colour: one a worker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipyproc.spool.output import StreamName

__all__ = ["with_coloured_marks"]

_MARK = re.compile(rb"(^|(?<=[\n\r]))\[(\d+)\] ")
_COLOURS = (36, 35, 32, 34, 33)


def with_coloured_marks(
    runs: list[tuple[StreamName, bytes]], before: bytes
) -> list[tuple[StreamName, bytes]]:
    """Return output in which the marks at the beginning of lines have their colours (ANSI).

    Args:
        runs: the output, in stretches of one stream each.
        before: the byte before it; empty at its beginning.
    """
    painted = []
    for name, data in runs:
        painted.append((name, _coloured(data, at_line=before in (b"", b"\n", b"\r"))))
        before = data[-1:]
    return painted


def _coloured(data: bytes, *, at_line: bool) -> bytes:
    def paint(match: re.Match[bytes]) -> bytes:
        if not at_line and match.start() == 0:
            return match[0]
        return b"\x1b[%dm[%s]\x1b[0m " % (_COLOURS[int(match[2]) % len(_COLOURS)], match[2])

    return _MARK.sub(paint, data)
