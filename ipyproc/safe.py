"""Filters for text from outside: they let text, colours, and links to http(s) through.

The output of a job, and every name, command and error, passes one of these filters before a cell shows it.
The result is a `SafeText`, and a cell shows nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NewType

__all__ = [
    "BACKGROUND",
    "CODES_THAT_END",
    "FOREGROUND",
    "SafeText",
    "StreamFilter",
    "codes_of",
    "joined",
    "kind_of",
    "line",
    "lines",
    "url_of",
    "without_colours",
]

SafeText = NewType("SafeText", str)
"""Text that is safe to show."""

_LONGEST_STRING = 1 << 20
_LONGEST_URL = 2000

# Neither a control character nor half a surrogate pair. A class of the characters allowed compiles slowly.
_TEXT = "[^\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]"
_CONTROLS = tuple(chr(code) for code in (*range(0x20), 0x7F) if chr(code) not in "\b\t\n\r")

_CSI_BODY = "[0-?]{0,400}[ -/]{0,8}"
_KNOWN_CODE = re.compile(r"10[0-7]|9[0-7]|5[1-5]|[34][0-79]|2[1-57-9]|[0-9]")
_TEXT_AND_CSI = re.compile(rf"(?:{_TEXT}+|\x1b\[{_CSI_BODY}[@-~])*")
_SAFE_TEXT = re.compile(f"{_TEXT}*")
# Taken by the run: a program that writes zeros would be filtered at a microsecond a byte.
_REMOVED = re.compile("[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]*")
_PARAMETERS = re.compile("[0-9;:]{0,100}")
_COLOURS = re.compile(r"\x1b\[([\d;]*)m")

_CSI = re.compile(rf"\x1b\[{_CSI_BODY}[@-~]")
_CSI_BEGUN = re.compile(_CSI_BODY)
_ERASING = ("\x1b[K", "\x1b[0K", "\x1b[1K", "\x1b[2K")
_OTHER_ESCAPE = re.compile(r"[ -/]{1,8}")
_STRING_END = re.compile("[\x07\x18\x1a\x1b\x9c\n]")
_STRINGS = "]PX^_"
_C1_STRINGS = "\x9d\x90\x98\x9e\x9f"

# The control characters, and those that change the direction of text or begin a line in some views.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

# A user's name before the host is refused, since it may look like another host.
_URL = re.compile(
    r"https?://(?:[a-z0-9._~%-]+|\[[0-9a-f:.]+\])(?::\d+)?(?:[/?#][a-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?",
    re.ASCII | re.IGNORECASE,
)


class StreamFilter:
    """Filter one stream of text, which may come in pieces cut anywhere.

    Text, tab, newline, carriage return, backspace, and colours (SGR) pass; colours are rewritten in the one
    form that all front ends read alike. All other escape sequences and control characters are removed. Half
    a surrogate pair becomes U+FFFD.

    - A sequence that a foreign character breaks off is removed up to that character.
    - A string (OSC, DCS, APC, PM, SOS) ends at BEL, ST, CAN or SUB. The end of the line, another escape, or
      1 MiB breaks it off, and the text after that is shown: a string without an end hides at most a line.
    - `close` drops an incomplete sequence and resets colours that are still on.

    Args:
        links: let hyperlinks (OSC 8) to http and https pass, if the text comes in one piece; otherwise
            the text passes without its link.
        erasing: let erasures in a line (EL) pass, for `ipyproc.seen`.
    """

    def __init__(self, *, links: bool = False, erasing: bool = False) -> None:
        self._links = links
        self._erasing = erasing
        self._held = ""
        self._string_left = 0
        self._link: str | None = None
        self._coloured = False

    def feed(self, text: str) -> SafeText:
        """Return the safe text of the next piece; an incomplete escape sequence waits for the next call."""
        if not self._held and not self._string_left and _is_plain(text):
            return SafeText(text)
        text, self._held = self._held + text, ""
        shown: list[str] = []
        position = self._skip_string(text, 0, shown) if self._string_left else 0
        while position < len(text):
            end = _end_of(_TEXT_AND_CSI, text, position)
            shown.append(text[position:end])
            position = end if end == len(text) else self._take_control(text, end, shown)
        function = _let_through_erasing if self._erasing else _let_through
        return SafeText(self._noting_colours(_CSI.sub(lambda found: function(found[0]), "".join(shown))))

    def close(self) -> SafeText:
        """End the stream and return the text to show after it; the filter is then ready for another."""
        self._held, self._string_left, self._link = "", 0, None
        coloured, self._coloured = self._coloured, False
        return SafeText("\x1b[0m" if coloured else "")

    def _take_control(self, text: str, position: int, shown: list[str]) -> int:
        """Consume what begins with a control character; return the position after it."""
        character, after = text[position], text[position + 1 : position + 2]
        if character == "\x9b":
            return self._take_csi(text, position, position + 1, shown)
        if character in _C1_STRINGS:
            return self._begin_string(text, position + 1, shown, character == "\x9d")
        if character != "\x1b":
            if "\ud800" <= character <= "\udfff":
                shown.append("\ufffd")
            return _end_of(_REMOVED, text, position + 1)
        if not after:
            return self._hold(text, position)
        if after == "[":
            return self._take_csi(text, position, position + 2, shown)
        if after in _STRINGS:
            return self._begin_string(text, position + 2, shown, after == "]")
        if " " <= after <= "/":
            end = _end_of(_OTHER_ESCAPE, text, position + 1)
            if end == len(text):
                return self._hold(text, position)
            return end + 1 if "0" <= text[end] <= "~" else end
        return position + 2 if "0" <= after <= "~" else position + 1

    def _take_csi(self, text: str, begin: int, position: int, shown: list[str]) -> int:
        end = _end_of(_CSI_BEGUN, text, position)
        if end == len(text):
            return self._hold(text, begin)
        if not "@" <= text[end] <= "~":
            return end
        shown.append(f"\x1b[{text[position : end + 1]}")
        return end + 1

    def _begin_string(self, text: str, position: int, shown: list[str], is_osc: bool) -> int:
        self._string_left = _LONGEST_STRING
        self._link = "" if self._links and is_osc else None
        return self._skip_string(text, position, shown)

    def _skip_string(self, text: str, position: int, shown: list[str]) -> int:
        stop = min(len(text), position + self._string_left)
        found = _STRING_END.search(text, position, stop)
        end = found.start() if found else stop
        self._string_left = 0 if found else self._string_left - (end - position)
        if self._link is not None:
            self._link = self._link + text[position:end] if len(self._link) <= _LONGEST_URL else None
        if found is None:
            return end
        if self._link is not None and (text[end] in "\x07\x9c" or text.startswith("\x1b\\", end)):
            shown.append(_hyperlink(self._link))
        self._link = None
        return end if text[end] in "\x1b\n" else end + 1

    def _hold(self, text: str, position: int) -> int:
        self._held = text[position:]
        return len(text)

    def _noting_colours(self, shown: str) -> str:
        last = shown.rfind("\x1b[")
        if last >= 0 and (found := _COLOURS.match(shown, last)):
            self._coloured = found[1] not in ("", "0", "00")
        return shown


def line(text: str) -> SafeText:
    """Return a name, a command or a note as one line; invisible characters are written as Python escapes.

    Example::

        assert line("a\\tb\\x1b[31m") == r"a\\tb\\x1b[31m"
    """
    return SafeText(_INVISIBLE.sub(_written, text))


def lines(text: str) -> SafeText:
    """Return each line of a text as `line` does."""
    return SafeText("\n".join(map(line, text.split("\n"))))


def joined(parts: Iterable[SafeText]) -> SafeText:
    """Return safe parts joined to one text."""
    return SafeText("".join(parts))


def without_colours(text: SafeText) -> SafeText:
    """Return a text without its colours."""
    return SafeText(_COLOURS.sub("", text))


def url_of(text: str) -> str | None:
    """Return the text if a link may lead to it, that is, if it is an ASCII URL of http(s); else None."""
    return text if len(text) <= _LONGEST_URL and _URL.fullmatch(text) else None


# The codes of one row replace each other; the last of a row turn off what the others turn on.
_KINDS = {
    str(code): number
    for number, codes in enumerate(
        ((1, 2, 22), (3, 23), (4, 21, 24), (5, 6, 25), (7, 27), (8, 28), (9, 29), (51, 52, 54), (53, 55))
    )
    for code in codes
}
CODES_THAT_END = frozenset({"22", "23", "24", "25", "27", "28", "29", "39", "49", "54", "55"})
"""The colour codes that turn off what others of their kind turn on."""

FOREGROUND, BACKGROUND = 20, 21
"""The kinds of the codes that set the colour of text, and of what is behind it."""


def kind_of(code: str) -> int:
    """Return the kind of a colour code; of two codes of one kind the later replaces the earlier."""
    if code in _KINDS:
        return _KINDS[code]
    number = int(code.partition(";")[0])
    return BACKGROUND if 40 <= number <= 49 or 100 <= number <= 107 else FOREGROUND


@lru_cache(maxsize=1024)
def codes_of(parameters: str) -> tuple[str, ...]:
    """Return the codes of a colour sequence that front ends know, such as ``("1", "38;5;208")``.

    Sub-parameters with colons are rewritten in the older form with semicolons.
    """
    if not _PARAMETERS.fullmatch(parameters):
        return ()
    codes: list[str] = []
    numbers = [number for part in parameters.split(";") for number in _numbers_of(part)]
    while numbers:
        number = numbers.pop(0)
        if number in ("38", "48", "58"):
            size = {"5": 2, "2": 4}.get(numbers[0] if numbers else "", 0)
            colour, numbers = numbers[:size], numbers[size:]
            if not size or len(colour) < size or any(int(part) > 255 for part in colour):
                break
            if number != "58":
                codes.append(";".join([number, *colour]))
        elif _KNOWN_CODE.fullmatch(number):
            codes.append(number)
    return tuple(codes)


def _numbers_of(part: str) -> list[str]:
    """Return the numbers of a parameter, in the older form without colons."""
    first, *more = part.split(":")
    if not more:
        return [part.lstrip("0") or "0"] if part.isdigit() or not part else []
    if first == "4":
        return ["24" if more[0] == "0" else "4"]
    if first in ("38", "48") and more[0] in ("2", "5"):
        colour = more[1:2] if more[0] == "5" else more[-3:]
        if len(colour) == (1 if more[0] == "5" else 3) and all(map(str.isdigit, colour)):
            return [first, more[0], *(number.lstrip("0") or "0" for number in colour)]
    return []


@lru_cache(maxsize=4096)
def _let_through(sequence: str) -> str:
    """Return the colours of a sequence that begins with CSI; empty if it sets none."""
    codes = codes_of(sequence[2:-1]) if sequence[-1] == "m" else ()
    return f"\x1b[{';'.join(codes)}m" if codes else ""


@lru_cache(maxsize=4096)
def _let_through_erasing(sequence: str) -> str:
    return sequence if sequence in _ERASING else _let_through(sequence)


def _hyperlink(content: str) -> str:
    kind, _, rest = content.partition(";")
    _, is_link, target = rest.partition(";")
    return f"\x1b]8;;{url_of(target) or ''}\x1b\\" if kind == "8" and is_link else ""


def _is_plain(text: str) -> bool:
    # Each search is a memchr; a flood of plain ASCII text costs 1 ms/MB.
    if text.isascii():
        return not any(control in text for control in _CONTROLS)
    return _SAFE_TEXT.fullmatch(text) is not None


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return position if found is None else found.end()


def _written(found: re.Match[str]) -> str:
    # A byte of a file name that is not UTF-8.
    if "\udc80" <= found[0] <= "\udcff":
        return f"\\x{ord(found[0]) - 0xDC00:02x}"
    return repr(found[0])[1:-1]
