"""Finish lines of plain and coloured text without a terminal."""

from __future__ import annotations

import re

from ipyproc.screen.style import after, background_of, sgr

__all__ = ["finished_lines"]

_CONTROLS = tuple(chr(code) for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n\r")
_MORE_CONTROLS = tuple(map(chr, range(0x80, 0xA0)))
_SUSPECT = re.compile("[\x00-\x1f\x7f-\x9f]")
_COLOURS = re.compile(r"\x1b\[([0-9;:]{0,100})([mK])")


def finished_lines(text: str, start: int, style: str, columns: int, *, newline: bool) -> tuple[int, str, str]:
    """Finish complete lines of text and colours that were written straight.

    Stop before a line that needs a terminal, and before blank lines that no other line follows.

    Args:
        text: what came.
        start: where a row begins in it.
        style: the style at ``start``.
        columns: the width of the screen.
        newline: a bare line feed ends a line.

    Returns:
        The position after the last line finished, the lines, and the style at that position.
    """
    end = text.rfind("\n", start) + 1
    if not end:
        return start, "", style
    block = text[start:end]
    if not style and _is_plain(block, newline):
        length = len(block.rstrip(" \t\r\n"))
        cut = block.index("\n", length) + 1 if length else 0
        lines = block[:cut] if cut < len(block) else block
        if "\r" in lines:
            lines = lines.replace("\r\n", "\n")
        if "\t" not in lines:
            return start + cut, lines, style
        if lines.isascii():
            lines = lines.expandtabs(8)
            if max(map(len, lines.split("\n"))) <= columns:
                return start + cut, lines, style
    return _line_by_line(block, start, style, columns, newline)


def _is_plain(block: str, newline: bool) -> bool:
    """Return True if a block has printable text and line ends only."""
    # Each search is a memchr. ESC first, since it is in most texts that are not plain.
    if "\x1b" in block or any(control in block for control in _CONTROLS):
        return False
    if not block.isascii() and any(control in block for control in _MORE_CONTROLS):
        return False
    ends = block.count("\r\n")
    return block.count("\r") == ends and (newline or block.count("\n") == ends)


def _line_by_line(block: str, start: int, style: str, columns: int, newline: bool) -> tuple[int, str, str]:
    done: list[str] = []
    blank: list[str] = []
    position = consumed = start
    end_style = style
    for whole in block.split("\n")[:-1]:
        line = whole.rstrip("\r")
        if not newline and line and len(line) == len(whole):
            break
        position += len(whole) + 1
        if style or _SUSPECT.search(line):
            shown = _shown(line, style, columns)
            if shown is None:
                break
            line, style = shown
        if not line or line.isspace():
            blank.append(line)
            continue
        if blank:
            done += blank
            blank = []
        done.append(line)
        consumed, end_style = position, style
    done.append("")
    return consumed, "\n".join(done), end_style


def _shown(line: str, style: str, columns: int) -> tuple[str, str] | None:
    """Return a line with colours as `line_of` does, and the style after it; None if it needs a terminal."""
    if "\t" in line:
        if style or not line.isascii() or "\x1b" in line:
            return None
        line = line.expandtabs(8)
        if len(line) > columns:
            return None
        return None if _SUSPECT.search(line) else (line, style)
    parts = _COLOURS.split(line)
    shown: list[str] = []
    codes = ""
    for number in range(0, len(parts), 3):
        if text := parts[number]:
            if not text.isprintable():
                return None
            if style != codes:
                shown.append(sgr(codes, style))
                codes = style
            shown.append(text)
        if number + 2 < len(parts):
            if parts[number + 2] == "m":
                style = after(style, parts[number + 1])
            elif parts[number + 1] not in ("", "0") or background_of(style):
                # A background fills the rest of the row.
                return None
    shown.append(sgr(codes, ""))
    return "".join(shown), style
