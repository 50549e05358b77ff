"""The screen: when rows are finished, what is live, colours, links, sizes."""

from __future__ import annotations

import pytest

from ipyproc.screen.screen import Live, Screen, suffix_of
from ipyproc.screen.text import shown

UP, HIDE, SHOW = "\x1b[A", "\x1b[?25l", "\x1b[?25h"


def fed(*texts: str, **options: bool) -> Screen:
    screen = Screen(rows=5, columns=20, **options)
    for text in texts:
        screen.feed(text.encode())
    return screen


def shows(screen: Screen) -> tuple[str, tuple[str, ...]]:
    return screen.take(), screen.live().rows


def test_a_straight_row_is_finished_by_its_newline_and_a_prompt_is_live_and_straight() -> None:
    screen = fed("one\r\ntwo\r\n\x1b[32mName?\x1b[0m ")
    assert screen.take() == "one\ntwo\n"
    assert screen.live() == Live(("\x1b[32mName?\x1b[0m ",), straight=True)
    screen.feed(b"Ann\r\n")
    assert shows(screen) == ("\x1b[32mName?\x1b[0m Ann\n", ())
    assert fed("").live() == Live((), straight=True)


@pytest.mark.parametrize("rewritten", ["\r 1%\r 2%", "abc\b\bd", "old\r\x1b[Knew", "\rfirst"])
def test_a_row_that_was_rewritten_is_held_until_a_straight_row_or_settling_or_the_end(rewritten: str) -> None:
    row = fed(rewritten).live().rows[0]
    screen = fed(f"{rewritten}\r\n")
    assert (screen.take(), screen.live()) == ("", Live((row,), straight=False))
    screen.feed(b"straight\r\n")
    assert shows(screen) == (f"{row}\nstraight\n", ())
    for end in (Screen.settle, Screen.finish):
        screen = fed(f"{rewritten}\r\n")
        end(screen)
        assert shows(screen) == (f"{row}\n", ())


def test_a_blank_row_is_held_and_not_shown_until_something_follows() -> None:
    screen = fed("one\r\n\r\n  \r\n")
    assert shows(screen) == ("one\n", ())
    screen.feed(b"two\r\n\r\n")
    assert shows(screen) == ("\n  \ntwo\n", ())
    screen.finish()
    assert screen.take() == ""


def test_nested_bars_stay_live_until_they_scroll_off() -> None:
    screen = fed("begin\r\n", "\r 0%", "\r\n", "\rin 0%", UP, "\r50%", "\r\n", "\rin 9%", UP)
    assert shows(screen) == ("begin\n", ("50%", "in 9%"))
    screen.feed(b"\r\n" * 5)
    assert shows(screen) == ("50%\n", ("in 9%",))


def test_rows_drawn_with_a_hidden_cursor_are_live_and_plain_mode_comes_back_when_they_are_gone() -> None:
    screen = fed(f"{HIDE}a\r\nb\r\n{UP}B\r\n{SHOW}")
    assert shows(screen) == ("", ("a", "B"))
    screen.feed(b"c\r\nd\r\n")
    assert shows(screen) == ("", ("a", "B", "c", "d"))
    screen.feed(b"e\r\nf\r\ng\r\nh\r\ni\r\n")
    assert shows(screen) == ("a\nB\nc\nd\ne\nf\ng\nh\ni\n", ())


def test_lines_that_were_not_taken_are_taken_back_and_others_come_again() -> None:
    assert shows(fed("one\r\ntwo\r\n", f"{UP}TWO\r\n")) == ("one\n", ("TWO",))
    screen = fed("one\r\ntwo\r\nthree\r\n")
    assert screen.take() == "one\ntwo\nthree\n"
    screen.feed(f"{UP}{UP}TWO\r\n".encode())
    assert shows(screen) == ("", ("TWO", "three"))


def test_colours_are_in_each_line_and_end_in_it() -> None:
    assert fed("\x1b[31mred\r\nmore\x1b[1mbold\x1b[22m\x1b[m plain\r\n").take() == (
        "\x1b[31mred\x1b[0m\n\x1b[31mmore\x1b[0;1;31mbold\x1b[0m plain\n"
    )
    drawn = fed(f"{HIDE}\x1b[38:2::1:2:3;48;5;9mx\x1b[49m\x1b[Ky\r\n")
    assert drawn.live().rows == ("\x1b[38;2;1;2;3;48;5;9mx\x1b[0;38;2;1;2;3my\x1b[0m",)


def test_an_erased_background_is_seen_to_the_edge_and_grep_and_gcc_are_straight() -> None:
    assert fed("\x1b[44mab\x1b[K\x1b[0m").live().rows == ("\x1b[44mab" + " " * 18 + "\x1b[0m",)
    assert fed("\x1b[01;31m\x1b[Khit\x1b[m\x1b[K rest\r\n").take() == "\x1b[1;31mhit\x1b[0m rest\n"


def test_a_line_that_wraps_is_one_line_and_is_live_as_a_whole() -> None:
    screen = fed("x" * 250)
    assert screen.live() == Live(("x" * 250,), straight=True)
    screen.feed(b"\r\n")
    assert shows(screen) == ("x" * 250 + "\n", ())


