"""The README's recipes work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import ROOT, kernel_environment


def recipes() -> list[str]:
    text = (ROOT / "README.md").read_text()
    section = text.split("\n## Recipes\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.mark.timeout(180)
def test_each_recipe_pasted_as_it_stands_works(tmp_path: Path) -> None:
    cells = ["%load_ext ipyproc", *recipes(), "ipyproc.jobs.end_all()"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute(
        env=kernel_environment(tmp_path)
    )
    shown = {cell.source: str(cell.outputs) for cell in book.cells}

    def of(beginning: str) -> str:
        return next(text for source, text in shown.items() if source.startswith(beginning))

    assert "epoch 5  loss 0.200" in of("%%spawn --name training")
    assert "ready" in of("%%spawn --name web") or "stopped" in of("%%spawn --name web")
    assert "compiling d.c" in of("%%spawn --name build")
    assert "training" in of("%jobs") and "build" in of("%jobs")
    assert "['1', '2', '3']" in of("import asyncio\nimport ipyproc")
    assert "works now" in of("result = await") and "1 restart" in of("result = await")
    assert "timed out after 1 s" in of("%%spawn --name slow")
    assert "serving" in of("%%fork") and "stopped" in of("%%fork")
    assert "worker " in of("import asyncio\nfrom tornado")
    assert "speed-up" in of("%forkbench")
