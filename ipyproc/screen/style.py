"""The style of a cell: its colours and its link, as one string.

A style is the codes of a colour sequence (SGR), such as ``"1;31"``, in a fixed order; the empty string is the
default. Behind a blank it has the URL of a link, if there is one.
"""

from __future__ import annotations

from functools import lru_cache

from ipyproc.safe import codes_of

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

# The codes of one row replace each other; the last of a row turn off what the others turn on.
_KINDS = {
    str(code): number
    for number, codes in enumerate(
        ((1, 2, 22), (3, 23), (4, 21, 24), (5, 6, 25), (7, 27), (8, 28), (9, 29), (51, 52, 54), (53, 55))
    )
    for code in codes
}
_OFF = frozenset({"22", "23", "24", "25", "27", "28", "29", "39", "49", "54", "55"})
_ON_BLANKS = frozenset({"4", "21", "7", "9", "51", "52", "53"})
_FOREGROUND, _BACKGROUND = 20, 21


@lru_cache(maxsize=4096)
def after(style: str, parameters: str) -> str:
    """Return the style after a colour sequence with these parameters; a link stays."""
    codes, _, link = style.partition(" ")
    kinds = {_kind(code): code for code in codes_of_style(codes)}
    for code in codes_of(parameters):
        if code == "0":
            kinds.clear()
        elif code in _OFF:
            kinds.pop(_kind(code), None)
        else:
            kinds[_kind(code)] = code
    return with_link(";".join(code for _, code in sorted(kinds.items())), link)


@lru_cache(maxsize=1024)
def background_of(style: str) -> str:
    """Return the style that erased cells get: the background alone."""
    return next((code for code in codes_of_style(style) if _kind(code) == _BACKGROUND), "")


@lru_cache(maxsize=1024)
def is_seen_on_blanks(style: str) -> bool:
    """Return True if a blank in this style can be told from an empty cell."""
    return any(code in _ON_BLANKS or _kind(code) == _BACKGROUND for code in codes_of_style(style))


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


def _kind(code: str) -> int:
    if code in _KINDS:
        return _KINDS[code]
    number = int(code.partition(";")[0])
    return _BACKGROUND if 40 <= number <= 49 or 100 <= number <= 107 else _FOREGROUND


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
