"""What a view puts into its cell: lines as stream text, rows that change in one display below them."""

from __future__ import annotations

import pytest

from ipyproc.views.cell import Medium
from ipyproc.views.outlet import Outlet
from ipyproc.views.transcript import NO_ROWS, Lines, LiveRows, Transcript, fitting
from tests.views.test_manager import ListCell


class Shown:
    """An outlet that is fed bytes, as a view does it."""

    def __init__(self, terminal: tuple[int, int] | None = (24, 100), *, medium: Medium = Medium.PAGE) -> None:
        self.cell = ListCell("one", medium=medium)
        self.outlet = Outlet(self.cell)
        self.transcript = Transcript(terminal, "utf-8")

    def feed(self, text: str, stream: str = "stdout", *, draw: bool = False) -> None:
        lines = self.transcript.feed([(stream, text.encode())])  # type: ignore[list-item]
        live = self.transcript.live
        self.outlet.send(lines, live, draw=draw or (live.straight and not self.outlet.is_drawing))

    def draw(self) -> None:
        self.outlet.send(self.transcript.settle(), self.transcript.live, draw=True)

    def end(self) -> None:
        self.outlet.end(self.transcript.finish())

    @property
    def drawings(self) -> list[str]:
        return list(self.cell.displays.values())


def test_finished_lines_are_stream_text_and_a_prompt_is_shown_before_its_newline() -> None:
    shown = Shown()
    shown.feed("one\r\ntwo\r\nName? ")
    assert shown.cell.text == "one\ntwo\nName? "
    shown.feed("Ada\r\nbye\r\n")
    shown.end()
    assert shown.cell.text == "one\ntwo\nName? Ada\nbye\n" and not shown.drawings


def test_a_bar_is_drawn_in_one_display_and_lines_that_come_meanwhile_stand_above_it() -> None:
    shown = Shown()
    shown.feed("begun\r\n\r 10 %")
    shown.draw()
    assert (shown.cell.text, shown.drawings) == ("begun\n", [" 10 %"])
    shown.feed("\r 20 %")
    assert shown.drawings == [" 10 %"]
    shown.draw()
    assert shown.drawings == [" 20 %"]
    shown.feed("\r\x1b[Kepoch 1\r\n 30 %\r 30 %", draw=True)
    assert shown.drawings == ["epoch 1\n 30 %"]
    shown.feed("\rdone\x1b[K\r\nafter\r\n")
    shown.end()
    assert shown.drawings == ["epoch 1\ndone\nafter"] and shown.cell.text == "begun\n"
    assert shown.cell.settled == set(shown.cell.displays)


def test_a_drawing_that_has_grown_is_left_with_its_lines_and_another_is_begun() -> None:
    shown = Shown()
    shown.feed("\r 1 %", draw=True)
    for number in range(1000):
        shown.feed(f"\r\x1b[Kepoch {number}\r\n {number} %\r {number} %", draw=True)
    shown.end()
    text = "\n".join(shown.drawings)
    assert text.split("\n") == [*(f"epoch {number}" for number in range(1000)), " 999 %"]
    assert len(shown.drawings) > 2 and max(map(len, shown.drawings)) < 5000
    assert shown.cell.text == ""


def test_after_a_drawing_was_left_plain_lines_are_stream_text_again() -> None:
    shown = Shown()
    shown.feed("\r 1 %", draw=True)
    shown.feed("\r 2 %\r\n" + "line\r\n" * 1000, draw=True)
    shown.draw()
    shown.feed("plain\r\n")
    assert shown.cell.text == "plain\n"
    assert shown.drawings[0].startswith(" 2 %\nline\n")


def test_rows_of_a_program_that_moves_over_several_rows_stay_in_one_display() -> None:
    shown = Shown()
    shown.feed("\x1b[?25la: 0\r\nb: 0", draw=True)
    for number in range(1, 5):
        shown.feed(f"\r\x1b[2K\x1b[1A\x1b[2Ka: {number}\r\nb: {number}", draw=True)
    assert shown.drawings == ["a: 4\nb: 4"]
    shown.feed("\r\n\x1b[?25hend\r\n")
    shown.end()
    assert shown.drawings == ["a: 4\nb: 4\nend"] and shown.cell.text == ""


