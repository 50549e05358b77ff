"""What a user of JupyterLab sees."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.browser.lab import ROOT, Lab, notebook
from tests.support import wait_until

UNTIL_TOLD = "while [ ! -e go ]; do sleep 0.1; done"
SLEEPS = "    time.sleep(0.5)"
WAITS = "while epoch == 3 and not __import__('os').path.exists('seen'): time.sleep(0.1)"


def test_the_first_tour_notebook_shows_each_output_live_in_its_own_cell(page: Lab) -> None:
    book = json.loads((ROOT / "notebooks" / "01-spawn.ipynb").read_text())
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
            # The training is not over before it has been seen.
            cell["source"] = "".join(cell["source"]).replace(SLEEPS, f"{SLEEPS}\n    {WAITS}")
    (page.server.files / "01-spawn.ipynb").write_text(json.dumps(book))
    cells = {"".join(cell["source"]).split("\n")[0]: number for number, cell in enumerate(book["cells"])}
    page.open("01-spawn.ipynb")
    training = cells["%%spawn --name training {python} train.py"]
    page.run_all()
    page.wait_for(cells["%%spawn ls -la"], "01-spawn.ipynb")
    live = page.wait_for(training, "epoch 2")
    assert "epoch 8" not in live and "exit" not in live
    (page.server.files / "seen").touch()
    shown = page.wait_for(training, "exit 0")
    assert shown.index("epoch 1") < shown.index("epoch 8")
    assert "a warning, on standard error" in shown
    assert "4\n30\n100" in page.wait_for(cells["%%spawn sort -n"], "100")
    assert "line: 3\nline: 2\nline: 1" in page.wait_for(
        cells["job = %spawn -q --name countdown for i in 3 2 1; do echo $$i; sleep 0.2; done"], "line: 1"
    )
    failing = page.wait_for(cells["%%spawn --name failing --no-raise-error"], "exit 3")
    assert failing.endswith("cannot open the data\n")
    assert "training" in page.wait_for(cells["%jobs"], "failing")
    page.save()

    def saved() -> str:
        try:
            book = json.loads((page.server.files / "01-spawn.ipynb").read_text())
        except ValueError:
            return ""  # JupyterLab is in the midst of writing it.
        return json.dumps(book["cells"][training]["outputs"])

    wait_until(lambda: "exit 0" in saved() and "epoch 8" in saved(), 120)


def test_each_line_stays_with_the_cell_that_started_it_while_others_run(page: Lab) -> None:
    notebook(
        page.server.files / "two.ipynb",
        "%load_ext ipyproc",
        f"%%spawn --name a\nfor i in 1 2 3 4 5 6; do echo a$i; done; {UNTIL_TOLD}",
        f"%%spawn --name b\nfor i in 1 2 3 4 5 6; do echo b$i >&2; done; {UNTIL_TOLD}",
        "print('an ordinary cell')",
    )
    page.open("two.ipynb")
    page.run_all()
    page.wait_for(3, "an ordinary cell")
    assert "exit" not in page.output(1) and "exit" not in page.output(2)
    (page.server.files / "go").touch()
    one, two = page.wait_for(1, "exit 0"), page.wait_for(2, "exit 0")
    assert [f"a{i}" for i in range(1, 7)] == [
        line for line in one.split("\n") if line.startswith("a") and line[1:].isdigit()
    ]
    assert "b6" in two and "b" not in page.output(3).replace("an ordinary cell", "") and "a6" not in two


@pytest.mark.slow
def test_a_million_lines_neither_freeze_the_page_nor_lose_a_byte(page: Lab) -> None:
    notebook(
        page.server.files / "flood.ipynb",
        "%load_ext ipyproc",
        "%%spawn --name flood\nseq 1 1000000",
        "print('the next cell has run')",
        "import hashlib, ipyproc\n"
        "data = (await ipyproc.jobs['flood']).output.encode()\n"
        "print('sum', len(data), hashlib.md5(data).hexdigest())",
    )
    page.open("flood.ipynb")
    page.run_all()
    worst = page.slowest_answer(lambda: "exit 0" in page.output(1) and "sum" in page.output(3), 200)
    assert "the next cell has run" in page.output(2)
    expected = "".join(f"{i}\n" for i in range(1, 1000001)).encode()
    assert f"sum {len(expected)} {hashlib.md5(expected).hexdigest()}" in page.output(3)
    assert "not shown" in page.output(1) and "1000000" in page.output(1)
    assert page.server.dropped() == 0
    # The bar is 300 ms on a quiet machine; this only tells a page that hangs from one that does not.
    assert worst < 20.0


@pytest.mark.slow
def test_three_floods_at_once_stay_within_what_the_server_lets_through(page: Lab) -> None:
    floods = [f"%%spawn --name flood{number}\nseq 1 1000000" for number in range(3)]
    wait = "import ipyproc\nprint([(await job).stdout[-8:-1] for job in ipyproc.jobs])"
    notebook(page.server.files / "floods.ipynb", "%load_ext ipyproc", *floods, wait)
    page.open("floods.ipynb")
    page.run_all()
    done = lambda: all("exit 0" in page.output(cell) for cell in (1, 2, 3))  # noqa: E731
    worst = page.slowest_answer(done, 200)
    assert page.wait_for(4, "]").count("1000000") == 3
    for cell in (1, 2, 3):
        page.wait_for(cell, "not shown")
    assert page.server.dropped() == 0
    assert worst < 20.0
