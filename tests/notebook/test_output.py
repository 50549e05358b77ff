from __future__ import annotations

import json
import re
import sys
from itertools import takewhile

import pytest

from tests.notebook.kernels import Cell, Kernel, Message

MEGABYTE = 1_000_000


def wait_for_end(kernel: Kernel, *cells: Cell, timeout: float = 60) -> None:
    kernel.until(lambda: all(any(s in c.shown for s in ("exit ", "SIG")) for c in cells), timeout)


def shows(kernel: Kernel, cell: Cell, stdout: str, stderr: str = "") -> None:
    """Asserts that a cell comes to show exactly this, and that its job ends."""
    wait_for_end(kernel, cell)
    # Where the page has had its share for now, a status is there before the output.
    kernel.until(lambda: len(cell.stdout) >= len(stdout) and len(cell.stderr) >= len(stderr))
    assert (cell.stdout, cell.stderr) == (stdout, stderr)


def python(code: str, name: str = "py", *, pipes: bool = False) -> str:
    """A cell that runs a Python program as a job."""
    return f"%%spawn {'--pipes ' if pipes else ''}-n {name} {sys.executable} -\n{code}"


def output_of(cell: Cell) -> list[Message]:
    return [m for m in cell.messages if m.kind in ("stream", "display_data", "update_display_data")]


def busiest(messages: list[Message], seconds: float) -> tuple[int, int]:
    """The most messages, and the most bytes, in any stretch of so many seconds."""
    ordered = sorted(messages, key=lambda message: message.sent)
    counts, sizes, first, size = 0, 0, 0, 0
    for number, message in enumerate(ordered):
        size += message.size
        while ordered[first].sent < message.sent - seconds:
            size -= ordered[first].size
            first += 1
        counts, sizes = max(counts, number - first + 1), max(sizes, size)
    return counts, sizes


# Whose it is


def test_output_belongs_to_the_cell_that_started_the_job_after_later_cells_have_run(kernel: Kernel) -> None:
    first = kernel.run("%%spawn --pipes -n held sh -c 'echo early; read line; echo late $line'")
    later = [kernel.run(f"print({number})") for number in range(3)]
    sent = kernel.run("%send held news")
    shows(kernel, first, "early\nlate news\n")
    assert [cell.stdout for cell in later] == ["0\n", "1\n", "2\n"]
    assert sent.stdout == ""


@pytest.mark.parametrize("shown", ["ipyproc.spawn('echo inside')", "%spawn echo inside", "job"])
def test_what_a_cell_printed_before_a_job_stands_before_it(kernel: Kernel, shown: str) -> None:
    kernel.run("job = ipyproc.spawn('true', name='earlier')")
    for _ in range(5):
        cell = kernel.run(f"import sys\nprint('before')\nprint('before', file=sys.stderr)\n{shown}")
        kernel.until(lambda cell=cell: cell.displays)
        # ipykernel may send what one print wrote in two messages.
        before = takewhile(lambda message: message.kind != "display_data", output_of(cell))
        texts = [(message.content["name"], message.content["text"]) for message in before]
        for name in ("stdout", "stderr"):
            assert "".join(text for stream, text in texts if stream == name) == "before\n"


def test_two_jobs_and_an_ordinary_cell_run_at_once_and_each_has_its_own_lines(kernel: Kernel) -> None:
    lines = "for i in 1 2 3 4 5; do echo {0} $i; sleep 0.02; done"
    one = kernel.run(f"%%spawn -n one\n{lines.format('one')}")
    two = kernel.run(f"%%spawn -n two\n{lines.format('two')}")
    own = kernel.run("import time\nfor i in range(5):\n    print('own', i, flush=True)\n    time.sleep(0.02)")
    shows(kernel, one, "".join(f"one {i}\n" for i in range(1, 6)))
    shows(kernel, two, "".join(f"two {i}\n" for i in range(1, 6)))
    assert own.stdout == "".join(f"own {i}\n" for i in range(5))


