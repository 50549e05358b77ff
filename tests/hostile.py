"""What a program, a name or an error may bring that no page should take for more than text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

__all__ = ["MARKUP", "NAME", "OUTPUT", "PROGRAM", "unsafe_html", "unsafe_text"]

MARKUP = (
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'><svg/onload=window.hit=3>"
    "</pre></span><b id=made>bold</b>&lt;i&gt;"
)

# On one line, as a name has to be.
NAME = f"\x1b[31m{MARKUP}\x1b]0;title\x07\x9b2J\u202e\x07\b\udce9\"'"

OUTPUT = "\n".join(
    (
        MARKUP,
        "\x1b]8;;javascript:window.hit=4\x07script\x1b]8;;\x07",
        "\x1b]8;;JaVaScRiPt:window.hit=4\x1b\\script\x1b]8;;\x1b\\",
        "\x1b]8;;data:text/html,<script>window.hit=5</script>\x07data\x1b]8;;\x07",
        '\x1b]8;;https://a.example/" onmouseover="window.hit=6\x07quote\x1b]8;;\x07',
        "\x1b]8;;https://a.example/'><script>window.hit=7</script>\x07tag\x1b]8;;\x07",
        "\x1b]8;;https://user@a.example/\x07user\x1b]8;;\x07",
        "\x1b]8;id=1;https://good.example/?a=1&b=2\x07good\x1b]8;;\x07",
        "\x9d8;;javascript:window.hit=8\x9cshort\x9d8;;\x9c",
        f"\x1b]0;{MARKUP}\x07\x1b]52;c;aGl0\x07\x1bP1;2|{MARKUP}\x1b\\\x1b_{MARKUP}\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\",
        "\x1b[5n\x1b[6n\x1b(B\x1b7\x1b8\x1b[?2004h\x1b[?1003h\x9b31mred\x9b0m\x9b5n\x1b[?25l",
        "\x1b[38;5;300mx\x1b[38mx\x1b[48;2mx\x1b[999999999999999999999mx\x1b[\u0663mx\x1b[0m",
        "\x1b[1;31mred\x1b[0m and \x1b[4:3mcurly\x1b[m",
        "\x00\x01\x05\x07\x0b\x0c\x0e\x0f\x7f\x80\x85\x90end",
        "\x1b]8;;javascript:window.hit=9",
        "the end",
    )
)

PROGRAM = f"""
import os, sys
text = {OUTPUT!r}.encode()
for number in 1, 2:
    for byte in range(0, len(text), 7):
        os.write(number, text[byte : byte + 7])
    os.write(number, b"\\n")
sys.exit(3)
"""

_COLOURS = re.compile(r"\x1b\[(?:\d{1,3}(?:;\d{1,3})*)m")
_BAD = re.compile("[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def unsafe_text(text: str) -> str:
    """The first part of a text that is neither text nor a colour; empty when there is none."""
    found = _BAD.search(_COLOURS.sub("", text))
    return "" if found is None else repr(found.string[max(0, found.start() - 20) : found.end() + 20])


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attributes))


def unsafe_html(html: str, allowed: frozenset[str] = frozenset({"pre", "span", "a"})) -> list[str]:
    """What a page of this HTML would have that is no text, colour or link to http(s)."""
    page = _Page()
    page.feed(html)
    page.close()
    return list(_unsafe_parts(page, allowed))


def _unsafe_parts(page: _Page, allowed: frozenset[str]) -> Iterator[str]:
    for tag, attributes in page.found:
        if tag not in allowed:
            yield f"<{tag}>"
        for name, value in attributes:
            if name.startswith("on") or name in ("src", "srcdoc"):
                yield f"<{tag} {name}>"
            if name == "href" and not re.match("https?://[a-z]", value or ""):
                yield f"<{tag} href={value}>"
