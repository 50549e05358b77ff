"""The README's first cells and recipes work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.ports import free_port
from tests.support import ROOT, kernel_environment


def cells_of(heading: str) -> list[str]:
    text = (ROOT / "README.md").read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def shown_by(cells: list[str], folder: Path) -> dict[str, str]:
    """What each cell shows, run one after another in one kernel."""
    # The ports that stand there may be another program's, such as that of a second run of this.
    for port in sorted(set(re.findall(r"\b87\d\d\b", "\n".join(cells)))):
        free = str(free_port())
        cells = [cell.replace(port, free) for cell in cells]
    whole = ["%load_ext ipyproc", *cells, "import ipyproc\nipyproc.jobs.end_all()"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in whole])
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}}).execute(
        env=kernel_environment(folder)
    )
    return {cell.source: str(cell.outputs) for cell in book.cells}


def test_the_first_cells_pasted_as_they_stand_work(tmp_path: Path) -> None:
    listing, build, line, stop = list(shown_by(cells_of("First cells"), tmp_path).values())[1:-1]
    assert "total" in listing and "exit 0" in listing
    assert "compiling" in build and "done" in build and "exit 0" in build
    assert "0 " in line and "sort /etc/passwd" in line
    assert "build" in stop


@pytest.mark.timeout(600)
def test_each_recipe_pasted_as_it_stands_works(tmp_path: Path) -> None:
    shown = shown_by(cells_of("Recipes"), tmp_path)

    def of(beginning: str) -> str:
        return next(text for source, text in shown.items() if source.startswith(beginning))

    assert "epoch 5  loss 0.200" in of("%%spawn --name training")
    assert "epoch 3" in of("%logs night")
    # http.server ends well at a SIGINT, which reaches the program itself.
    assert any(state in of("%%spawn --name web") for state in ("ready", "stopped", "exit 0"))
    assert "compiling d.c" in of("%%spawn --name build")
    assert "training" in of("%jobs") and "build" in of("%jobs")
    assert "['1', '2', '3']" in of("import asyncio\nimport ipyproc")
    assert "works now" in of("result = await") and "1 restart" in of("result = await")
    assert "timed out after 1 s" in of("%%spawn --name slow")
    assert "serving" in of("%%fork") and "stopped" in of("%%fork")
    assert "worker " in next(
        text for source, text in shown.items() if "prefork" in source and "fetch" in source
    )
    assert "speed-up" in of("%forkbench")
