"""A whole output as a terminal shows it in the end: as text, and as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from ipyproc.safe import url_of
from ipyproc.screen.screen import Screen
from ipyproc.screen.style import after, codes_of_style

__all__ = ["ScreenText", "shown"]

_SLICE = 1 << 16
_ESCAPE = re.compile(r"\x1b\[([\d;]*)m|\x1b\]8;;([^\x1b]*)\x1b\\")

_BASIC = (
    "#000000",
    "#cd0000",
    "#00a000",
    "#b58900",
    "#0000ee",
    "#cd00cd",
    "#009090",
    "#b0b0b0",
    "#7f7f7f",
    "#e03030",
    "#00c000",
    "#c8a000",
    "#5c5cff",
    "#e040e0",
    "#00b0b0",
    "#d8d8d8",
)
_LEVELS = (0, 95, 135, 175, 215, 255)
_RULES = {
    "1": "font-weight:bold",
    "2": "opacity:0.6",
    "3": "font-style:italic",
    "8": "visibility:hidden",
}
_LINES = {"4": "underline", "21": "underline", "9": "line-through", "53": "overline"}
_PRE = (
    '<pre style="margin:0;white-space:pre-wrap;overflow-wrap:anywhere;line-height:normal;'
    'background:transparent">'
    "{lines}</pre>"
)


@dataclass(frozen=True)
class ScreenText:
    """What a terminal shows of an output, scrollback and screen.

    Attributes:
        lines: the lines as text with colours (SGR) and links to http(s) (OSC 8).
    """

    lines: str

    @property
    def text(self) -> str:
        """The lines without colours and links; a wrapped line is one line."""
        return _ESCAPE.sub("", self.lines)

    @property
    def html(self) -> str:
        """The lines as a ``pre`` element: escaped text, colours as inline styles, links to http(s) only."""
        return _PRE.format(lines="".join(map(_html_of, self.lines.splitlines(keepends=True))))

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def shown(
    texts: Iterable[str | tuple[int, int]], rows: int = 24, columns: int = 100, *, newline: bool = False
) -> ScreenText:
    """Return what a terminal shows of a text in the end.

    The work is proportional to the text: about 10 ms/MB, up to 500 ms/MB where a program draws. No memory is
    needed beyond the result.

    Args:
        texts: the text, in pieces cut anywhere; rows and columns where the terminal was given another size.
        rows: the height of the terminal.
        columns: its width.
        newline: a line feed is also a carriage return, as in the output of a pipe.
    """
    screen = Screen(rows, columns, newline=newline, links=True)
    lines: list[str] = []
    for text in texts:
        if isinstance(text, tuple):
            screen.resize(*text)
            continue
        for start in range(0, len(text), _SLICE):
            screen.feed_text(text[start : start + _SLICE])
            lines.append(screen.take())
    screen.finish()
    lines.append(screen.take())
    return ScreenText("".join(lines))


def _html_of(line: str) -> str:
    if "\x1b" not in line:
        return escape(line)
    parts: list[str] = []
    style = link = ""
    position = 0
    for found in _ESCAPE.finditer(line):
        parts.append(_span(line[position : found.start()], style, link))
        position = found.end()
        if found[1] is not None:
            style = after(style, found[1])
        else:
            link = url_of(found[2]) or ""
    parts.append(_span(line[position:], style, link))
    return "".join(parts)


def _span(text: str, style: str, link: str) -> str:
    if not text:
        return ""
    text = escape(text)
    if link:
        text = f'<a href="{escape(link)}" target="_blank" rel="noopener noreferrer">{text}</a>'
    rule = _rule_of(style)
    return f'<span style="{rule}">{text}</span>' if rule else text


@lru_cache(maxsize=1024)
def _rule_of(style: str) -> str:
    """Return the CSS of a style."""
    rules: list[str] = []
    lines: list[str] = []
    colours = {"color": "", "background-color": ""}
    codes = codes_of_style(style)
    for code in codes:
        if code in _RULES:
            rules.append(_RULES[code])
        elif code in _LINES:
            lines.append(_LINES[code])
        elif colour := _colour_of(code):
            colours["background-color" if code[0] == "4" or code[:2] == "10" else "color"] = colour
    if "7" in codes:
        # The colours of the page are not known, so the default ones change places as grey.
        colours = {
            "color": colours["background-color"] or "#ffffff",
            "background-color": colours["color"] or "#606060",
        }
    rules += [f"{name}:{colour}" for name, colour in colours.items() if colour]
    if lines:
        rules.append(f"text-decoration:{' '.join(dict.fromkeys(lines))}")
    return ";".join(rules)


def _colour_of(code: str) -> str:
    first, *more = map(int, code.split(";"))
    if more:
        return _indexed(more[1]) if more[0] == 5 else "#{:02x}{:02x}{:02x}".format(*more[1:])
    if 30 <= first <= 37 or 40 <= first <= 47:
        return _BASIC[first % 10]
    if 90 <= first <= 97 or 100 <= first <= 107:
        return _BASIC[8 + first % 10]
    return ""


def _indexed(number: int) -> str:
    if number < 16:
        return _BASIC[number]
    if number >= 232:
        return "#{0:02x}{0:02x}{0:02x}".format(8 + 10 * (number - 232))
    number -= 16
    return "#{:02x}{:02x}{:02x}".format(*(_LEVELS[number // step % 6] for step in (36, 6, 1)))
