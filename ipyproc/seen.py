"""Render text as a terminal would: backspaces, carriage returns and erasures overwrite."""

from __future__ import annotations

import re
from functools import lru_cache

from ipyproc.safe import CODES_THAT_END, SafeText, StreamFilter, codes_of, kind_of, without_colours

__all__ = ["last_line", "seen"]

_MOVES = re.compile(r"[\b\r]|\x1b\[[012]?K")
_PART = re.compile(
    r"(?P<text>[^\b\r\n\x1b]+)|(?P<move>[\b\r\n])|\x1b\[(?P<codes>[\d;]*)m"
    r"|\x1b\[(?P<erase>[012]?)K|\x1b\]8;;(?P<link>[^\x1b]*)\x1b\\"
)


_Codes = tuple[tuple[int, str], ...]
# A character with its colours and the target of its link.
_Cell = tuple[str, _Codes, str]


def seen(text: str, *, links: bool = False) -> SafeText:
    """Return lines of output as a terminal would show them, with colours, which are reset at the end.

    Args:
        text: the lines.
        links: keep hyperlinks to http and https.
    """
    stream = StreamFilter(links=links, erasing=True)
    shown = stream.feed(text)
    ending = stream.close()
    text = re.sub(r"\r+\n", "\n", shown)
    return SafeText(_overwritten(text) if _MOVES.search(text) else text + ending)


def last_line(text: str) -> str:
    """Return the last line that is not blank, as a terminal would show it, without colours."""
    for line in reversed(text.split("\n")):
        if line and (shown := without_colours(seen(line)).strip()):
            return shown
    return ""


def _overwritten(text: str) -> str:
    codes: _Codes = ()
    link = ""
    lines: list[list[_Cell]] = [[]]
    column = 0
    for part in _PART.finditer(text):
        row, kind = lines[-1], part.lastgroup
        if kind == "text":
            row.extend([(" ", (), "")] * (column - len(row)))
            row[column : column + len(part[0])] = [(character, codes, link) for character in part[0]]
            column += len(part[0])
        elif kind == "codes":
            codes = _after(codes, part["codes"])
        elif kind == "link":
            link = part["link"]
        elif kind == "erase":
            _erase(row, column, part["erase"])
        elif part[0] == "\n":
            lines.append([])
            column = 0
        else:
            column = 0 if part[0] == "\r" else max(0, column - 1)
    return _written(lines)


def _erase(row: list[_Cell], column: int, how: str) -> None:
    if how in ("", "0"):
        del row[column:]
    elif how == "2":
        row.clear()
    else:
        row[: column + 1] = [(" ", (), "")] * min(column + 1, len(row))


@lru_cache(maxsize=1024)
def _after(before: _Codes, parameters: str) -> _Codes:
    """Return the colours that are on after a sequence of codes."""
    codes = dict(before)
    for code in codes_of(parameters):
        if code == "0":
            codes.clear()
        elif code in CODES_THAT_END:
            codes.pop(kind_of(code), None)
        else:
            codes[kind_of(code)] = code
    return tuple(sorted(codes.items()))


def _written(lines: list[list[_Cell]]) -> str:
    parts: list[str] = []
    codes: _Codes = ()
    link = ""
    for number, row in enumerate(lines):
        if number:
            parts.append("\n")
        for character, its_codes, its_link in row:
            if its_codes != codes:
                codes = its_codes
                parts.append(f"\x1b[{';'.join(['0', *(code for _, code in codes)])}m")
            if its_link != link:
                link = its_link
                parts.append(f"\x1b]8;;{link}\x1b\\")
            parts.append(character)
    return "".join(parts) + ("\x1b]8;;\x1b\\" if link else "") + ("\x1b[0m" if codes else "")
