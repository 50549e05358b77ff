"""Terminal IPython, at its simple prompt and at the real one."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import psutil
import pytest

from ipyproc.screen.screen import Screen
from tests.notebook.kernels import is_warden
from tests.support import PYTHONPATH, wait_until

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>()][0-9AB]?")


ERASE = "\r\x1b[J"


def shown(sent: str, *beginnings: str) -> list[str]:
    """The lines with these beginnings that a terminal shows of what it was sent, each up to its colon."""
    screen = Screen(60, 160)
    screen.feed(sent.encode())
    screen.finish()
    lines = [_ESCAPES.sub("", line).partition(":")[0].rstrip() for line in screen.take().splitlines()]
    return [line for line in lines if line.startswith(beginnings)]


class Terminal:
    """An IPython in a terminal: what is typed, and what can be read."""

    def __init__(self, directory: Path, *, simple: bool) -> None:
        environment = os.environ | {
            "TERM": "xterm",
            "PYTHONPATH": PYTHONPATH,
            "IPYTHONDIR": str(directory / "ipython"),
            "PROMPT_TOOLKIT_NO_CPR": "1",
        }
        for size in ("COLUMNS", "LINES"):
            environment.pop(size, None)
        arguments = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--HistoryManager.enabled=False"]
        self.simple = simple
        self._number = 0
        self._child = pexpect.spawn(
            sys.executable,
            arguments + (["--simple-prompt"] if simple else []),
            env=environment,
            cwd=directory,
            dimensions=(60, 160),
            timeout=60,
            encoding="utf-8",
        )
        self._child.delaybeforesend = None
        self.process = psutil.Process(self._child.pid)
        self._raw = self.text = ""
        self._typed = 0
        self.prompt()

    def run(self, *lines: str) -> str:
        """Types a cell; what can be read from there to the next prompt."""
        self.type(*lines)
        self.prompt()
        return self.text[self._typed :]

    def type(self, *lines: str) -> None:
        """Types lines, each with the return key."""
        self._typed = len(self.text)
        for line in lines:
            self._child.send(line + ("\n" if self.simple else "\r"))

    def press(self, key: str) -> None:
        """Types a key together with control."""
        self._child.sendcontrol(key)

    def see(self, text: str) -> None:
        """Waits until a text can be read after what was typed last, with no key pressed."""
        self._read(lambda: text in self.text[self._typed :])

    def prompt(self) -> None:
        """Waits for the prompt of the next cell."""
        self._number += 1
        # It is drawn anew below what is printed above it: only the number tells the next one.
        self._read(lambda: f"In [{self._number}]:" in self.text[self._typed :])

    def exit(self) -> None:
        """Leaves IPython, and waits until it has ended."""
        self.type("exit")
        self._child.expect(pexpect.EOF)
        self.close()

    def close(self) -> None:
        """Ends IPython, if it has not ended."""
        # pexpect itself would give it some tenths of a second for that.
        if self._child.isalive():
            self._child.kill(signal.SIGHUP)
            wait_until(lambda: not self._child.isalive())
        self._child.close()

    @property
    def raw(self) -> str:
        """All that the terminal was sent, with the prompt's own sequences."""
        return self._raw

    def jobs(self) -> list[psutil.Process]:
        """The processes of its jobs."""
        return [p for p in self.process.children(recursive=True) if not is_warden(p)]

    def _read(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, f"read so far: {self.text[self._typed :]!r}"
            try:
                self._raw += self._child.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            self.text = _ESCAPES.sub("", self._raw).replace("\r", "")


@pytest.fixture(scope="module", params=["simple", "real"])
def terminal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """One at each kind of prompt, with the extension loaded."""
    terminal = Terminal(tmp_path_factory.mktemp("terminal"), simple=request.param == "simple")
    try:
        loading = terminal.run("%load_ext ipyproc")
        assert "Cannot install" not in loading and "Error" not in loading
        terminal.run("import asyncio, ipyproc")
        yield terminal
    finally:
        terminal.close()


def test_spawn_with_a_command_alone_is_a_whole_cell(terminal: Terminal) -> None:
    read = terminal.run("%%spawn -n list ls -la")
    assert "● list: ls -la  running · pid" in read
    terminal.see("ipython")
    if terminal.simple:
        # Nobody runs the loop at a simple prompt: the end is seen by the end of the next cell after it.
        wait_until(lambda: terminal.run("1 + 1") and "✓ list: ls -la  exit 0" in terminal.text, interval=0.2)
    else:
        terminal.see("✓ list: ls -la  exit 0")


def test_a_script_is_typed_line_by_line(terminal: Terminal) -> None:
    read = terminal.run("%%spawn -w -n script", "echo o''ne", "echo t''wo; echo th''ree >&2", "", "")
    assert read.index("one\n") < read.index("two\n")
    assert "three\n" in read and "exit 0" in read


def test_output_is_printed_above_the_prompt_with_no_key_pressed(terminal: Terminal) -> None:
    terminal.run("%spawn -n late sh -c 'sleep 0.3; echo ping; echo pong >&2'")
    terminal.see("ping")
    terminal.see("pong")
    if not terminal.simple:
        terminal.see("exit 0")


def test_waiting_waits(terminal: Terminal) -> None:
    read = terminal.run("%spawn -w -n waited sh -c 'sleep 0.2; echo done-it'")
    assert "done-it\n" in read and "exit 0" in read


def test_a_job_is_awaited(terminal: Terminal) -> None:
    terminal.run("job = %spawn -n awaited sh -c 'sleep 0.2; echo done-it'")
    assert "ended with 0 done-it" in terminal.run(
        "r = await job; print('ended with', r.returncode, r.output)"
    )


def test_a_body_that_python_gives_reaches_the_standard_input(terminal: Terminal) -> None:
    terminal.run("job = ipyproc.spawn('sort -n', stdin='10\\n9\\n', name='sorted')")
    assert "['9', '10']" in terminal.run("print((await job).output.split())")


def test_no_output_and_no_name_does_more_to_the_terminal_than_text_does(terminal: Terminal) -> None:
    terminal.run("from tests.hostile import NAME, PROGRAM; import sys")
    before = len(terminal.raw)
    waiting = "'input();' + PROGRAM"
    terminal.run(f"job = ipyproc.spawn([sys.executable, '-c', {waiting}, NAME], name=NAME)")
    terminal.run("job.send('\\n'); r = await job.wait(raise_error=False)")
    terminal.see("the end")
    terminal.run("%jobs")
    terminal.run("%stop nosuch")
    sent = terminal.raw[before:]
    assert "\x1b[1;31mred\x1b[0m and" in sent and r"\x1b[31m<script>" in sent
    strings = (
        "\x1b]52",
        "\x1b]8",
        "]0;<",
        "]0;title",
        "\x1b_",
        "\x1bP",
        "\x1b^",
        "\x1bX",
        "\x1bc",
        "\x1b#",
        "\x9b",
    )
    modes = ("\x1b[2J\x1b[H", "\x1b[?1049h", "\x1b[5n", "\x1b[38;5;300m", "\x00", "\x0e", "\u202e", "\udce9")
    assert [found for found in (*strings, *modes) if found in sent.replace(r"\x1b]0;title", "")] == []


# Every second step waits until somebody has seen it, and makes a file.
_BARS = """
import os, sys, time
for i in range(8):
    if i == 3:
        sys.stdout.write("\\r\\x1b[Ksaved half\\n")
    sys.stdout.write(f"\\router {i + 1}/8\\n\\rinner {i + 1}/8" + ("\\n" if i == 7 else "\\x1b[A"))
    sys.stdout.flush()
    while i % 2 and i < 7 and not os.path.exists(f"{sys.argv[1]} {i + 1}"):
        time.sleep(0.01)
"""


def test_bars_are_drawn_in_place_while_a_cell_waits_and_stay_once(terminal: Terminal) -> None:
    cwd = Path(terminal.process.cwd())
    (cwd / "bars.py").write_text(_BARS)
    before = len(terminal.raw)
    terminal.type(f"%spawn -w -n bars {sys.executable} bars.py bars")
    for step in (2, 4, 6):
        terminal.see(f"inner {step}/8")
        (cwd / f"bars {step}").touch()
    terminal.prompt()
    sent = terminal.raw[before:]
    assert sent.count(ERASE) >= 3
    assert shown(sent, "outer", "inner", "saved", "✓") == ["saved half", "outer 8/8", "inner 8/8", "✓ bars"]
    # Another cell that waits for it, and prints meanwhile; with a prompt, nothing is drawn.
    before = len(terminal.raw)
    terminal.run(f"job = %spawn -n more {sys.executable} bars.py more")
    if not terminal.simple:
        # At a simple prompt nobody runs the loop.
        terminal.run("while 'inner 2/8' not in job.output: await asyncio.sleep(0.01)")
    assert ERASE not in terminal.raw[before:]
    later = "asyncio.get_running_loop().call_later(0.6, print, 'printed meanwhile')"
    terminal.type(f"{later}; r = await job; print('ended', r.returncode)")
    for text, step in (("inner 2/8", 2), ("inner 4/8", 4), ("printed meanwhile\n", 6)):
        terminal.see(text)
        (cwd / f"more {step}").touch()
    terminal.prompt()
    sent = terminal.raw[before:]
    assert sent.count(ERASE) >= 2
    assert shown(sent, "outer", "inner", "saved", "printed m", "ended") == [
        *("printed meanwhile", "saved half", "outer 8/8", "inner 8/8", "ended 0")
    ]
    assert "24 160" in terminal.run("%spawn -w stty size </dev/tty")
    assert "TextIOWrapper" in terminal.run("import sys; print(type(sys.stdout))")


def test_control_c_interrupts_the_job_that_is_waited_for(terminal: Terminal) -> None:
    program = "import time; time.sleep(0.3); print(chr(117) + chr(112)); time.sleep(60)"
    terminal.type(f"%spawn -w -n interrupted {sys.executable} -c '{program}'")
    terminal.see("up\n")
    terminal.press("c")
    terminal.prompt()
    terminal.see("SIGINT")
    wait_until(lambda: not terminal.jobs())


def test_control_c_reaches_no_background_job(terminal: Terminal) -> None:
    terminal.run("job = %spawn -q -n behind sleep 60")
    terminal.type("import time; print('be' + 'gun', flush=True); time.sleep(60)")
    terminal.see("begun")
    terminal.press("c")
    terminal.prompt()
    assert "KeyboardInterrupt" in terminal.text
    assert "still False" in terminal.run("print('still', job.done)")
    terminal.run("%stop behind")
    assert not terminal.jobs()


def test_a_failing_wait_is_one_sentence(terminal: Terminal) -> None:
    read = terminal.run("%spawn -w -n failing sh -c 'echo why >&2; exit 3'")
    assert "JobFailed: Command" in read and "exited with status 3" in read
    assert "Traceback" not in read and "ipyproc/" not in read


def test_a_bad_option_is_one_sentence(terminal: Terminal) -> None:
    read = terminal.run("%spawn --nosuch ls")
    assert "UsageError: %spawn has no option '--nosuch'" in read and "Traceback" not in read


def test_the_table_of_jobs_is_printed(terminal: Terminal) -> None:
    terminal.run("%spawn -w -n listed true")
    read = terminal.run("%jobs")
    assert all(name in read for name in ("name", "state", "uptime", "last line", "listed", "exit 0"))


def test_a_cell_that_holds_the_loop_stalls_nobody(terminal: Terminal) -> None:
    terminal.run("job = %spawn -q -n writes sh -c 'head -c 3000000 /dev/zero; touch written'")
    terminal.run("import os, time; end = time.time() + 60")
    read = terminal.run("while not os.path.exists('written') and time.time() < end: time.sleep(0.01)", "")
    read = terminal.run("print('written' if os.path.exists('written') else 'stalled', job.size)")
    assert "written 3000000" in read
    # The terminal is for other tests as well: its files are to go with the job.
    terminal.run("del job; ipyproc.jobs.clear()")


@pytest.mark.parametrize("simple", [True, False], ids=["simple", "real"])
def test_nothing_runs_after_exit(tmp_path: Path, simple: bool) -> None:
    terminal = Terminal(tmp_path, simple=simple)
    terminal.run("%load_ext ipyproc")
    trap = 'trap "" TERM; ' if simple else ""
    terminal.run(f"%spawn -n left sh -c 'sleep 300 & {trap}echo up; sleep 301'")
    terminal.see("up\n" if simple else "up")
    wait_until(lambda: len(terminal.process.children(recursive=True)) >= 4)
    processes = terminal.process.children(recursive=True)
    terminal.exit()
    wait_until(lambda: not any(p.is_running() for p in processes))


def test_unloading_gives_the_prompt_back_its_own_loop(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, simple=False)
    try:
        terminal.run("%load_ext ipyproc")
        assert "'asyncio'" in terminal.run("get_ipython().active_eventloop")
        terminal.run("%unload_ext ipyproc")
        assert "is None" in terminal.run("print('is', get_ipython().active_eventloop)")
        assert "UsageError" in terminal.run("%spawn true")
    finally:
        terminal.close()
