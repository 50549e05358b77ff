"""The screen at an offset: what a terminal shows there, read in slices, and only the part that matters."""

from __future__ import annotations

import asyncio

import pytest

from ipyproc.job.table import JobTable
from ipyproc.screen.screen import Screen
from ipyproc.views.replay import Replay, ScreenAt
from tests.jobs.looped import looped

MIB = 1 << 20


class Job:
    """An output, of which the first bytes may be dropped."""

    encoding = "utf-8"

    def __init__(self, data: bytes, terminal: tuple[int, int] | None = (24, 100), dropped: int = 0) -> None:
        self.data, self.terminal, self.dropped = data, terminal, dropped
        self.sizes: tuple[tuple[int, int, int], ...] = ()
        self.read_bytes = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int | None) -> bytes:
        found = self.data[max(start, self.dropped) : stop]
        self.read_bytes += len(found)
        return found


def screen_at(replay: Replay, offset: int | None = None) -> ScreenAt:
    return asyncio.run(replay.screen_at(offset))


def expected(data: bytes, *, keep: int = 5000, newline: bool = False) -> str:
    screen = Screen(24, 100, keep=keep, newline=newline)
    screen.feed(data)
    return screen.snapshot()


def lines(count: int) -> bytes:
    return b"".join(b"\x1b[3%dmline %d\x1b[0m\r\n" % (number % 8, number) for number in range(count))


def test_it_follows_an_output_from_offset_to_offset_and_stops_before_a_cut_character() -> None:
    data = lines(300) + "\u6f22\u5b57".encode() + lines(20)
    job = Job(data)
    replay = Replay(job)
    for offset in (0, 1, 500, 500, 499, len(lines(300)) + 4, None):
        found = screen_at(replay, offset)
        assert (found.rows, found.columns) == (24, 100)
        assert found.text == expected(data[: found.offset])
        assert offset is None or offset - 3 < found.offset <= max(offset, 500)
    assert found.offset == len(data)
    # Each byte is looked at twice: for its modes, and on the screen.
    assert job.read_bytes <= 2 * len(data) + 100


def test_it_has_the_size_that_the_terminal_had_at_the_offset() -> None:
    data = lines(100)
    job = Job(data, (10, 40))
    job.sizes = ((0, 24, 100), (500, 30, 20), (len(data), 10, 40))
    screen = Screen(24, 100, keep=5000)
    replay = Replay(job)
    for start, stop, size in ((0, 499, (24, 100)), (499, 500, (30, 20)), (500, 900, (30, 20))):
        screen.feed(data[start:stop])
        if stop == 500:
            screen.resize(*size)
        found = screen_at(replay, stop)
        assert (found.rows, found.columns, found.text) == (*size, screen.snapshot())
    assert (screen_at(replay).rows, screen_at(replay).columns) == (10, 40)
    # A page that comes late sees the same.
    assert screen_at(Replay(job)).text == screen_at(replay).text


def test_an_output_of_pipes_has_bare_newlines() -> None:
    data = b"one\ntwo\n"
    assert screen_at(Replay(Job(data, None))).text == expected(data, newline=True)


def test_of_a_large_output_the_end_is_emulated_with_the_modes_that_were_set_before() -> None:
    modes = b"\x1b[?2004h\x1b[?1h\x1b=\x1b[?25l"
    flood = lines(300_000)
    data = modes[:20] + flood[: 3 * MIB] + modes[20:] + b"\x1b[?25h\r\n" + flood
    job = Job(data)
    replay = Replay(job, keep=100)
    found = screen_at(replay)
    assert found.text == expected(modes[:-6] + flood[-50_000:], keep=100)
    assert job.read_bytes < len(data) + 2 * MIB
    # Far behind, it skips ahead.
    before = job.read_bytes
    job.data += flood + b"\x1b[4 q"
    assert screen_at(replay).text == expected(modes[:-6] + flood[-50_000:] + b"\x1b[4 q", keep=100)
    assert job.read_bytes < before + len(flood) + MIB


def test_what_a_full_screen_program_drew_at_its_beginning_is_there_two_mebibytes_later() -> None:
    drawn = b"\x1b[?1049h\x1b[?1000;1006h\x1b[Htitle"
    step = b"\x1b[5;1H\x1b[K%09d"
    data = b"$ top\r\n" + drawn + b"".join(step % number for number in range(2 * MIB // 20))
    found = screen_at(Replay(Job(data)))
    assert "title" in found.text and "\x1b[?47h" in found.text and "\x1b[?1000;1006h" in found.text
    data += b"\x1b[?1049l" + lines(50_000)
    found = screen_at(Replay(Job(data)))
    assert "title" not in found.text and "\x1b[?47h" not in found.text


@pytest.mark.parametrize("dropped", [50, 700, 3 * MIB])
def test_bytes_that_were_dropped_are_left_out(dropped: int) -> None:
    data = b"x" * dropped + b"\r\nlast\r\n"
    found = screen_at(Replay(Job(data, dropped=dropped)))
    assert found == ScreenAt(len(data), 24, 100, expected(b"\r\nlast\r\n"))


@looped
async def test_it_reads_a_job(table: JobTable) -> None:
    job = table.spawn("printf 'one\\ntwo'", tty=True, rows=10, columns=40)
    await job
    found = await Replay(job).screen_at()
    assert (found.offset, found.rows, found.columns) == (job.size, 10, 40) and "one\r\ntwo" in found.text
