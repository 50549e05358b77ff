"""Notebooks that are run by a program: nbclient, and papermill on top of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tests.support import ROOT, run_python, wait_until

# Until a later cell awaits it: what comes before that is shown where the job was started.
AWAITED = (
    "import asyncio, pathlib\nasyncio.get_running_loop().call_later(0.05, pathlib.Path('awaited').touch)\n"
)
HELD = "while [ ! -e awaited ]; do sleep 0.02; done"
LINES = "for i in 1 2 3; do echo {0} $i; sleep 0.1; done"


@pytest.fixture(autouse=True)
def _kernels_of_this_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def notebook(*cells: str) -> NotebookNode:
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in ("%load_ext ipyproc\nimport ipyproc", *cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )


def run(path: Path, *cells: str, **options: Any) -> list[NotebookNode]:
    """Runs a notebook as ``jupyter execute`` does, saves and reads it; its cells after the first."""
    node = notebook(*cells)
    client = NotebookClient(node, timeout=120, resources={"metadata": {"path": str(path)}}, **options)
    client.execute()
    nbformat.write(node, path / "saved.ipynb")
    return nbformat.read(path / "saved.ipynb", as_version=4).cells[1:]


def text(cell: NotebookNode, name: str = "stdout") -> str:
    """A stream of a saved cell, and the plain text of displays that stand in for it."""
    parts = [out.text for out in cell.outputs if out.output_type == "stream" and out.name == name]
    return "".join(parts)


def everything(cell: NotebookNode) -> str:
    parts = []
    for out in cell.outputs:
        if out.output_type == "stream":
            parts.append(out.text)
        elif out.output_type in ("display_data", "execute_result"):
            parts.append(out.data.get("text/plain", ""))
        else:
            parts.append("\n".join(out.traceback))
    return "\n".join(parts)


CELLS = {
    "waits": f"%%spawn -n one\n{LINES.format('one')}",
    "after": "print(ipyproc.jobs['one'].done)",
    "large": "%%spawn seq 1 740000",
    "streams": "%%spawn --pipes -n both\necho out; echo err >&2",
    "body": "%%spawn -n sorted sort -n\n10\n9\n",
    "no body": "%%spawn -n cat cat",
    "slow": f"%%spawn --bg -n slow\necho early; {HELD}; echo late",
    "between": "import time\nwhile 'early' not in ipyproc.jobs['slow'].output:\n    time.sleep(0.01)\n1 + 1",
    "awaits": f"{AWAITED}result = await ipyproc.jobs['slow']\nprint(result.returncode)",
    "two": f"import os\nos.unlink('awaited')\ntwo = %spawn -n two sh -c '{HELD}; {LINES.format('two')}'",
    "three": f"three = %spawn -n three sh -c '{HELD}; {LINES.format('three')}'",
    "gathers": f"{AWAITED}results = await asyncio.gather(two, three)",
    "background": "%%spawn --bg -n bg\necho up; exec sleep 60",
    "after background": "bg = ipyproc.jobs['bg']\nwhile not bg.output: time.sleep(0.01)\nprint(bg.done)",
    "stops": "%stop bg",
    "never awaited": "%%spawn --bg -n never\n"
    "while [ ! -e a ]; do sleep 0.01; done; echo first; while [ ! -e b ]; do sleep 0.01; done; echo second",
    "first": "open('a', 'w').close()\nwhile 'first' not in ipyproc.jobs['never'].output: time.sleep(0.01)",
    "second": "open('b', 'w').close()\nwhile 'second' not in ipyproc.jobs['never'].output: time.sleep(0.01)",
    "fails": "%%spawn --pipes -n bad\necho out; echo why >&2; exit 3",
    "fails quietly": "%%spawn -n worse --no-raise-error sh -c 'exit 3'",
    "serves": "%%spawn -n web --ready 'up on \\d+'\nsleep 0.2; echo up on 80; sleep 60",
    "after server": "print(ipyproc.jobs['web'].done)",
    "started": "%%spawn --bg -n late sh -c 'sleep 0.2; echo from-late'",
    "waits for it": "%wait late",
    "logs": "%logs late",
    "jobs": "%jobs",
    "the rest": "open('pid', 'w').write(str(ipyproc.jobs['web'].pid)); print('end')",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batch")


@pytest.fixture(scope="module")
def saved(_clients_loop: None, directory: Path) -> dict[str, NotebookNode]:
    """One notebook with all of it, run with allow_errors, saved and read again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(directory / "ipython"))
        return dict(zip(CELLS, run(directory, *CELLS.values(), allow_errors=True), strict=True))


