"""Lines of a cell, and the line of a magic that goes on below."""

from __future__ import annotations

import re

__all__ = ["as_python_has_them", "continued", "lines_of", "whole_line", "with_line_numbers"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def lines_of(source: str) -> list[str]:
    """The lines of a source with their ends, as Python counts them.

    `str.splitlines` also splits at form feeds, U+2028 and others, which are characters in a cell.
    """
    return _LINE.findall(source)


def as_python_has_them(lines: list[str]) -> list[str]:
    """A cell's lines, where IPython has split it at other characters than line ends."""
    if all(line.endswith(("\n", "\r")) for line in lines[:-1]):
        return lines
    return lines_of("".join(lines))


def continued(line: str, cell: str | None) -> tuple[str, str | None]:
    """The line of a magic and its cell's body, with what follows a ``\\`` at the line's end joined to it.

    As in a shell, where a backslash and the line end after it are nothing.
    """
    while cell and _goes_on(line):
        more, _, cell = cell.partition("\n")
        line = line[:-1] + more.rstrip()
    return line, cell


def whole_line(arguments: list[str]) -> str:
    """The line with which a magic is called, and what is joined to it.

    Args:
        arguments: those of the call: the line and, for the magic of a cell, the body.
    """
    line, cell = (*arguments, "", "")[:2]
    return continued(line, cell)[0]


def with_line_numbers(line: str, body: str | None, whole: str) -> tuple[str, str]:
    """A line that has been continued, and its body of Python with blank lines for those that went to it.

    Args:
        line: as `continued` gives it.
        body: likewise.
        whole: the cell with its first line.
    """
    body = body or ""
    return line, "\n" * (whole.count("\n") - body.count("\n") - 1) + body


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1
