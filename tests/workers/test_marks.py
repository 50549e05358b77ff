"""Lines of several workers in one text stay whole, in order, and marked."""

from __future__ import annotations

import random
import re

from ipyproc.hosts.local.marks import HELD_SECONDS, Marker
from ipyproc.spool.output import Output


def marked(*writes: tuple[int, str, bytes], flush: bool = False) -> str:
    output = Output(1 << 20)
    now = 0.0
    marker = Marker(output, lambda: now)
    for at, (task_id, stream, data) in enumerate(writes):
        now = float(at)
        marker.write(task_id, stream, data, at)  # type: ignore[arg-type]
        if flush:
            now += 2 * HELD_SECONDS
            marker.flush(at)
    marker.end_all(99)
    return output.text()


def test_halves_of_lines_are_put_together() -> None:
    assert (
        marked((0, "stdout", b"on"), (1, "stdout", b"two\n"), (0, "stdout", b"e\n")) == "[1] two\n[0] one\n"
    )


def test_a_line_whose_rest_does_not_come_is_shown_and_not_mixed_with_others() -> None:
    text = marked(
        (0, "stdout", b"on"), (0, "stdout", b"e"), (1, "stderr", b"two\n"), (0, "stdout", b"!\n"), flush=True
    )
    assert text == "[0] one\n[1] two\n[0] !\n"


def test_a_progress_bar_keeps_its_mark_when_it_returns() -> None:
    assert marked((0, "stdout", b"\r1 %\r2 %\r\n")) == "[0] \r[0] 1 %\r[0] 2 %\r\n"


def test_a_character_in_two_halves_is_one() -> None:
    e = "é".encode()
    assert marked((0, "stdout", b"caf" + e[:1]), (0, "stdout", e[1:] + b"\n"), flush=True) == "[0] café\n"


def test_whatever_is_written_each_workers_text_is_there_in_order() -> None:
    pick = random.Random(4)
    writes = []
    for number in range(2000):
        task_id = pick.randrange(4)
        writes.append((task_id, "stdout", b"%d-%d\n" % (task_id, number)))
    pieces = []
    for task_id, stream, data in writes:
        cut = pick.randrange(len(data) + 1)
        pieces += [(task_id, stream, data[:cut]), (task_id, stream, data[cut:])]
    lines = marked(*pieces).splitlines()
    for task_id in range(4):
        own = [data.decode().rstrip() for number, _, data in writes if number == task_id]
        assert [line[4:] for line in lines if line.startswith(f"[{task_id}] ")] == own
    assert all(re.fullmatch(r"\[(\d)\] \1-\d+", line) for line in lines)