Saved = dict[str, NotebookNode]


def test_spawn_waits_and_the_saved_cell_has_every_line_and_the_final_status(saved: Saved) -> None:
    assert text(saved["waits"]) == "one 1\none 2\none 3\n"
    assert "✓ one: " in everything(saved["waits"]) and "exit 0" in everything(saved["waits"])
    assert text(saved["after"]) == "True\n"


def test_five_megabytes_of_lines_are_complete(saved: Saved) -> None:
    assert text(saved["large"]) == "".join(f"{i}\n" for i in range(1, 740001))
    assert "exit 0" in everything(saved["large"])


def test_stdout_and_stderr_are_told_apart(saved: Saved) -> None:
    assert (text(saved["streams"]), text(saved["streams"], "stderr")) == ("out\n", "err\n")


def test_a_body_is_the_standard_input_there_too(saved: Saved) -> None:
    assert text(saved["body"]) == "9\n10\n"


def test_a_command_that_reads_standard_input_does_not_hang_the_run(saved: Saved) -> None:
    assert "exit 0" in everything(saved["no body"])


def test_a_background_job_that_is_awaited_later_has_its_remaining_output_there(saved: Saved) -> None:
    assert text(saved["awaits"]).split() == ["late", "0"]
    earlier = [line for name in ("slow", "between") for line in everything(saved[name]).split("\n")]
    assert earlier.count("early") == 1
    assert "exit 0" in everything(saved["slow"])


def test_two_background_jobs_are_gathered_in_a_later_cell(saved: Saved) -> None:
    lines = text(saved["gathers"]).split("\n")
    for name in ("two", "three"):
        assert [line for line in lines if line.startswith(name)] == [f"{name} {i}" for i in (1, 2, 3)]
        assert "exit 0" in everything(saved[name])


def test_bg_does_not_wait(saved: Saved) -> None:
    assert text(saved["after background"]) == "False\n"


def test_a_stopped_job_has_its_final_status_in_its_own_cell_and_in_the_one_that_stopped_it(
    saved: Saved,
) -> None:
    assert "SIGINT" in everything(saved["background"])
    assert "SIGINT" in everything(saved["stops"])


def test_a_background_job_that_is_never_awaited_shows_what_it_wrote_in_its_own_cell(saved: Saved) -> None:
    lines = everything(saved["never awaited"]).split("\n")
    assert [line for line in lines if line in ("first", "second")] == ["first", "second"]
    assert not saved["first"].outputs and not saved["second"].outputs


def test_a_failing_job_with_allow_errors_leaves_its_output_and_the_next_cell_runs(saved: Saved) -> None:
    bad = saved["fails"]
    assert (text(bad), text(bad, "stderr")) == ("out\n", "why\n")
    assert "exit 3" in everything(bad)
    assert [out.ename for out in bad.outputs if out.output_type == "error"] == ["JobFailed"]
    assert text(saved["the rest"]) == "end\n"


def test_a_failing_job_with_no_raise_error_is_no_error(saved: Saved) -> None:
    bad = saved["fails quietly"]
    assert "exit 3" in everything(bad)
    assert [out.output_type for out in bad.outputs] == ["display_data"]


def test_a_server_with_ready_does_not_hang_the_run(saved: Saved) -> None:
    assert text(saved["after server"]) == "False\n"
    assert "up on 80" in everything(saved["serves"])


def test_wait_and_logs_show_in_their_cells(saved: Saved) -> None:
    assert "exit 0" in everything(saved["waits for it"])
    assert text(saved["logs"]) == "from-late\n"


def test_the_table_of_jobs_is_saved(saved: Saved) -> None:
    table = everything(saved["jobs"])
    assert all(name in table for name in ("name", "pid", "state", "seq", "exit 3", "never"))


def test_nothing_runs_after_the_run(saved: Saved, directory: Path) -> None:
    pid = int((directory / "pid").read_text())
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))


