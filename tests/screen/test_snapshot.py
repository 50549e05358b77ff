"""A snapshot, and then the rest of the output, shows in a new terminal what the whole output shows."""

from __future__ import annotations

import random

import pytest

from ipyproc.screen.screen import Screen
from tests.screen.recordings import NAMES, recording
from tests.screen.snapshots import PROVED, taken
from tests.screen.test_fuzz import mutated, soup


def shown(screen: Screen) -> list[object]:
    """Return what a screen shows, both of its screens, and where they have their cursors."""
    screen.live()
    state = screen._state
    found: list[object] = [state.grid.alternate, state.grid.x, state.grid.y, state.hidden, state.modes]
    for grid in (state.main, state.grid):
        found += ["".join(row.cells).rstrip() for row in grid.screen]
        found += [grid.top, grid.bottom]
    return found


def rebuilt(text: str, rows: int = 24, columns: int = 100) -> Screen:
    screen = Screen(rows, columns, keep=10_000)
    screen.feed(text.encode())
    return screen


@pytest.mark.parametrize("name", NAMES)
def test_each_snapshot_of_a_recording_is_one_that_xterm_has_proved(name: str) -> None:
    # README.md says how they are proved.
    found = {str(snapshot.offset): snapshot.hash for snapshot in taken(name)}
    assert found == PROVED[name]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"edge_long_flood"}))
def test_a_snapshot_and_the_rest_give_a_screen_the_same_snapshot_as_the_whole(name: str) -> None:
    data = recording(name)
    whole = rebuilt("")
    whole.feed(data)
    for part in range(1, 8):
        offset = len(data) * part // 8
        screen = Screen(keep=10_000)
        screen.feed(data[:offset])
        again = rebuilt(screen.snapshot())
        again.feed(data[offset - screen.undecoded :])
        assert again.snapshot() == whole.snapshot()


def test_a_snapshot_has_the_last_lines_of_a_flood_and_only_so_many() -> None:
    flood = b"".join(b"\x1b[3%dmline %d\x1b[0m\r\n" % (number % 8, number) for number in range(30_000))
    screens = [Screen(rows=24, columns=100, keep=1000) for _ in range(2)]
    screens[0].feed(flood)
    for start in range(0, len(flood), 777):
        screens[1].feed(flood[start : start + 777])
    for screen in screens:
        assert screen.take() == ""
        text = screen.snapshot()
        assert text == screens[0].snapshot()
        # The last row of 24 is blank, and has the cursor.
        for number in (30_000 - 1000 - 23, 29_999):
            assert text.count(f"line {number}\x1b") == 1
        assert f"line {30_000 - 1000 - 24}\x1b" not in text
        for lines in (0, 7, 300):
            assert screen.snapshot(lines).count("line ") == 23 + lines
    screen.feed(b"\x1b[3J")
    assert screen.snapshot().count("line ") == 23
    assert len(Screen(keep=10).snapshot()) < 100


def test_long_lines_are_kept_up_to_a_bound() -> None:
    screen = Screen(keep=50)
    for _ in range(200):
        screen.feed(b"x" * 5000 + b"\r\n" + b"y\bz\r\n")
    assert screen.snapshot().count("x") <= 200 * 50 + 24 * 100 + 200 * 100


def test_what_is_cut_goes_on_behind_the_snapshot() -> None:
    for whole in (
        "before\u6f22 after", "e\u0301\u0301!",
        "a\x1b[31mb", "a\x1b]8;;http://a.b/\x1b\\link\x1b]8;;\x1b\\ no",
        "a\x1b]0;title\x07b", "a\x1bPq...\x1b\\b", "x" * 100 + "\u0301y", "x\x1b[5by", "a\r\nb\rc",
        "a\x1b[" + "1;" * 300 + "mb", "a\x1b]0;" + "t" * 5000 + "\x07b",
        "\x1b(0lqk\x1b(Bx", "\x1b[?7l" + "w" * 120,
    ):  # fmt: skip
        data = whole.encode()
        for offset in range(len(data) + 1) if len(data) < 200 else (3, 590, len(data) - 3):
            screen = Screen(keep=10)
            screen.feed(data[:offset])
            again = rebuilt(screen.snapshot())
            again.feed(data[offset - screen.undecoded :])
            expected = rebuilt("")
            expected.feed(data)
            assert shown(again) == shown(expected), (whole, offset)


def test_the_modes_that_are_set_are_those_of_the_snapshot() -> None:
    sets = "\x1b[?1h\x1b=\x1b[?1000h\x1b[?1003h\x1b[?1006h\x1b[?2004;1004h\x1b[4 q\x1b[?25l"
    text = rebuilt(sets).snapshot()
    assert text.rpartition("\r\n")[2] == "\x1b[?25l\x1b[?1;66;1004;2004;1003;1006h\x1b[4 q\x1b[1;1H"
    for resets in ("\x1bc", "\x1b[!p\x1b[?1000;1006l", "\x1b[?1;66;1004;2004;1003;1006l\x1b[0 q\x1b[?25h"):
        assert rebuilt(sets + resets).snapshot() == rebuilt("").snapshot()


@pytest.mark.parametrize("seed", range(20))
def test_a_snapshot_of_whatever_was_written_is_the_snapshot_of_what_it_builds(seed: int) -> None:
    choice = random.Random(seed)
    for _ in range(10):
        rows, columns = choice.choice((2, 5, 24)), choice.choice((4, 20, 100))
        screen = Screen(rows, columns, keep=choice.choice((0, 5, 1000)))
        for _ in range(choice.randrange(1, 5)):
            screen.feed(choice.choice((soup, mutated))(choice))
            if choice.random() < 0.2:
                rows, columns = choice.choice((2, 3, 24, 50)), choice.choice((4, 20, 100))
                screen.resize(rows, columns)
        text = screen.snapshot()
        assert text == screen.snapshot()
        again = Screen(rows, columns, keep=1000)
        again.feed_text(text)
        assert shown(again) == shown(screen)
