"""What it takes to turn a program's drawing into lines and rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from ipyproc.screen.screen import Screen
from ipyproc.views.pace import LARGEST_MESSAGE
from ipyproc.views.reading import Reading
from tests.bench.rounds import fresh, in_turn
from tests.bench.table import OURS, Bar, Row

SIZE = 1_000_000
SLICE = 32 << 10
"""What a view reads at once, at most."""
ROUNDS = 5

RECORDINGS = Path(__file__).parents[1] / "screen" / "recordings"
TEXT, TQDM, RICH = "coloured text", "tqdm", "rich"
SUBJECTS = {TEXT: "lines with colours", TQDM: "frames of tqdm", RICH: "frames of rich, two rows"}

Figures = dict[str, float]


def coloured_lines() -> Iterator[bytes]:
    """Lines as those of ``ls -l --color``."""
    for number in cycle(range(10_000)):
        name = f"\x1b[0m\x1b[01;{31 + number % 6}mfile-{number}.tar.gz\x1b[0m"
        yield f"-rw-r--r-- 1 root root {number * 977:>9} Nov 25 12:{number % 60:02} {name}\r\n".encode()


def output(subject: str) -> bytes:
    """1 MB of it; frames are those of a recording of the real program, over and over."""
    if subject == TEXT:
        pieces: Iterator[bytes] = coloured_lines()
    else:
        name = {TQDM: "tqdm_one", RICH: "rich_progress"}[subject]
        pieces = cycle([(RECORDINGS / f"{name}.ansi").read_bytes()])
    data = bytearray()
    while len(data) < SIZE:
        data += next(pieces)
    return bytes(data[:SIZE])


class Written:
    """A job that has written all of its output, as views read it."""

    name, encoding, done, lingers, terminal = "written", "utf-8", True, False, (24, 100)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def snapshot(self) -> None:
        return None

    def runs(self, start: int, stop: int) -> list[tuple[str, bytes]]:
        return [("stdout", self._data[start:stop])]

    def read(self, start: int, stop: int | None) -> bytes:
        return self._data[start:stop]


def on_screen(subject: str) -> float:
    """Seconds for 1 MB, of which the lines and the rows are taken after each slice."""
    data, screen = output(subject), Screen()
    begun = time.perf_counter()
    for start in range(0, SIZE, SLICE):
        screen.feed(data[start : start + SLICE])
        screen.take()
        screen.live()
    return time.perf_counter() - begun


def longest_turn(subject: str) -> float:
    """Seconds of the longest turn in which a view reads on, with its rows."""
    job, reading = Written(output(subject)), Reading(0, None)
    longest = 0.0
    while reading.position < job.size:
        begun = time.perf_counter()
        reading.read(job, LARGEST_MESSAGE)
        reading.live.is_drawn
        longest = max(longest, time.perf_counter() - begun)
    return longest


def rows() -> list[Row]:
    """Six rows: for each kind, the time on a screen, and the longest turn of a view."""
    found: list[Row] = []
    for subject, what in SUBJECTS.items():
        measured = in_turn({OURS: lambda subject=subject: fresh(on_screen, subject)}, ROUNDS)
        bar = Bar(0.1 if subject == TEXT else 1.0)
        found.append(measured.row("screen", f"1 MB of {what} to a screen", "s", bar))
    for subject, what in SUBJECTS.items():
        measured = in_turn({OURS: lambda subject=subject: fresh(longest_turn, subject)}, ROUNDS)
        found.append(
            measured.row("screen", f"Longest turn of a view that reads 1 MB of {what}", "s", Bar(0.010))
        )
    return found