def test_a_prompt_that_becomes_a_bar_is_erased_from_the_stream() -> None:
    shown = Shown()
    shown.feed("Loading")
    shown.feed("\rLoading 1", draw=True)
    assert shown.cell.text == "Loading\r       \r" and shown.drawings == ["Loading 1"]


def test_a_row_that_was_shown_and_then_rewritten_in_one_go_is_written_over() -> None:
    shown = Shown()
    shown.feed("Loading it")
    shown.feed("\rdone\x1b[K\r\nnext\r\n")
    assert shown.cell.text == "Loading it\rdone      \nnext\n"


def test_colours_of_a_row_that_grows_go_on() -> None:
    shown = Shown()
    shown.feed("a\x1b[31mb")
    shown.feed("c\x1b[0m\r\n")
    assert shown.cell.text == "a\x1b[31mb\x1b[0m\x1b[31mc\x1b[0m\n"


def test_both_pipes_have_prompts_of_their_own() -> None:
    shown = Shown(terminal=None)
    for text, stream in (("ou", "stdout"), ("er", "stderr"), ("t\n", "stdout"), ("r\n", "stderr")):
        shown.feed(text, stream)
    assert shown.cell.text == "ouert\nr\n"


def test_a_line_that_has_no_newline_at_the_end_gets_none() -> None:
    shown = Shown()
    shown.feed("one\r\ntwo")
    shown.end()
    assert shown.cell.text == "one\ntwo"


@pytest.mark.parametrize("medium", [Medium.FILE, Medium.TERMINAL])
def test_nothing_is_drawn_where_no_display_changes(medium: Medium) -> None:
    shown = Shown(medium=medium)
    for number in range(100):
        shown.feed(f"\r{number} %", draw=True)
    assert not shown.cell.text and not shown.drawings
    shown.feed("\rall\x1b[K\r\n")
    shown.end()
    assert shown.cell.text == "all\n" and not shown.drawings


def test_links_are_text_in_stream_text_and_in_a_drawing() -> None:
    link = "\x1b]8;;https://good.example/\x1b\\good\x1b]8;;\x1b\\"
    shown = Shown()
    shown.feed(f"{link}\r\n\r{link} 1 %", draw=True)
    assert shown.cell.text == "good\n" and shown.drawings == ["good 1 %"]


def test_lines_for_which_there_is_room() -> None:
    lines = Transcript(None, "utf-8").feed(
        [("stdout", b"one\ntwo\n"), ("stderr", b"three\n"), ("stdout", b"x\n")]
    )

    def texts(part: list[Lines]) -> list[str]:
        return [piece.text for piece in part]

    for room, shown, rest in (
        (100, ["one\ntwo\n", "three\n", "x\n"], []),
        (15, ["one\ntwo\n", "three\n"], ["x\n"]),
        (8, ["one\ntwo\n"], ["three\n", "x\n"]),
        (7, ["one\n"], ["two\n", "three\n", "x\n"]),
        (3, [], ["one\ntwo\n", "three\n", "x\n"]),
    ):
        assert tuple(map(texts, fitting(lines, room))) == (shown, rest)


def test_no_rows_are_nothing_to_draw() -> None:
    assert not NO_ROWS.is_drawn
    assert not LiveRows((), straight=False).is_drawn


def test_in_a_terminal_rows_are_drawn_below_the_lines_while_a_cell_waits_and_else_not() -> None:
    shown = Shown(medium=Medium.TERMINAL)
    shown.feed("begun\r\n\r 10 %")
    shown.draw()
    assert (shown.cell.text, shown.cell.rows) == ("begun\n", [])
    shown.cell.is_drawable = True
    shown.feed("\r 20 %\r\nbelow\x1b[A")
    shown.draw()
    assert shown.cell.rows == [" 20 %", "below"]
    shown.feed("\r\x1b[J\repoch 1\r\n\r 30 %")
    assert shown.cell.text == "begun\n"
    shown.draw()
    shown.cell.is_drawable = False
    shown.feed("\rnow\x1b[K\r\n" * 30)
    assert shown.cell.rows == [] and shown.cell.text.startswith("begun\nepoch 1\nnow\nnow\n")
    shown.end()
    assert not shown.drawings
