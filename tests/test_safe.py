"""What is let through to a cell: text, colours, and links to http(s), however it comes."""

from __future__ import annotations

import ast
import random
import re

import pytest
from nbconvert.filters import ansi2html
from rich.console import Group
from rich.style import Style
from rich.text import Text

from ipyproc.errors import JobFailed, UnknownJobError
from ipyproc.safe import StreamFilter, line, url_of
from ipyproc.seen import last_line, seen
from ipyproc.views.render import bundle, tail_block
from tests.hostile import MARKUP, NAME, OUTPUT, unsafe_html, unsafe_text
from tests.support import ROOT

LINK = "\x1b]8;;https://a.example/\x07text\x1b]8;;\x07"


def filtered(*pieces: str) -> str:
    stream = StreamFilter()
    return "".join([*(stream.feed(piece) for piece in pieces), stream.close()])


# A stream


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain\ttext\r\nover\b\b\n", "plain\ttext\r\nover\b\b\n"),
        ("ünïcode \u4e2d \U0001f600 \u2028", "ünïcode \u4e2d \U0001f600 \u2028"),
        (MARKUP, MARKUP),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[01;38;5;208mx\x1b[m", "\x1b[1;38;5;208mx\x1b[0m"),
        ("\x1b[;31mx\x1b[0m", "\x1b[0;31mx\x1b[0m"),
        ("\x1b[38:2::1:2:3mx\x1b[0m", "\x1b[38;2;1;2;3mx\x1b[0m"),
        ("\x1b[38:5:9;1mx\x1b[0m", "\x1b[38;5;9;1mx\x1b[0m"),
        ("\x1b[4:3mx\x1b[4:0my\x1b[0m", "\x1b[4mx\x1b[24my\x1b[0m"),
        ("\x1b[58;5;1;3mx\x1b[0m", "\x1b[3mx\x1b[0m"),
        ("a\x1b[38mb\x1b[38;5;300mc\x1b[48;2;1md\x1b[77me", "abcde"),
        ("a\x1b[?1mb\x1b[>4;2mc\x1b[1 md\x1b[\u0663me", "abcd\u0663me"),
        ("a\x9b31mb\x9b0mc", "a\x1b[31mb\x1b[0mc"),
        ("a\x1b[2Jb\x1b[1;1Hc\x1b[Kd\x1b[?25le\x1b[6nf\x9b2Jg", "abcdefg"),
        ("a\x1b(Bb\x1b)0c\x1b#8d\x1b%Ge\x1b=f\x1b7g\x1bch\x1bMi\x1bNj", "abcdefghij"),
        ("a\x1b]0;title\x07b\x1b]2;title\x1b\\c\x1b]52;c;YQ==\x07d\x9d0;t\x9ce", "abcde"),
        (
            "a\x1bPq#1\x1b\\b\x1b_x\x1b\\c\x1b^x\x1b\\d\x1bXx\x1b\\e\x90x\x9cf\x98x\x9cg\x9ex\x9ch\x9fx\x9ci",
            "abcdefghi",
        ),
        (LINK, "text"),
        ("\x1b]8;;javascript:x\x07text\x1b]8;;\x07", "text"),
        ("a\x00b\x05c\x07d\x0be\x0cf\x0eg\x0fh\x1ai\x7fj\x80k\x85l\x8em\x9cn", "abcdefghijklmn"),
        ("a\ud800b\udcffc", "a\ufffdb\ufffdc"),
    ],
)
def test_text_and_colours_are_let_through_and_nothing_else(text: str, shown: str) -> None:
    assert filtered(text) == shown


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a\x1b]0;no end\nb", "a\nb"),
        ("a\x1b]0;no end\x1b[31mb\x1b[0m", "a\x1b[31mb\x1b[0m"),
        ("a\x1b]0;cancelled\x18b\x1bPcancelled\x1ac", "abc"),
        ("a\x1b[31\nb", "a\nb"),
        ("a\x1b[3\u20acb", "a\u20acb"),
        ("a\x1b\nb\x1b\u20acc", "a\nb\u20acc"),
        ("a\x1b\x1b[31mb\x1b[0m", "a\x1b[31mb\x1b[0m"),
        ("a\x1b(\nb", "a\nb"),
        ("a\x1b[" + "1;" * 300 + "mb", "a" + "1;" * 100 + "mb"),
        ("a\x1b]0;" + "x" * (1 << 20) + "y\nb", "axxy\nb"),
    ],
)
def test_a_sequence_that_is_broken_off_costs_no_more_than_itself(text: str, shown: str) -> None:
    assert filtered(text) == shown


