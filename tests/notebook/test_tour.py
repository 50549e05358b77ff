"""The tour runs from top to bottom, and what is stored of it reads well elsewhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.support import ROOT, kernel_environment

TOUR = sorted((ROOT / "notebooks").glob("*.ipynb"))

ENDINGS = {
    "01-spawn": [
        "✓ ls -la  exit 0",
        "664579 primes below 10000000",
        "✓ training: python train.py  exit 0",
        "is \x1b[32mcomplete\x1b[0m",
        "Hello, Ada.",
        "It has 9 characters.",
        "✗ failing: ",
        "exit 3",
    ],
    "02-await": ["✓ words: cat asyncio/*.py", "exit 0", "■ slow: sleep 60  stopped, SIGINT", "timed out"],
    "03-supervise": [" server: python server.py", "1 restart of 3", "crash loop: exited 3 (3 times)"],
    "04-forkbench": ["SIGKILL", "exit 3", "gave up"],
    "05-keep": ["epoch 3", "got yes", "train: stopped, SIGINT", "no kept jobs"],
}


def texts(book: nbformat.NotebookNode) -> str:
    """All that a reader without HTML sees of the outputs."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    return "\n".join(
        str(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in outputs
    )


def test_there_are_five_notebooks() -> None:
    assert [path.stem for path in TOUR] == list(ENDINGS)


# The benchmarks of one take both cores for ten seconds.
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem == "04-forkbench" else path for path in TOUR],
    ids=lambda path: path.stem,
)
@pytest.mark.timeout(600)
def test_a_notebook_of_the_tour_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    book = nbformat.read(path, 4)
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute(
        env=kernel_environment(tmp_path)
    )
    shown = texts(book)
    expected = list(ENDINGS[path.stem])
    if shutil.which("cc") is None and path.stem == "01-spawn":
        expected[1] = "cc: not found"
    assert not [ending for ending in expected if ending not in shown]


@pytest.mark.parametrize("path", TOUR, ids=lambda path: path.stem)
def test_a_stored_notebook_of_the_tour_shows_its_endings_as_text_and_as_html(path: Path) -> None:
    book = nbformat.read(path, 4)
    page = re.sub(r"<[^>]*>", "", HTMLExporter().from_notebook_node(book)[0])
    page = page.replace("&#x27;", "'").replace("&amp;", "&").replace("&gt;", ">")
    assert not [ending for ending in ENDINGS[path.stem] if ending not in texts(book)]
    endings = [re.sub(r"\x1b\[\d*m", "", ending) for ending in ENDINGS[path.stem]]
    assert not [ending for ending in endings if ending not in page]


@pytest.mark.parametrize("path", TOUR, ids=lambda path: path.stem)
def test_a_stored_notebook_of_the_tour_names_no_path_of_a_machine(path: Path) -> None:
    assert not re.findall(r"/(?:root|home|Users|tmp|work|usr/local)/\S*", texts(nbformat.read(path, 4)))