def test_a_cell_that_is_run_again_has_the_new_jobs_output_only(kernel: Kernel) -> None:
    first = kernel.run("%%spawn echo again")
    shows(kernel, first, "again\n")
    second = kernel.run("%%spawn echo again")
    shows(kernel, second, "again\n")
    assert first.stdout == "again\n"


def test_stdout_and_stderr_are_told_apart(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn --pipes -n both\necho out; echo err >&2; sleep 0.1; echo out")
    shows(kernel, cell, "out\nout\n", "err\n")


# What it is


def test_colours_are_kept(kernel: Kernel) -> None:
    cell = kernel.run(r"%%spawn printf '\033[31mred\033[0m\n'")
    shows(kernel, cell, "\x1b[31mred\x1b[0m\n")


def test_lines_come_in_order_and_each_once(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn -n counting\ni=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done")
    shows(kernel, cell, "".join(f"{i}\n" for i in range(3000)))


def test_a_character_that_comes_in_two_halves_is_one(kernel: Kernel) -> None:
    halves = "import os, time\nfor b in 'äß€😀'.encode():\n    os.write(1, bytes([b])); time.sleep(0.06)\n"
    cell = kernel.run(python(halves))
    shows(kernel, cell, "äß€😀")


def test_halves_of_characters_on_both_streams_do_not_mix(kernel: Kernel) -> None:
    code = (
        "import os, time\n"
        "for out, err in zip('äöü'.encode(), '€é'.encode() + b'!'):\n"
        "    os.write(1, bytes([out])); os.write(2, bytes([err])); time.sleep(0.06)\n"
    )
    cell = kernel.run(python(code, pipes=True))
    shows(kernel, cell, "äöü", "€é!")


def test_invalid_utf8_is_shown_with_replacement_and_nul_bytes_are_not(kernel: Kernel) -> None:
    cell = kernel.run(python(r"import os; os.write(1, b'a\xff\xfeb\0c\xe2\x82')"))
    shows(kernel, cell, "a\ufffd\ufffdbc\ufffd")
    assert kernel.ask("ipyproc.jobs['py'].read()") == b"a\xff\xfeb\0c\xe2\x82"


def test_a_progress_bar_is_one_row_that_moves_and_then_one_line(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%spawn --pipes -n bar\necho begun; printf '\\r1 %%'; read go; printf '\\r2 %%\\n'; echo done"
    )
    kernel.until(lambda: cell.displays[-1].text == "1 %")
    kernel.run("%send bar go")
    kernel.until(lambda: cell.displays[-1].text == "2 %\ndone")
    assert cell.stdout == "begun\n" and len(cell.displays) == 2


def test_a_console_that_ignores_updates_gets_all_lines_as_text_and_the_end(kernel: Kernel) -> None:
    kernel.run("import os; os.environ['USER'] = ipyproc.__name__")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel.manager.session, "username", "ipyproc")
        script = "for i in 1 2 3; do printf '\\r%d %%' $i; sleep 0.2; printf '\\rline %d\\n' $i; done"
        cell = kernel.run(f"%%spawn -n bar\n{script}", metadata={})
        kernel.until(lambda: "exit 0" in cell.shown)
    assert cell.stdout == "line 1\nline 2\nline 3\n"
    assert not [message for message in cell.messages if message.kind == "update_display_data"]


# How much of it


def test_slow_output_comes_at_once(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn --pipes -n slow\nfor i in 1 2 3 4 5; do echo $i; read line; done")
    for number in range(1, 6):
        # Each line, before the next one is written.
        kernel.until(lambda number=number: cell.stdout.endswith(f"{number}\n"))
        kernel.run("%send slow on")
    wait_for_end(kernel, cell)
    assert [message.text for message in cell.streams] == [f"{number}\n" for number in range(1, 6)]


def test_a_flood_stays_in_its_budget_and_is_kept_whole(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn seq 1 3000000")
    wait_for_end(kernel, cell)
    kernel.until(lambda: cell.displays[-1].text.endswith("\n2999999\n3000000"))
    messages = output_of(cell)
    count, _ = busiest(messages, 5.0)
    # What was due while the kernel had no processor comes at once.
    assert count <= 100
    assert sum(message.size for message in messages) <= MEGABYTE
    tail = cell.displays[-1].text
    # In bytes, with the carriage returns of the terminal.
    hidden = re.search(
        r"… ([\d.]+) MB not shown; ipyproc.jobs\['seq'\].output has all of it \(import ipyproc\)", tail
    )
    assert hidden is not None and 25.5 <= float(hidden[1]) <= 25.8
    assert 190_000 <= len(cell.stdout) <= 200_000
    assert cell.stdout == "".join(f"{i}\n" for i in range(1, cell.stdout.count("\n") + 1))
    check = "ipyproc.jobs['seq'].read() == b''.join(b'%d\\r\\n' % i for i in range(1, 3000001))"
    assert kernel.ask(check) is True


def test_the_tail_is_one_display_that_is_updated_and_ends_with_the_last_line(kernel: Kernel) -> None:
    kernel.run("%config IPyProc.cell_bytes = 1000")
    cell = kernel.run(
        "%%spawn --pipes -n long\ni=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1));"
        " case $i in 200|300) read line;; esac; done"
    )
    for last in (199, 299):
        kernel.until(
            lambda last=last: len(cell.displays) == 2 and cell.displays[1].text.endswith(f"line {last}")
        )
        kernel.run("%send long on")
    wait_for_end(kernel, cell)
    kernel.until(lambda: cell.displays[-1].text.endswith("line 399"))
    kernel.run("%config IPyProc.cell_bytes = 200000")
    assert len(cell.displays) == 2
    assert cell.displays[1].updates >= 2


def test_what_was_dropped_before_the_page_could_take_it_is_left_to_the_tail(kernel: Kernel) -> None:
    kernel.run("%config IPyProc.cell_bytes = 100_000_000")
    cell = kernel.run("job = ipyproc.spawn('seq 1 2000000', max_output=1_000_000)")
    kernel.until(lambda: "exit 0" in cell.shown and cell.displays[-1].text.endswith("\n2000000"))
    kernel.run("%config IPyProc.cell_bytes = 200000")
    assert "bytes of output were dropped (max_output)" in cell.shown
    assert "".join(f"{i}\n" for i in range(1, 200_000)).startswith(cell.stdout)
    assert len(cell.displays) == 2


def test_a_long_line_without_an_end_stays_in_the_budget(kernel: Kernel) -> None:
    code = (
        "import os\nfor _ in range(20):\n    rest = b'x' * 1_000_000\n"
        "    while rest: rest = rest[os.write(1, rest) :]"
    )
    cell = kernel.run(python(code))
    wait_for_end(kernel, cell)
    _, size = busiest(output_of(cell), 1.0)
    assert size <= MEGABYTE
    assert kernel.ask("len(ipyproc.jobs['py'].read())") == 20_000_000


def test_a_chatty_job_sends_at_most_20_messages_a_second(kernel: Kernel) -> None:
    code = "import time\nn = 0\nwhile True:\n    print(n); n += 1; time.sleep(0.002)\n"
    cell = kernel.run(python(code))
    # Until it is as busy as it may be.
    kernel.until(lambda: busiest(cell.streams, 1.0)[0] >= 10)
    kernel.run("%signal py KILL")
    wait_for_end(kernel, cell)
    most, _ = busiest(cell.streams, 1.0)
    # A process that had to wait for a processor sends what was due earlier, closer to what follows.
    assert most <= 25, [(message.sent, message.text) for message in cell.streams]
    assert cell.stdout == "".join(f"{i}\n" for i in range(cell.stdout.count("\n")))


def test_a_storm_that_alternates_between_the_streams_stays_in_the_budget(kernel: Kernel) -> None:
    code = "import os\nfor i in range(40000):\n    os.write(1 + i % 2, b'%d\\n' % i)\n"
    cell = kernel.run(python(code, pipes=True))
    wait_for_end(kernel, cell)
    kernel.until(lambda: len(cell.displays) == 2 and "3999" in cell.displays[1].text)
    messages = output_of(cell)
    count, size = busiest(messages, 1.0)
    assert count <= 60
    assert size <= MEGABYTE
    assert len(cell.stdout) + len(cell.stderr) <= 200_000
    for text, odd in ((cell.stdout, 0), (cell.stderr, 1)):
        assert "".join(f"{i}\n" for i in range(odd, 40000, 2)).startswith(text)
    assert kernel.ask("len(ipyproc.jobs['py'].stderr.split())") == 20000


def test_three_flooding_jobs_stay_below_the_servers_limits(kernel: Kernel) -> None:
    kernel.run("%config IPyProc.cell_bytes = 100_000_000")
    started = len(kernel.messages)
    cells = [kernel.run(f"%%spawn -n flood-{n} yes {'y' * 60}") for n in range(3)]
    last = lambda: kernel.messages[-1].sent - kernel.messages[started].sent  # noqa: E731
    kernel.until(lambda: last() > 3.5 and all(len(cell.stdout) > 50_000 for cell in cells))
    kernel.run("%stop flood-0 flood-1 flood-2")
    kernel.run("%config IPyProc.cell_bytes = 200000")
    wait_for_end(kernel, *cells)
    count, size = busiest(kernel.messages[started:], 3.0)
    assert size < 3 * MEGABYTE
    assert count < 3 * 1000


def test_another_cell_runs_while_jobs_flood(kernel: Kernel) -> None:
    cells = [kernel.run(f"%%spawn -n flood-{n} yes") for n in range(3)]
    for number in range(10):
        assert kernel.run(f"print({number})").stdout == f"{number}\n"
    kernel.run("%stop flood-0 flood-1 flood-2")
    wait_for_end(kernel, *cells)


def test_a_hundred_quick_jobs_of_one_cell_are_all_shown(kernel: Kernel) -> None:
    cell = kernel.run("for n in range(100):\n    ipyproc.spawn(f'echo {n}')")
    kernel.until(lambda: cell.shown.count("exit 0") == len(cell.streams) == 100)
    assert sorted(map(int, cell.stdout.split())) == list(range(100))


@pytest.mark.parametrize("name", ["with 'quotes'", "<b>bold</b>", "a{b}$c`d`", "näme"])
def test_a_name_with_metacharacters_is_shown_as_it_is(kernel: Kernel, name: str) -> None:
    cell = kernel.run(f"job = ipyproc.spawn('true', name={json.dumps(name)})")
    wait_for_end(kernel, cell)
    assert f"{name}: true" in cell.shown
    assert "<b>" not in cell.displays[0].data["text/html"]


def test_a_line_does_not_wait_for_the_flood_of_another_job(kernel: Kernel) -> None:
    kernel.run("%config IPyProc.cell_bytes = 100_000_000")
    # Faster than the page by far, and not so fast that the spool drops what the page has not had.
    steady = "import time\nwhile True:\n    print(('y' * 60 + '\\n') * 3000); time.sleep(0.02)"
    flood = kernel.run(python(steady, "flood"))
    kernel.until(lambda: len(flood.stdout) > 400_000)
    cells = [kernel.run(f"%%spawn echo line {number}") for number in range(5)]
    kernel.until(lambda: all(cell.stdout for cell in cells))
    kernel.run("%stop flood")
    kernel.run("%config IPyProc.cell_bytes = 200000")
    wait_for_end(kernel, flood)
