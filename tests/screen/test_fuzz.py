"""Whatever a program writes: no exception, nothing but text and colours out, no markup, bounded memory.

``python -m tests.screen.test_fuzz SECONDS [SEED]`` goes on for longer.
"""

from __future__ import annotations

import random
import re
import sys
import time

import pytest

from ipyproc.screen.screen import MOST_COLUMNS, MOST_ROWS, Screen
from ipyproc.screen.text import shown
from tests.screen.recordings import NAMES, recording

_SGR = re.compile("\x1b\\[[0-9;]+m")
_LINK = re.compile('\x1b\\]8;;[^\x00-\x20\x7f-\x9f<>"]*\x1b\\\\')
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_TAG = re.compile(
    '<pre style="[^"<>&]*">|</pre>|<span style="[^"<>&]*">|</span>|</a>'
    '|<a href="https?://[^"<>]*" target="_blank" rel="noopener noreferrer">'
)
_PIECES = tuple(
    piece.encode()
    for piece in (
        "\x1b", "[", "\x1b[", "\x1b]8;;", "http://a.b/", "javascript:x", "\x1b\\", "\x07", "\x9b", "\x90",
        "<script>", "&lt;", "\"'",
        "\r", "\n", "\r\n", "\b", "\t", "\x0e", "\x0f", "\x1b(0", "\x1b(B", "\x1b7",
        "\x1b8", "\x1bM", "\x1bD", "\x1bE", "\x1bH", "\x1bc", "\x1b#8", "\x1b[?1049h", "\x1b[?1049l",
        "\x1b[?6h", "\x1b[?7l", "\x1b[?7h", "\x1b[4h", "\x1b[4l", "\x1b[?25l", "\x1b[?25h", "\x1b[!p",
        "\u0301", "漢字", "🚀", "e\u0301\u200d", "x" * 300, "1;" * 200, "\x1b[48;2;1;2;3m", "\x1b[41m",
        "\x1b[0m", "\x1b[7m", "\x1b[4m", "\x1b[999999999999b", "plain text",
    )
)  # fmt: skip
_FINALS = b"@ABCDEFGHIJKLMPSTXZ`abcdefghlmnpqrstux"


def soup(choice: random.Random) -> bytes:
    parts = []
    for _ in range(choice.randrange(1, 60)):
        kind = choice.randrange(4)
        if kind == 0:
            parts.append(choice.choice(_PIECES))
        elif kind == 1:
            numbers = b";".join(
                b"%d" % choice.choice((0, 1, 2, 5, 24, 100, 65536)) for _ in range(choice.randrange(4))
            )
            parts.append(
                b"\x1b[" + choice.choice((b"", b"?", b">")) + numbers + bytes([choice.choice(_FINALS)])
            )
        elif kind == 2:
            parts.append(choice.randbytes(choice.randrange(12)))
        else:
            parts.append(b"word " * choice.randrange(40) + b"\r\n" * choice.randrange(3))
    return b"".join(parts)


def mutated(choice: random.Random) -> bytes:
    data = bytearray(recording(choice.choice(NAMES)))
    start = choice.randrange(len(data))
    data = data[start : start + choice.randrange(3000)]
    for _ in range(choice.randrange(20) if data else 0):
        at = choice.randrange(len(data) + 1)
        data[at : at + choice.randrange(4)] = choice.choice(
            (b"", choice.randbytes(2), choice.choice(_PIECES))
        )
    return bytes(data)


def check_text(text: str, *, links: bool) -> None:
    rest = _SGR.sub("", text)
    if links:
        rest = _LINK.sub("", rest)
    assert not _CONTROL.search(rest), repr(rest)
    for line in text.split("\n"):
        sequences = _SGR.findall(line)
        assert not sequences or sequences[-1] == "\x1b[0m", repr(line)


def check_bounds(screen: Screen) -> None:
    state, reader = screen._state, screen._reader
    for grid in (state.main, state.grid):
        assert len(grid.screen) == grid.rows <= MOST_ROWS and grid.columns <= MOST_COLUMNS
        assert 0 <= grid.x <= grid.columns and 0 <= grid.y < grid.rows and 0 <= grid.taken <= grid.rows
        assert 0 <= grid.top <= grid.bottom < grid.rows
        assert len(grid.history) <= grid.rows
        assert sum(len(row.cells) for row in grid.finished.begun) <= (1 << 16) + 2 * MOST_COLUMNS * MOST_ROWS
        for row in grid.screen:
            assert len(row.cells) == len(row.styles) <= grid.columns
            assert not row.cells or row.cells[0]
            assert all(len(cell) <= 33 for cell in row.cells)
    assert len(reader._held) < 600 and reader._osc_size <= 1 << 21
    assert len(screen._tail) < 5000 and len(screen._passed) < 1 << 18


def fuzz(seconds: float, seed: int) -> int:
    choice = random.Random(seed)
    until, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        rounds += 1
        screen = Screen(
            choice.choice((1, 2, 5, 24, 24, 24, 10**9)),
            choice.choice((1, 2, 3, 20, 100, 100, 100, 10**9)),
            newline=choice.random() < 0.5,
            links=choice.random() < 0.3,
        )
        data = b"".join(choice.choice((soup, mutated))(choice) for _ in range(choice.randrange(1, 5)))
        position = 0
        while position < len(data):
            size = choice.choice((1, 2, 7, 50, 500, 5000))
            screen.feed(data[position : position + size])
            position += size
            action = choice.randrange(12)
            if action == 0:
                screen.resize(choice.choice((1, 3, 24, 50)), choice.choice((1, 2, 20, 100, 133)))
            elif action == 1:
                screen.settle()
            elif action == 2:
                screen.finish()
            elif action < 6:
                check_text(screen.take(), links=screen._links)
            elif action < 8:
                check_text("\n".join(screen.live().rows), links=screen._links)
                check_bounds(screen)
        screen.finish()
        check_bounds(screen)
        check_text(screen.take(), links=screen._links)
        result = shown([data.decode("utf-8", "replace")], newline=True)
        assert not _CONTROL.search(result.text)
        assert not re.search("[<>]", _TAG.sub("", result.html)), result.html
    return rounds


def test_no_bytes_make_it_fail_or_get_through_for_two_seconds() -> None:
    assert fuzz(2, seed=random.randrange(1 << 30)) > 3


@pytest.mark.slow
def test_no_bytes_make_it_fail_or_get_through_for_twenty_seconds() -> None:
    assert fuzz(20, seed=random.randrange(1 << 30)) > 30


def test_what_has_no_end_is_not_kept() -> None:
    for endless in (
        b"\x1b]0;" + b"x" * 70_000,
        b"\x1b[" + b"1;" * 40_000,
        b"e" + "\u0301".encode() * 30_000,
        b"\x1bP" * 9000,
    ):
        screen = Screen(10**9, 10**9)
        screen.feed(endless)
        screen.feed(endless)
        check_bounds(screen)
        assert sum(map(len, screen.live().rows)) < 200_000


if __name__ == "__main__":
    given = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    print("seed", given)
    print(fuzz(float(sys.argv[1]), given), "rounds")