def test_the_alternate_screen_is_shown_alone_and_leaves_nothing() -> None:
    screen = fed("before\r\n\x1b[?1049h\x1b[2;3Hdrawn")
    assert screen.is_alternate
    assert shows(screen) == ("before\n", ("", "  drawn"))
    screen.feed(b"\x1b[?1049lafter\r\n")
    assert not screen.is_alternate
    assert screen.live().rows == ("after",)
    killed = fed("before\r\n\x1b[?1049h\x1b[2;3Hdrawn")
    killed.finish()
    assert (killed.take(), killed.is_alternate) == ("before\n\n  drawn\n", False)


def test_after_the_end_another_program_begins_on_a_new_screen() -> None:
    screen = fed(f"\x1b[31m{HIDE}one")
    screen.finish()
    screen.feed(b"two\r\n")
    assert shows(screen) == ("\x1b[31mone\x1b[0m\ntwo\n", ())


def test_a_bare_line_feed_is_a_newline_only_for_pipes() -> None:
    assert fed("one\ntwo\n", newline=True).take() == "one\ntwo\n"
    assert fed("one\ntwo\r\n").take() == "one\n   two\n"


def test_sequences_and_characters_that_are_cut_wait_for_their_rest() -> None:
    screen = Screen()
    for byte in "\x1b[31mé漢\x1b]0;title\x07\x1b[0m.\r\n".encode():
        screen.feed(bytes([byte]))
    assert screen.take() == "\x1b[31mé漢\x1b[0m.\n"


def test_other_encodings_are_decoded_and_what_cannot_be_is_replaced() -> None:
    screen = Screen(encoding="latin-1")
    screen.feed(b"\xe9\r\n")
    assert screen.take() == "é\n"
    assert fed("").live().rows == ()
    screen = Screen()
    screen.feed(b"\xff\xe6\r\n")
    assert screen.take() == "��\n"


def test_only_links_to_http_are_kept_and_only_where_they_are_asked_for() -> None:
    text = "\x1b]8;;https://a.b/c\x1b\\good\x1b]8;;\x1b\\ \x1b]8;;javascript:alert(1)\x07bad\x1b]8;;\x07\r\n"
    assert fed(text).take() == "good bad\n"
    assert fed(text, links=True).take() == "\x1b]8;;https://a.b/c\x1b\\good\x1b]8;;\x1b\\ bad\n"


def test_a_resize_wraps_anew_and_keeps_every_line() -> None:
    screen = fed("a" * 30, "\r\n", f"{HIDE}b\r\n")
    screen.resize(5, 10)
    screen.feed(b"c\r\n")
    screen.resize(2, 40)
    screen.finish()
    assert screen.take() == "a" * 30 + "\nb\nc\n"


@pytest.mark.parametrize(
    ("before", "row", "suffix"),
    [
        ("ab", "abc", "c"),
        ("", "\x1b[31ma\x1b[0m", "\x1b[31ma\x1b[0m"),
        ("\x1b[31ma\x1b[0m", "\x1b[31mab\x1b[0m", "\x1b[31mb\x1b[0m"),
        ("\x1b[31ma\x1b[0m", "\x1b[31ma\x1b[0mb", "b"),
        ("\x1b[31ma\x1b[0m", "\x1b[31ma\x1b[0;32mb\x1b[0m", "\x1b[0;32mb\x1b[0m"),
        ("\x1b[31ma\x1b[0m", "\x1b[31ma\x1b[0m", ""),
        ("ab", "ac", None),
        ("\x1b[31ma\x1b[0m", "\x1b[32ma\x1b[0m", None),
    ],
)
def test_what_came_after_a_straight_row_can_be_told(before: str, row: str, suffix: str | None) -> None:
    assert suffix_of(row, before) == suffix


def test_the_whole_is_given_as_text_and_as_html() -> None:
    result = shown(
        ["\x1b[1;31m<b>\x1b[0m & \x1b]8;;http://a.b/?x=1&y\x1b\\link\x1b]8;;\x1b\\\r\n", "\r 1%\r 2%\r\n"]
    )
    assert result.text == str(result) == "<b> & link\n 2%\n"
    assert '<span style="font-weight:bold;color:#cd0000">&lt;b&gt;</span> &amp; ' in result.html
    assert '<a href="http://a.b/?x=1&amp;y" target="_blank" rel="noopener noreferrer">link</a>' in result.html
    assert result.html == result._repr_html_()
    styled = shown(
        ["\x1b[7;4;9;38;5;196;48;2;1;2;3mx\x1b[0m\x1b[93;100;3;2my\x1b[0m\x1b[7mz\x1b[38;5;244mw\r\n"]
    ).html
    assert "color:#010203;background-color:#ff0000;text-decoration:underline line-through" in styled
    assert "font-style:italic" in styled and "color:#c8a000;background-color:#7f7f7f" in styled
    assert "color:#ffffff;background-color:#606060" in styled and "background-color:#808080" in styled