@pytest.mark.parametrize("rest", ["\x1b", "\x1b[", "\x1b[31", "\x1b]0;title", "\x1b(", "\x9b1", "\x1bPx"])
def test_what_is_not_complete_at_the_end_is_dropped(rest: str) -> None:
    assert filtered(f"text{rest}") == "text"
    stream = StreamFilter()
    assert stream.feed(f"text{rest}") == "text"
    assert (stream.close(), stream.feed("m]x")) == ("", "m]x")


def test_colours_that_are_on_at_the_end_are_put_out() -> None:
    assert filtered("\x1b[1", ";31m", "red") == "\x1b[1;31mred\x1b[0m"
    assert filtered("\x1b[31mred\x1b[m", " plain") == "\x1b[31mred\x1b[0m plain"


def test_wherever_a_text_is_cut_the_same_is_shown() -> None:
    whole = filtered(OUTPUT)
    assert all(filtered(OUTPUT[:at], OUTPUT[at:]) == whole for at in range(len(OUTPUT)))
    assert filtered(*OUTPUT) == whole


def test_a_flood_in_one_string_is_not_kept() -> None:
    stream = StreamFilter()
    assert stream.feed("\x1b]1337;File=:") == ""
    assert not any(stream.feed("QUJD" * 1000) for _ in range(262))
    assert not any(isinstance(value, str) and len(value) > 500 for value in vars(stream).values())
    assert stream.feed("\x07after") == "after"


_PIECES = (
    *(
        "\x1b",
        "[",
        "]",
        "m",
        "K",
        ";",
        ":",
        "0",
        "1",
        "31",
        "38",
        "5",
        "8",
        "2",
        "?",
        " ",
        "(",
        "P",
        "_",
        "\\",
    ),
    *(
        "\x07",
        "\x9b",
        "\x9c",
        "\x9d",
        "\x90",
        "\n",
        "\r",
        "\b",
        "\t",
        "\x00",
        "\x18",
        "\x7f",
        "\x85",
        "\ud800",
    ),
    *(
        "text",
        "ü",
        "\u20ac",
        "\U0001f600",
        "http://a.example/",
        "javascript:",
        "<b>",
        '"',
        "\x1b[31m",
        "\x1b]8;;",
    ),
)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_nothing_but_text_and_colours_is_shown(seed: int) -> None:
    choice = random.Random(seed)
    for _ in range(200):
        pieces = choice.choices(_PIECES, k=choice.randrange(1, 60))
        text = "".join(pieces)
        shown = filtered(text)
        assert not unsafe_text(shown), text
        assert filtered(shown) == shown, text
        assert filtered(*pieces) == filtered(*text) == shown, text
        for links in (False, True):
            bundled = bundle(tail_block(text, 5, "name", 0), 80)
            assert not unsafe_html(bundled["text/html"]) and not any(map(unsafe_text, bundled.values())), text
            once = seen(text, links=links)
            assert seen(once, links=links) == once, text


def test_nbconvert_can_read_the_colours_that_are_let_through() -> None:
    for first in range(120):
        for second in ("", ";5", ";5;7", ";2;1", ";2;1;2;3", ";5;999"):
            ansi2html(filtered(f"\x1b[{first}{second}mtext"))


# What overwrites


@pytest.mark.parametrize(
    "text, shown",
    [
        ("N\bNA\bAM\bME\bE", "NAME"),
        ("_\bN_\bA", "NA"),
        ("\b\bx\by", "y"),
        ("50 %\rdone", "done"),
        ("downloading\rdone", "doneloading"),
        ("downloading\r\x1b[Kdone", "done"),
        ("downloading\x1b[2K\rdone", "done"),
        ("downloading\x1b[1K\bx", " " * 10 + "x"),
        ("one\r\ntwo\r\r\nthree\r\n", "one\ntwo\nthree\n"),
        ("50 %\r", "50 %"),
        ("\x1b[31mred\r\x1b[32mg\x1b[0m\nx", "\x1b[0;32mg\x1b[0;31med\n\x1b[0mx"),
        ("\x1b[1;4mab\x1b[24;31m\bc\x1b[22;39m\rd\x1b[39;49mxe", "dxe"),
        ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
        (f"{LINK}\b\bT", "teTt"),
    ],
)
def test_what_is_overwritten_is_not_seen(text: str, shown: str) -> None:
    assert seen(text) == shown


