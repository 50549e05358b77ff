"""The lines of a cell, and magics whose line a backslash continues."""

from __future__ import annotations

import re

__all__ = ["as_python_has_them", "continued", "lines_of", "whole_line", "with_line_numbers"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def lines_of(source: str) -> list[str]:
    """Return the lines of a source with their ends, as Python counts them.

    `str.splitlines` also splits at form feeds, U+2028 and others, which are ordinary characters in a cell.
    """
    return _LINE.findall(source)


def as_python_has_them(lines: list[str]) -> list[str]:
    """Return a cell's lines as Python has them, though IPython may have split it at other characters too."""
    if all(line.endswith(("\n", "\r")) for line in lines[:-1]):
        return lines
    return lines_of("".join(lines))


def continued(line: str, cell: str | None) -> tuple[str, str | None]:
    """Return the line of a magic, joined with the lines that a ``\\`` adds to it, and the body without them.

    As in a shell, a backslash and the line end after it are removed.
    """
    while cell and _goes_on(line):
        more, _, cell = cell.partition("\n")
        line = line[:-1] + more.rstrip()
    return line, cell


def whole_line(arguments: list[str]) -> str:
    """Return the line of a magic's call, joined with the lines that continue it.

    Args:
        arguments: the arguments of the call: the line and, for a cell magic, the body.
    """
    line, cell = (*arguments, "", "")[:2]
    return continued(line, cell)[0]


def with_line_numbers(line: str, body: str | None, whole: str) -> tuple[str, str]:
    """Return a continued line, and its Python body with blank lines for those that were joined.

    Args:
        line: the line that `continued` returned.
        body: the body that `continued` returned.
        whole: the cell with its first line.
    """
    body = body or ""
    return line, "\n" * (whole.count("\n") - body.count("\n") - 1) + body


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1