def test_no_cell_has_a_traceback_of_ours(saved: Saved) -> None:
    assert not [name for name, cell in saved.items() if "ipyproc/" in everything(cell)]


def test_a_failing_job_stops_the_run_with_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError) as caught:
        run(tmp_path, "%%spawn -n bad\necho out; echo why >&2; exit 3", "print('after')")
    assert "JobFailed" in str(caught.value)
    assert "exited with status 3" in str(caught.value) and "why" in str(caught.value)
    assert "ipyproc/" not in str(caught.value)


def test_papermill_saves_every_line_in_the_right_cell(tmp_path: Path) -> None:
    papermill = pytest.importorskip("papermill")
    node = notebook(
        f"%%spawn --pipes -n one\n{LINES.format('one')}",
        f"job = %spawn --pipes -n two sh -c '{HELD}; echo late'",
        f"{AWAITED}await job",
        "%%spawn --pipes -n bad --no-raise-error sh -c 'echo why >&2; exit 3'",
    )
    nbformat.write(node, tmp_path / "in.ipynb")
    saved = tmp_path / "out.ipynb"
    papermill.execute_notebook(tmp_path / "in.ipynb", saved, cwd=str(tmp_path), progress_bar=False)
    one, two, awaited, bad = nbformat.read(saved, as_version=4).cells[-4:]
    assert text(one) == "one 1\none 2\none 3\n" and "exit 0" in everything(one)
    assert "late" in text(awaited) and "exit 0" in everything(two)
    assert text(bad, "stderr") == "why\n" and "exit 3" in everything(bad)


def test_jupyter_execute_saves_every_line(tmp_path: Path) -> None:
    path = tmp_path / "in.ipynb"
    nbformat.write(notebook(f"%%spawn -n one\n{LINES.format('one')}"), path)
    run_python("-c", "from nbclient.cli import main; main()", "--inplace", str(path))
    cell = nbformat.read(path, as_version=4).cells[1]
    assert text(cell) == "one 1\none 2\none 3\n" and "exit 0" in everything(cell)


def test_a_cell_that_first_waits_and_then_awaits_a_job_has_all_that_was_held_back(tmp_path: Path) -> None:
    script = "for i in $(seq 1 30); do echo L$i; sleep 0.03; done"
    cells = run(
        tmp_path,
        f"j = ipyproc.spawn({script!r}, name='s')",
        "import asyncio\nawait asyncio.sleep(0.5)\nr = await j",
    )
    lines = "".join(map(everything, cells)).split()
    assert [line for line in lines if line[:1] == "L" and line[1:].isdigit()] == [
        f"L{n}" for n in range(1, 31)
    ]


def test_an_awaiting_cell_has_each_line_once_though_two_cells_show_the_job(tmp_path: Path) -> None:
    script = f"for i in $(seq 1 20); do echo L$i; [ $i != 10 ] || {HELD}; done"
    cells = run(
        tmp_path,
        f"j = ipyproc.spawn({script!r}, name='s')",
        "%logs s",
        f"{AWAITED}r = await j",
    )
    lines = text(cells[2]).split()
    assert lines and len(lines) == len(set(lines))


def test_run_all_waits_for_a_server_replaces_it_and_shows_what_ended_in_its_place(tmp_path: Path) -> None:
    cells = run(
        tmp_path,
        "%spawn -n web --ready 'up \\d' -w sh -c 'sleep 0.2; echo up 1; exec sleep 60'",
        "print(ipyproc.jobs['web'].output)\nold = ipyproc.jobs['web']",
        "%%spawn -n web --ready 'up \\d' --replace\nsleep 0.2; echo up 2; exec sleep 60",
        "%wait --ready web\nprint(old.done, ipyproc.jobs['web'].output)",
        "%stop --all\n%logs web\nprint('printed after it')",
    )
    assert text(cells[0]) == "up 1\n"
    assert text(cells[1]) == "up 1\n\n" and text(cells[3]) == "True up 2\n\n"
    assert text(cells[2]) == "up 2\n" and "SIGINT" in everything(cells[0])
    assert text(cells[4]) == "up 2\nprinted after it\n" and "SIGINT" in everything(cells[4])
    with pytest.raises(CellExecutionError, match=r"'web' ended \(exit 3\) before it was ready"):
        run(tmp_path, "%spawn -n web --ready up -w sh -c 'exit 3'")