def test_a_link_to_a_page_is_kept_where_it_is_asked_for() -> None:
    kept = "\x1b]8;;https://a.example/\x1b\\text\x1b]8;;\x1b\\"
    assert seen(LINK, links=True) == kept
    assert seen(f"xxxx{LINK}\ryyyy", links=True) == f"yyyy{kept}"
    assert seen("\x1b]8;;file:///etc/passwd\x07text\x1b]8;;\x07", links=True).count("\x1b]8;;\x1b\\") == 2
    assert seen("\x1b]8;;https://a.example/", links=True) == ""


def test_the_last_line_is_the_last_on_which_there_is_something_to_see() -> None:
    assert last_line("\x1b[1mN\bNA\bA\x1b[0m\n\n \x1b[2J\x1b[0m\r\n") == "NA"
    assert last_line("\x1b]0;title\x07\n") == ""


# Names, and links


def test_a_name_shows_what_cannot_be_seen() -> None:
    assert line("caf\u00e9 \U0001f600") == "caf\u00e9 \U0001f600"
    assert line("a\x1b[31m\r\n\tb") == r"a\x1b[31m\r\n\tb"
    assert line("\u202e\u2028\x9b\x00\ud800") == r"\u202e\u2028\x9b\x00\ud800"
    assert line("caf\udce9") == r"caf\xe9"
    line(NAME).encode()


@pytest.mark.parametrize(
    "url",
    ["http://a.example", "https://a.example:80/b?c=d&e=%20#f", "HTTPS://[::1]:8/", "http://x_y.z/~u'(s)"],
)
def test_a_page_is_what_a_link_may_lead_to(url: str) -> None:
    assert url_of(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "javascript:alert(1)",
            "java\nscript:x",
            " https://a.example",
            "file:///etc",
            "//a.example",
            "data:,x",
        ),
        *(
            "https:a.example",
            "https://",
            'https://a.example/"x',
            "https://a.example/<",
            "https://a.example/ b",
        ),
        *("https://a@b.example/", "https://a.example\n", "https://a.example/\\", "https://\u0430.example/"),
        *("https://a.example/" + "x" * 2000, "vbscript:x", "https\u200b://a.example", "https://a.example:x/"),
    ],
)
def test_nothing_else_is(url: str) -> None:
    assert url_of(url) is None


@pytest.mark.parametrize(
    "target", ["javascript:window.hit=1", 'https://a.example/"onmouseover="window.hit=1', "x'><script>", NAME]
)
def test_a_link_that_leads_elsewhere_is_no_link_whoever_made_it(target: str) -> None:
    text = Text("text", Style(link=target))
    for renderable in (text, Group(text)):
        bundled = bundle(renderable, 80)
        assert "<a" not in bundled["text/html"] and not unsafe_html(bundled["text/html"])
        assert bundled["text/plain"] == bundled["text/ansi"] == "text"


def test_a_link_to_a_page_is_escaped() -> None:
    html = bundle(Text("a<b", Style(link="https://a.example/?a=1&copy='2'")), 80)["text/html"]
    assert '<a href="https://a.example/?a=1&amp;copy=&#x27;2&#x27;" target="_blank" ' in html
    assert ">a&lt;b</a>" in html


def test_whatever_is_in_a_renderable_the_page_gets_text() -> None:
    bundled = bundle(Text(NAME + OUTPUT), 80)
    assert not any(map(unsafe_text, bundled.values())) and not unsafe_html(bundled["text/html"])


# Errors


def test_an_error_says_nothing_but_text_and_colours() -> None:
    failed = JobFailed(2, NAME, OUTPUT, NAME, NAME)
    assert not unsafe_text(str(failed)) and "\x1b[1;31mred\x1b[0m" in str(failed)
    assert failed.detail == OUTPUT
    assert not unsafe_text(str(UnknownJobError(f"There is no job {NAME}.")))


def test_safe_text_is_made_in_the_modules_that_answer_for_it_and_nowhere_else() -> None:
    made = {
        (str(path.relative_to(ROOT / "ipyproc")), ast.unparse(call))
        for path in (ROOT / "ipyproc").glob("**/*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and re.search(r"\b(SafeText|cast)$", ast.unparse(call.func))
        if "SafeText" in ast.unparse(call) and not isinstance(call.args[0], ast.Constant)
    }
    assert {path for path, _ in made} == {
        *("safe.py", "seen.py", "errors.py"),
        *("views/render.py", "views/transcript.py", "views/outlet.py"),
        # JSON of an id that the kernel has made.
        "notebook/live.py",
    }
