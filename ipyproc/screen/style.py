"""The style of a cell: its colours and its link, as one string.

A style is the codes of a colour sequence (SGR), such as ``"1;31"``, in a fixed order; the empty string is the
default. Behind a blank it has the URL of a link, if there is one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ipyproc.safe import BACKGROUND, CODES_THAT_END, codes_of, kind_of

__all__ = [
    "after",
    "background_of",
    "codes_in",
    "codes_of_style",
    "is_seen_on_blanks",
    "link_of",
    "sgr",
    "with_link",
]

_ON_BLANKS = frozenset({"4", "21", "7", "9", "51", "52", "53"})
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_RGB = re.compile(f"[34]8;2;{_BYTE};{_BYTE};{_BYTE}")


@lru_cache(maxsize=4096)
def after(style: str, parameters: str) -> str:
    """Return the style after a colour sequence with these parameters; a link stays."""
    codes, _, link = style.partition(" ")
    # A picture has a colour for each cell.
    is_rgb = _RGB.fullmatch(parameters) is not None
    if is_rgb and (not codes or (codes[:5] == parameters[:5] and len(codes_of_style(codes)) == 1)):
        return with_link(parameters, link)
    kinds = {kind_of(code): code for code in codes_of_style(codes)}
    for code in (parameters,) if is_rgb else codes_of(parameters):
        if code == "0":
            kinds.clear()
        elif code in CODES_THAT_END:
            kinds.pop(kind_of(code), None)
        else:
            kinds[kind_of(code)] = code
    return with_link(";".join(code for _, code in sorted(kinds.items())), link)


@lru_cache(maxsize=1024)
def background_of(style: str) -> str:
    """Return the style that erased cells get: the background alone."""
    return next((code for code in codes_of_style(style) if kind_of(code) == BACKGROUND), "")


@lru_cache(maxsize=1024)
def is_seen_on_blanks(style: str) -> bool:
    """Return True if a blank in this style can be told from an empty cell."""
    return any(code in _ON_BLANKS or kind_of(code) == BACKGROUND for code in codes_of_style(style))


def with_link(style: str, url: str) -> str:
    """Return the style with a link to ``url``; an empty URL takes the link away."""
    codes = codes_in(style)
    return f"{codes} {url}" if url else codes


def codes_in(style: str) -> str:
    """Return the codes of a style, without its link."""
    return style.partition(" ")[0]


def link_of(style: str) -> str:
    """Return the URL of a style's link; empty if it has none."""
    return style.partition(" ")[2]


def sgr(before: str, now: str) -> str:
    """Return the sequence that changes codes ``before`` to codes ``now``."""
    if before == now:
        return ""
    if not now:
        return "\x1b[0m"
    return f"\x1b[0;{now}m" if before else f"\x1b[{now}m"


def codes_of_style(style: str) -> list[str]:
    """Return the codes of a style one by one; a colour of 256 or of RGB is one code."""
    split: list[str] = []
    codes = codes_in(style)
    numbers = codes.split(";") if codes else []
    while numbers:
        size = 1
        if numbers[0] in ("38", "48"):
            size = 3 if numbers[1] == "5" else 5
        split.append(";".join(numbers[:size]))
        del numbers[:size]
    return split
