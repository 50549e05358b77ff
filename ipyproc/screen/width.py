"""How many columns of a terminal a character takes."""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import category, east_asian_width

__all__ = ["is_narrow", "width_of"]

# Latin, Greek, Cyrillic; punctuation, arrows and mathematics; boxes, blocks, most shapes; braille. A regular
# expression of all narrow characters would be slow.
_NARROW = re.compile(
    "[ -\u02ff\u0370-\u0482\u2010-\u2027\u2030-\u205e\u2190-\u2319\u2500-\u25fc\u2800-\u28ff]*"
)
_ENCLOSING = frozenset({"Mn", "Me", "Cf"})


def is_narrow(text: str) -> bool:
    """Return True if each character certainly takes one column; False means that it must be looked at."""
    return text.isascii() or _NARROW.fullmatch(text) is not None


@lru_cache(maxsize=8192)
def width_of(character: str) -> int:
    """Return 2 for a wide character, 0 for one that joins the character before it, else 1."""
    if character < "\u0300":
        return 1
    if category(character) in _ENCLOSING or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
