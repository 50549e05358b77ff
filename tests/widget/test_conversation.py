"""The conversation of a job with its pages."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from ipyproc.job.job import Job
from ipyproc.job.table import JobTable
from ipyproc.widget.page import LARGEST_PIECE, WINDOW
from ipyproc.widget.share import Share
from tests.jobs.looped import looped
from tests.support import until
from tests.widget.pages import Line, Page


async def drawn(line: Line, page: Page, job: Job, text: bytes) -> None:
    def is_there() -> bool:
        line.flush()
        return text in page.drawn

    await until(is_there)


@looped
async def test_a_terminal_draws_all_output_once_and_what_is_typed_reaches_the_program(
    table: JobTable,
) -> None:
    job = table.spawn(
        "read go; echo one; read line; echo got $line; read -s line; echo bye", tty=True, name="it"
    )
    line = Line(job)
    page = line.page()
    assert page.kinds() == ["status"] and page.job["kind"] == "running" and not page.last("status")["open"]
    assert {"save", "stop", "restart", "signal", "close", "input"} == set(page.job["can"])
    page.open()
    line.flush()
    assert page.last("screen")["owner"] == page.key and page.next == 0
    page.say("input", data="\r", line=False)
    await drawn(line, page, job, b"one\r\n")
    page.say("input", data="two\r", line=False)
    await drawn(line, page, job, b"got two\r\n")
    await until(lambda: job.hides_input)
    await until(lambda: line.flush() and page.job["hides"])
    page.say("input", data="secret", line=True)
    await job
    line.flush()
    line.flush()
    assert page.drawn == job.read() and b"secret" not in page.drawn
    assert page.messages[-1]["type"] in ("ended", "output")
    assert page.job["kind"] == "ok" and page.job["words"] == "exit 0" and page.kinds().count("ended") == 1
    assert page.last("ended")["html"].startswith("<pre")
    assert line.flush() == float("inf") and line.talk.has_pages
    page.say("bye")
    assert not line.talk.has_pages


@looped
async def test_a_page_that_draws_slowly_is_sent_a_window_and_then_the_screen_and_the_child_never_waits(
    table: JobTable,
) -> None:
    job = table.spawn("read go; seq 1 400000; echo the end", tty=True, name="flood")
    line = Line(job)
    page = line.page()
    page.open()
    line.flush()
    page.acks, page.screens = False, []
    job.send("\n")
    # The program ends, though nothing of it is drawn.
    await until(lambda: line.flush() and job.done)
    for _ in range(50):
        line.flush()
    assert len(page.drawn) <= WINDOW and len(page.screens) <= 1 and job.size > 2 << 20
    page.acks = True
    page.say("ack", offset=page.next)
    await until(lambda: line.flush() and page.next == job.size)
    assert page.screens and page.last("screen")["offset"] > WINDOW
    assert "the end" in page.screens[-1] or page.drawn.endswith(b"the end\r\n")


@looped
async def test_messages_are_small_and_one_that_is_dropped_on_the_way_is_asked_for_again(
    table: JobTable,
) -> None:
    job = table.spawn(["seq", "1", "30000"], name="dropped")
    await job
    line = Line(job)
    page = line.page()
    page.open()
    line.flush()
    page.drops = 1
    await until(lambda: line.flush() and page.next == job.size)
    assert page.drawn == job.read()
    offsets = [message["offset"] for message in page.messages if message["type"] == "output"]
    assert len(offsets) > job.size // LARGEST_PIECE and not page.screens


@looped
async def test_an_old_output_too_long_for_the_window_begins_with_a_screen(table: JobTable) -> None:
    job = table.spawn("seq 1 100000; read more; echo more", tty=True, name="long")
    await until(lambda: "100000" in job.tail(2))
    line = Line(job)
    page = line.page(age=0.0)
    assert page.last("status")["open"]
    page.open()
    await until(lambda: line.flush() and page.screens)
    assert "100000" in page.screens[0] and "99000" in page.screens[0]
    job.send("\n")
    await drawn(line, page, job, b"more\r\n")
    await job


@looped
async def test_of_two_pages_the_one_that_was_typed_into_last_has_the_size(table: JobTable) -> None:
    job = table.spawn("cat", tty=True, name="two")
    line = Line(job)
    one, two = line.page("one"), line.page("two")
    one.open(rows=30, columns=90, owns=True)
    two.open(rows=40, columns=120)
    line.flush()
    assert job.terminal == (30, 90)
    two.say("resize", rows=41, columns=121)
    assert job.terminal == (30, 90)
    line.flush(1.0)
    assert one.job["rows"] == two.job["rows"] == 30
    two.say("input", data="x", line=False)
    two.say("resize", rows=40, columns=120)
    assert job.terminal == (40, 120)
    await until(lambda: line.flush(1.0) and two.screens and len(one.screens) >= 2)
    assert one.last("screen")["owner"] == two.last("screen")["owner"] == "two"
    assert "rows" in one.last("screen") and one.last("screen")["rows"] == 40
    two.say("bye")
    one.say("input", data="y", line=False)
    one.say("resize", rows=10, columns=20)
    assert job.terminal == (10, 20)
    one.say("resize", rows=0, columns=20)
    assert job.terminal == (10, 20)
    job.kill()
    await job.wait(raise_error=False)


@looped
async def test_a_status_is_told_when_it_changes_and_at_most_four_times_a_second(table: JobTable) -> None:
    job = table.spawn("printf 'name? '; read name; sleep 100", tty=True, name="asks")
    await until(lambda: job.size)
    line = Line(job)
    page = line.page()
    # Nobody answers a prompt that has only just come.
    line.flush()
    assert not page.job["wants_input"]
    line.flush(1.0)
    assert page.job["wants_input"]

    def told() -> int:
        # The usage comes when a thread has looked.
        return sum(message["type"] != "usage" for message in line.sent)

    before = told()
    for _ in range(100):
        line.talk.changed()
        line.flush(0.01)
    # Clocks alone are no change.
    assert told() == before
    for number in range(20):
        job.hosted.spec = replace(job.hosted.spec, name=f"n{number}")
        line.talk.changed()
        line.flush(0.05)
    assert 3 <= told() - before <= 5
    line.talk.farewell()
    line.flush()
    assert page.last("ended")["job"]["words"] == "ended with the kernel" and page.job["kind"] == "gone"
    job.kill()
    await job.wait(raise_error=False)


@looped
async def test_buttons_do_what_they_say_or_a_sentence_says_why_not(table: JobTable) -> None:
    job = table.spawn("trap 'echo hup' HUP; echo ready; while :; do read line || exit 3; done", name="b")
    await until(lambda: "ready" in job.output)
    line = Line(job)
    page = line.page()
    assert page.say("act", do="signal", signal="HUP") is None
    await until(lambda: "hup" in job.output)
    for unknown in ({"do": "fly"}, {"do": "signal", "signal": "NONE"}):
        said = page.say("act", **unknown)
        assert said == "This page asks for what this kernel does not know; reload it."
    assert page.say("act", do="restart") is None and line.restarted == [job]
    assert page.say("act", do="close") is None
    assert (await job.wait(raise_error=False)).returncode == 3
    assert page.say("input", data="x", line=True) == "Job 'b' has ended, so nothing was sent; start it again."
    assert page.say("act", do="signal", signal="HUP").startswith("Job 'b' has no process now")
    assert page.say("act", do="forget") is None and line.forgotten == [job]
    line.flush(1.0)
    assert page.job["kind"] == "failed" and page.job["exit"] == 3
    assert set(page.job["can"]) == {"save", "restart", "forget"}


@looped
async def test_stop_ends_the_job_and_save_gives_the_bytes_and_the_text(table: JobTable) -> None:
    job = table.spawn(r"printf 'a \033[31mred\033[0m b\n'; exec sleep 100", tty=True, name="s/../x")
    await until(lambda: job.size)
    line = Line(job)
    page = line.page()
    page.say("save")
    page.say("save", text=True)

    def files() -> list[dict[str, object]]:
        line.flush()
        return [message for message in page.messages if message["type"] == "file"]

    await until(lambda: len(files()) == 2)
    assert {file["name"] for file in files()} == {"s_.._x.log"}
    assert page.say("act", do="stop") is None
    result = await job.wait(raise_error=False)
    assert result.ended_by == signal.Signals.SIGINT.name
    line.flush(1.0)
    assert page.job["kind"] == "stopped" and page.job["by"] == "SIGINT"


@looped
@pytest.mark.parametrize("message", [None, 1, {}, {"type": "input"}, {"type": 3, "page": 4}])
async def test_what_no_page_says_changes_nothing(table: JobTable, message: object) -> None:
    job = table.spawn("exec sleep 100", name="idle")
    line = Line(job)
    page = line.page()
    if isinstance(message, dict):
        assert line.talk.receive(message) is None
    for odd in ("open", "ack", "ask", "input", "resize", "hello", "save"):
        page.say(odd, offset="x", rows="x", columns=None, data=5, age="x")
        page.say(odd, offset=-1, rows=-1, columns=2**70, data="", age=None)
    for number in range(100):
        line.page(f"page {number}")
    assert len(line.talk._pages) == 20
    line.flush()
    job.kill()
    await job.wait(raise_error=False)


@looped
async def test_the_usage_is_told_once_as_it_comes_and_whole_to_a_page_that_comes_late(
    table: JobTable,
) -> None:
    job = table.spawn("exec sleep 100", name="used")
    line = Line(job)
    page = line.page()

    def points(page: Page) -> list[list[float]]:
        line.flush(2.0)
        return [
            point for message in page.messages if message["type"] == "usage" for point in message["points"]
        ]

    await until(lambda: points(page))
    seconds = [point[0] for point in points(page)]
    assert seconds == sorted(set(seconds)) and points(page)[-1][2] > 10_000
    late = line.page("late")
    assert late.last("usage")["all"] and len(late.last("usage")["points"]) >= 1
    job.kill()
    await job.wait(raise_error=False)


@looped
async def test_a_page_that_skipped_ahead_gets_the_lines_above_its_screen_once_it_is_calm(
    table: JobTable,
) -> None:
    job = table.spawn("echo begun; read go; seq 1 200000; sleep 100", tty=True, name="calm")
    await until(lambda: job.size)
    line = Line(job)
    page = line.page()
    page.open()
    await until(lambda: line.flush() and page.next == job.size)
    page.screens = []
    job.send("\n")
    # All of it has come before the page gets anything more.
    await until(lambda: "200000" in job.tail(2))
    await until(lambda: line.flush() and page.screens)
    assert "199000" not in page.screens[0] and "199900" in page.screens[0]
    await until(lambda: line.flush(1.0) and page.next == job.size and "199000" in page.screens[-1])
    screens = len(page.screens)
    for _ in range(5):
        line.flush(1.0)
    assert len(page.screens) == screens
    job.kill()
    await job.wait(raise_error=False)


def test_terminals_share_what_a_page_can_draw() -> None:
    share = Share(rate=1_000_000)
    alone = share.pause("a", 10.0, 50_000)
    assert alone == pytest.approx(0.05)
    pauses = [share.pause(key, 10.1, 50_000) for key in ("a", "b", "c")]
    assert pauses[-1] == pytest.approx(0.15)
    # A key's echo is no flood, and one that has paused for a second is forgotten.
    assert share.pause("typing", 10.2, 10) < 0.001
    assert share.pause("a", 20.0, 50_000) == pytest.approx(0.05)
