"""``%%fork`` in real kernels."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest

from ipyproc.process.platform.sessions import session_members
from tests.notebook.kernels import Cell, Kernel
from tests.support import wait_until

_FOR_EVER = "print('up')\nimport time\nwhile True: time.sleep(1)"


def started(kernel: Kernel, line: str, code: str = _FOR_EVER, workers: int = 2) -> Cell:
    """A cell with a group, whose workers have all said that they are up."""
    cell = kernel.run(f"%%fork -n {workers} {line}\n{code}")
    assert cell.status == "ok", cell.error + cell.stderr
    kernel.until(lambda: cell.stdout.count("up") == workers)
    return cell


def rows(cell: Cell) -> list[str]:
    return [line for line in cell.shown.splitlines() if re.match(r" +\d+ ", line)]


def test_the_workers_output_comes_marked_under_a_table_of_them(kernel: Kernel) -> None:
    kernel.run("factor = 7\ndef times(n): return n * factor")
    cell = kernel.run("%%fork -n 2 --push times --name pair\nprint('it is', times(task_id()))")
    kernel.until(lambda: "exit 0 ·" in cell.shown and cell.stdout.count("it is") == 2)
    assert "\x1b[36m[0]\x1b[0m it is 0\n" in cell.stdout and "[1]\x1b[0m it is 7\n" in cell.stdout
    assert cell.shown.startswith("✓ pair: %%fork -n 2  exit 0 · ")
    assert [row.split()[2:] for row in rows(cell)] == [["✓", "exited", "exit", "0", "0"]] * 2
    (table,) = cell.displays
    assert "<pre" in table.data["text/html"] and "color:" in table.data["text/html"]
    assert kernel.ask("ipyproc.jobs['pair'].worker_output(1)") == "it is 7\n"


def test_the_table_shows_exits_signals_and_restarts_as_they_happen(kernel: Kernel) -> None:
    kernel.run("import signal")
    cell = started(kernel, "--name trio", workers=3)
    kernel.run("trio = ipyproc.jobs['trio']\ntrio.signal(signal.SIGKILL, 2)")
    kernel.until(lambda: "SIGKILL" in cell.shown and rows(cell)[2].count("running"))
    kernel.until(lambda: "1 restart of 100" in cell.shown)
    kernel.run("trio.restart_worker(0)")
    kernel.until(lambda: "SIGTERM" in rows(cell)[0])
    assert kernel.run("%stop trio").status == "ok"
    kernel.until(lambda: "stopped, SIGINT" in cell.shown)
    assert cell.stderr == ""


def test_a_group_that_gives_up_says_how_often_each_worker_died(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%fork -n 2 --max-restarts 2\nif task_id(): raise SystemExit(3)\nimport time\ntime.sleep(60)"
    )
    kernel.until(lambda: "gave up" in cell.shown)
    told = " ".join(cell.shown.split())
    assert "2 restarts of 2" in told and "worker 1 died 3 times (exit 3 x3)" in told


def test_a_traceback_names_the_cell_and_its_line(kernel: Kernel) -> None:
    cell = kernel.run("%%fork -n 1 --max-restarts 0\nx = 1\n\n1 / 0")
    kernel.until(lambda: "gave up" in cell.shown and "ZeroDivisionError" in cell.stderr)
    number = cell.reply["execution_count"]
    plain = re.sub(r"\x1b\[\d*m", "", cell.stderr)
    assert f'[0]   File "In[{number}]", line 4, in <module>\n[0]     1 / 0\n' in plain


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("%%fork -n x\npass", "'x' is not a whole number; give one such as 4, or 0 for the number of cores"),
        ("%%fork -n -1\npass", "The number of workers is -1; give 1 or more, or 0"),
        ("%%fork -n -1,2\npass", "%%fork: argument -n"),
        ("%%fork -n 2\n\n", "cell body is empty|There is no code for the workers"),
        ("%%fork -n 2\na = 1\nif a\n  b", "Line 3 of the cell is not valid Python .*nothing was forked"),
        ("%%fork --push nowhere\npass", "there is no variable 'nowhere' to push"),
        ("%%fork --push lock\npass", r"The variable 'lock' \(lock\) could not be pickled"),
        ("%%fork --max-restarts -1\npass", "max_restarts is -1"),
        ("%%fork --bogus\npass", "%%fork has no option '--bogus'"),
        ("%%fork ls -la\npass", "%%fork takes no command, but 'ls -la' was given"),
    ],
)
def test_bad_input_is_answered_in_a_sentence(kernel: Kernel, code: str, sentence: str) -> None:
    kernel.run("import threading\nlock = threading.Lock()")
    cell = kernel.run(code)
    assert re.fullmatch("UsageError: .+\n", cell.stderr) and re.search(sentence, cell.stderr)
    assert kernel.ask("len(ipyproc.jobs)") == 0


def test_no_workers_ancestor_is_the_kernel_and_an_interrupt_touches_none(kernel: Kernel) -> None:
    cell = started(kernel, "--name calm")
    pids = kernel.ask("[worker.pid for worker in ipyproc.jobs['calm'].workers]")
    for pid in pids:
        assert kernel.pid not in [process.pid for process in psutil.Process(pid).parents()]
    held = kernel.start("import time\nprint('holding', flush=True)\ntime.sleep(60)")
    kernel.until(lambda: "holding" in held.stdout)
    kernel.interrupt()
    assert kernel.finish(held).status == "error"
    assert kernel.ask("[worker.pid for worker in ipyproc.jobs['calm'].workers]") == pids
    assert "running" in cell.shown
    kernel.run("%stop calm")


def test_in_the_foreground_an_interrupt_is_for_the_group(kernel: Kernel) -> None:
    cell = kernel.start(f"%%fork -n 2 -w --name fore\n{_FOR_EVER}")
    kernel.until(lambda: cell.stdout.count("up") == 2)
    kernel.interrupt()
    kernel.finish(cell)
    assert "JobFailed: Command '%%fork -n 2' was ended by SIGINT" in cell.error
    assert cell.stderr == ""


def test_a_killed_kernel_leaves_no_worker(fresh_kernel: Kernel) -> None:
    started(fresh_kernel, "--name left")
    session = fresh_kernel.ask("ipyproc.jobs['left'].pid")
    wait_until(lambda: len(session_members(session)) == 4)
    fresh_kernel.kill()
    wait_until(lambda: not session_members(session))


def test_a_kernel_that_ends_leaves_no_worker(fresh_kernel: Kernel) -> None:
    started(fresh_kernel, "--name left")
    session = fresh_kernel.ask("ipyproc.jobs['left'].pid")
    fresh_kernel.manager.shutdown_kernel()
    wait_until(lambda: not session_members(session))


def test_a_killed_helper_is_told_in_the_table(kernel: Kernel) -> None:
    cell = started(kernel, "--name lost")
    session, helper = kernel.ask("(ipyproc.jobs['lost'].pid, ipyproc.jobs['lost'].helper_pid)")
    os.kill(helper, signal.SIGKILL)
    kernel.until(lambda: "its helper was ended by SIGKILL" in " ".join(cell.shown.split()))
    kernel.until(lambda: [row.split()[-2] for row in rows(cell)] == ["SIGKILL", "SIGKILL"])
    wait_until(lambda: not session_members(session))


def test_in_a_batch_run_the_cell_waits_and_keeps_the_final_table(kernel: Kernel) -> None:
    cell = kernel.run("%%fork -n 2\nprint('worker')", allow_stdin=False)
    assert cell.status == "ok"
    assert cell.stdout.count("worker") == 2 and "exit 0 ·" in cell.shown
    failed = kernel.run("%%fork -n 1 --max-restarts 0\n1 / 0", allow_stdin=False)
    assert "JobFailed" in failed.error and "gave up" in failed.shown


def test_an_idle_group_costs_the_kernel_next_to_nothing(kernel: Kernel) -> None:
    cell = started(kernel, "--name idle", workers=8)
    (table,) = cell.displays

    def is_at_rest() -> bool:
        turn = kernel.run("import asyncio\nawait asyncio.sleep(3)")
        begin, end = turn.messages[0].sent, turn.messages[-1].sent
        sent = [message.sent for message in cell.messages if message.kind == "update_display_data"]
        # By the kernel's clock: the client may take them late.
        return sum(begin <= at <= end for at in sent) <= 1 + (end - begin) / 3

    # The processors' time of their start counts as well.
    kernel.until(is_at_rest)
    assert table.updates
    kernel.run("%stop idle")


def test_other_magics_take_a_group_for_a_job(kernel: Kernel) -> None:
    cell = kernel.run("%%fork -n 2 -q --name quiet\nprint('up')")
    assert cell.displays == [] and cell.stdout == ""
    kernel.run("%wait quiet")
    logs = kernel.run("%logs quiet")
    assert logs.stdout.count("up") == 2
    table = kernel.run("%jobs")
    assert re.search(r"quiet +\d+ +✓ exited +exit 0 +0/100", table.shown)
