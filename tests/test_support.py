"""The fixture that finds what a test leaves behind does find it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading

import psutil
import pytest

from tests.support import Holdings, collect_until_nothing_is_left, wait_until


def left_since(before: Holdings) -> str:
    return "\n".join(collect_until_nothing_is_left(before, timeout=0.02))


def test_nothing_is_left_when_nothing_was_opened() -> None:
    assert left_since(Holdings.now()) == ""


def test_an_open_fd_is_found() -> None:
    before = Holdings.now()
    read_end, write_end = os.pipe()
    found = left_since(before)
    assert found.startswith("2 fd to pipe:")
    assert found.endswith(f"of {[read_end, write_end]}")
    os.close(read_end)
    os.close(write_end)
    assert left_since(before) == ""


def test_an_fd_closed_for_others_is_found() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    before = Holdings.now()
    os.close(fd)
    found = left_since(before)
    assert re.match(r"fd to (/dev/null|device:\[.*\]) was closed", found)
    assert found.endswith("and was not the test's")


def test_a_child_is_found_and_so_is_a_zombie() -> None:
    before = Holdings.now()
    with subprocess.Popen(["sleep", "60"]) as child:
        assert f"process {child.pid} " in left_since(before)
        child.send_signal(signal.SIGKILL)
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert f"process {child.pid} zombie sleep" in left_since(before)
    assert left_since(before) == ""


def test_a_thread_is_found() -> None:
    before = Holdings.now()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="one too many")
    thread.start()
    assert "thread 'one too many'" in left_since(before)
    end.set()
    thread.join()
    assert left_since(before) == ""


def test_a_temporary_file_of_ours_is_found() -> None:
    before = Holdings.now()
    with tempfile.NamedTemporaryFile(prefix="ipyproc-") as file:
        assert f"temporary file {os.path.basename(file.name)}" in left_since(before)
    assert left_since(before) == ""


def test_what_ends_soon_after_the_test_is_waited_for() -> None:
    before = Holdings.now()
    thread = threading.Timer(0.05, lambda: None)
    thread.start()
    assert collect_until_nothing_is_left(before) == []


def test_wait_until_gives_what_it_waited_for_or_says_what_was_not_so() -> None:
    values = iter([0, None, "", "this"])
    assert wait_until(lambda: next(values)) == "this"
    with pytest.raises(AssertionError, match=r"not so within 0.01 s: .*test_support.py"):
        wait_until(lambda: False, timeout=0.01)
