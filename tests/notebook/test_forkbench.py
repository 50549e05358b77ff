"""``%forkbench`` in real kernels."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from ipyproc.process.platform.sessions import session_members
from tests.notebook.kernels import Cell, Kernel
from tests.support import ROOT, wait_until

_SLEEP = "__import__('time').sleep(0.002)"


def table(cell: Cell) -> list[list[str]]:
    """The rows of its table, whose first is the head."""
    return rows_of(cell.shown)


def rows_of(shown: str) -> list[list[str]]:
    return [line.split() for line in shown.splitlines() if re.match(r"workers | +\d+ ", line)]


def said(cell: Cell) -> str:
    """What it shows, as if the page were wide."""
    return " ".join(cell.shown.split())


def done(kernel: Kernel, code: str) -> Cell:
    cell = kernel.run(code)
    assert cell.status == "ok" and not cell.stderr, cell.error + cell.stderr
    kernel.until(lambda: "exit 0 ·" in said(cell), timeout=120)
    return cell


def test_alone_it_shows_what_forking_costs(kernel: Kernel) -> None:
    cell = done(kernel, "%forkbench -n 1,2")
    (shown,) = cell.displays
    assert shown.text.startswith("✓ forkbench: %forkbench -n 1,2  exit 0 · ")
    assert "workers all run after replaced after memory in all 1 " in said(cell)
    assert [row[0] for row in table(cell)[1:]] == ["1", "2"]
    assert "Medians of 5 forks and 20 deaths; memory is private. The helper's start took" in said(cell)
    assert "<pre" in shown.data["text/html"] and "color:" in shown.data["text/html"]


def test_a_sweep_is_live_while_the_kernel_is_free_and_its_rows_come_as_they_are_done(kernel: Kernel) -> None:
    cell = kernel.run(f"bench = %forkbench -n 1,2,3,4 -t 1 {_SLEEP}")
    assert cell.status == "ok" and kernel.run("1 + 1").shown == "2"
    kernel.until(lambda: "exit 0 ·" in said(cell))
    # What was shown meanwhile, however late it is looked at.
    live = r"━+─+ \d+ % · .* left · (\d) workers?, [\d,.]+ ops/s now"
    pictures = [(re.search(live, message.text), rows_of(message.text)) for message in cell.messages]
    done_before = [(int(found[1]), len(rows[1:])) for found, rows in pictures if found]
    assert done_before and all(done == workers - 1 for workers, done in done_before)
    head, *rows = table(cell)
    assert head[:5] == ["workers", "ops/s", "each", "speed-up", "efficiency"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"] and rows[0][3:7] == ["1.00", "x", "100", "%"]
    rates = [float(row[1].replace(",", "")) for row in rows]
    assert [float(row[3]) for row in rows] == pytest.approx([rate / rates[0] for rate in rates], rel=0.05)
    assert "4 workers do" in said(cell) and "━" not in cell.shown
    (shown,) = cell.displays
    assert shown.updates <= 4 * kernel.ask("bench.snapshot().elapsed") + 3
    result = kernel.run("result = await bench\nresult")
    (display,) = result.displays
    assert (
        display.text.startswith(_SLEEP) and "speed-up" in display.text and "<pre" in display.data["text/html"]
    )
    assert kernel.ask("[row['workers'] for row in result.to_dict()['rows']]") == [1, 2, 3, 4]
    assert kernel.ask("result.rows[1].speedup == result.rows[1].rate / result.rows[0].rate")


@pytest.mark.slow
def test_workers_are_killed_as_it_runs_and_replacements_told(kernel: Kernel) -> None:
    # So long that a machine which is late by some seconds kills both before the end.
    cell = done(kernel, f"%forkbench -n 2 -t 10 --restarts 2 {_SLEEP}")
    told = (
        r"2 workers, 2 killed: a replacement ran after [\d.]+ [mµ]?s \(p50; [\d.]+ [mµ]?s to [\d.]+ [mµ]?s\)"
    )
    assert re.search(told, said(cell))


def test_in_a_cell_the_line_is_the_setup_and_variables_are_pushed(kernel: Kernel) -> None:
    kernel.run("step = 3\ndef grow(n): return n + step")
    cell = done(
        kernel,
        "%%forkbench -n 2 -t 0.1 --push grow import math; base = math.floor(2.5)\ny = grow(base)\ny += 1",
    )
    assert "%%forkbench -n 2 -t 0.1 --push grow import math; base = math.floor(2.5) …" in " ".join(
        cell.shown.split()
    )
    done(kernel, "%forkbench -n 1 -t 0.1 --setup 'import math' math.floor(2.5)")


def test_quiet_and_named_it_is_a_job_like_any_other(kernel: Kernel) -> None:
    cell = kernel.run(f"%forkbench -q -n 2 -t 60 --name long {_SLEEP}")
    assert cell.displays == [] and cell.stdout == ""
    kernel.ask_until("ipyproc.jobs['long'].snapshot().active == 2")
    for worker in kernel.ask("[worker.pid for worker in ipyproc.jobs['long'].workers]"):
        assert kernel.pid not in [process.pid for process in psutil.Process(worker).parents()]
    assert re.search(r"long +\d+ +● running", kernel.run("%jobs").shown)
    assert "stopped, SIGINT" in said(kernel.run("%stop long"))
    partly = kernel.run("result = await ipyproc.jobs['long'].wait(raise_error=False)\nresult.rows")
    assert partly.shown == "()"


@pytest.mark.parametrize("statement", ["%%forkbench -n 2\nx = 1\n\nx / 0", "%forkbench -n 2 1 / 0"])
def test_a_statement_that_raises_shows_its_line_and_ends(kernel: Kernel, statement: str) -> None:
    cell = kernel.run(statement)
    kernel.until(lambda: "exit 1 ·" in said(cell) and "ZeroDivisionError" in cell.stderr)
    plain = re.sub(r"\x1b\[\d*m", "", cell.stderr)
    name, line = (f"In[{cell.reply['execution_count']}]", 4) if "\n" in statement else ("<forkbench>", 1)
    assert f'File "{name}", line {line}, in forkbench\n' in plain and " / 0\n" in plain
    assert "ipyproc" not in plain and plain.count("Traceback") == 1
    assert "ended with exit 1, so nothing more is measured" in said(cell)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "%forkbench -n x 1",
            "'x' is not a number of workers; give one such as 4, several such as 1,2,4,",
        ),
        ("%forkbench -n -1,2 1", "'-1,2' is not a number of workers"),
        ("%forkbench -n 1,,2 1", "'1,,2' is not a number of workers"),
        ("%forkbench --restarts -1 1", "The number of restarts is -1; give 0 or more"),
        ("%forkbench --seconds 0 1", "The time is 0 s; give a number of seconds above 0"),
        ("%forkbench --seconds soon 1", "argument -t/--seconds: invalid float value: 'soon'"),
        ("%forkbench --push nowhere 1", "there is no variable 'nowhere' to push"),
        ("%forkbench --push lock 1", r"The variable 'lock' \(lock\) could not be pickled"),
        ("%forkbench --bogus 1", "%forkbench has no option '--bogus'"),
        ("%forkbench for x in", r"not valid Python \(invalid syntax\): 'for x in'; nothing was forked"),
        ("%%forkbench -n 2\n\n", "cell body is empty|There is no statement to measure"),
        ("%%forkbench -n 2\n# nothing", "There is no statement to measure"),
        (
            "%%forkbench -n 2\na = 1\nif a\n  b",
            "Line 3 of the cell is not valid Python .*'if a'; nothing was forked",
        ),
        ("%%forkbench import = 2\n1", "Line 1 of the cell is not valid Python"),
        ("%%forkbench --setup a=1 b=2\n1", "has two setups, 'a=1' and 'b=2'"),
    ],
)
def test_bad_input_is_answered_in_a_sentence(kernel: Kernel, code: str, sentence: str) -> None:
    kernel.run("import threading\nlock = threading.Lock()")
    cell = kernel.run(code)
    assert re.fullmatch("UsageError: .+\n", cell.stderr) and re.search(sentence, cell.stderr)
    assert kernel.ask("len(ipyproc.jobs)") == 0


def test_no_number_is_the_number_of_cores(kernel: Kernel) -> None:
    assert kernel.run("bench = %forkbench -q -n 0 -t 0.05 1").status == "ok"
    assert kernel.ask("len(bench.workers) == __import__('os').cpu_count()")


def test_in_the_foreground_an_interrupt_is_for_the_workers(kernel: Kernel) -> None:
    cell = kernel.start(f"%forkbench -n 2 -w -t 60 {_SLEEP}")
    kernel.until(lambda: "· 2 workers" in cell.shown)
    kernel.interrupt()
    kernel.finish(cell)
    assert re.search("JobFailed: Command .%forkbench .*. was ended by SIGINT", cell.error)
    assert cell.stderr == ""
    kernel.until(lambda: not kernel.children())


def test_a_killed_kernel_leaves_no_worker_of_either_kind(fresh_kernel: Kernel) -> None:
    fresh_kernel.run(f"one = %forkbench -q -n 2 -t 60 {_SLEEP}\ntwo = %forkbench -q -n 2 --restarts 90000")
    fresh_kernel.ask_until("one.snapshot().active and two.findings.helper")
    sessions = fresh_kernel.ask("(one.pid, two.pid)")
    fresh_kernel.kill()
    wait_until(lambda: not any(map(session_members, sessions)))


def test_unloaded_the_extension_leaves_no_way_to_show_results(fresh_kernel: Kernel) -> None:
    fresh_kernel.run("bench = %forkbench -q -n 1 -t 0.05 1\nresult = await bench")
    fresh_kernel.run("%unload_ext ipyproc")
    assert fresh_kernel.run("result").shown.startswith("<BenchResult of '1' with 1 workers>")
    assert "not found" in fresh_kernel.run("%forkbench 1").stderr


# By a program


def saved(directory: Path, *cells: str) -> list[NotebookNode]:
    """The cells of a notebook that nbclient has run, and that was saved and read again."""
    codes = ("%load_ext ipyproc", *cells)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(directory)}}, allow_errors=True
    ).execute()
    nbformat.write(notebook, directory / "saved.ipynb")
    return nbformat.read(directory / "saved.ipynb", as_version=4).cells[1:]


def test_in_a_batch_run_the_cell_waits_and_keeps_its_final_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    line, cell, later, failed = saved(
        tmp_path,
        "bench = %forkbench -n 1,2 -t 0.2 sum(range(100))",
        "%%forkbench -n 2 -t 0.2 rows = [3, 1]\nsorted(rows)",
        "(await bench).limit != '', await bench",
        "%forkbench -n 1 1 / 0",
    )
    for measured in (line, cell):
        (shown,) = measured.outputs
        assert "exit 0" in shown.data["text/plain"] and "ops/s" in shown.data["text/plain"]
        assert "<pre" in shown.data["text/html"] and "ops/s" in shown.data["text/html"]
        assert "━" not in shown.data["text/plain"]
    assert (
        later.outputs[0].data["text/plain"].startswith("(True, <BenchResult of 'sum(range(100))' with 1, 2")
    )
    (error,) = [output for output in failed.outputs if output.output_type == "error"]
    assert error.ename == "JobFailed" and "ZeroDivisionError" in error.evalue
    assert not any("ipyproc/" in line for line in error.traceback)
