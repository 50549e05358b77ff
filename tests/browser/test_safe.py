"""What a page makes of output, names, commands and errors that would like to be more than text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.lab import Lab, notebook
from tests.hostile import NAME

_CELLS = (
    "%load_ext ipyproc\nimport ipyproc, sys\nfrom tests.hostile import NAME, OUTPUT, PROGRAM\n"
    "def start(name):\n    return ipyproc.spawn([sys.executable, '-c', PROGRAM, NAME], name=name)",
    "job = start(NAME)\njob",
    "%config IPyProc.cell_bytes = 0\n%config IPyProc.tail_lines = 100",
    "tail = start(f'{NAME}2')\ntail",
    "await tail",
    "%wait {job.pid}",
    "%stop nosuch",
    "%jobs",
    "[job, tail]",
    "group = ipyproc.fork(OUTPUT, 1, 0, name=f'{NAME}3')\ngroup",
    "await group",
    "%logs {job.pid}",
    "print('the last cell has run')",
)

# What the outputs of the page have in them, and whether anything of it has run.
_LOOK = """() => {
    const outputs = [...document.querySelectorAll('.jp-OutputArea-output')];
    const inside = outputs.flatMap((output) => [...output.querySelectorAll('*')]);
    return {
        hit: window.hit ?? null,
        tags: [...new Set(inside.map((element) => element.localName))].sort(),
        handlers: inside.flatMap((element) => element.getAttributeNames().filter((name) => /^on/.test(name))),
        links: [...new Set(inside.filter((element) => element.href).map((element) => element.href))].sort(),
        made: document.getElementById('made') !== null,
        text: outputs.map((output) => output.textContent).join('\\n'),
    };
}"""


@pytest.fixture(scope="module")
def looked_at(page: Lab) -> dict[str, Any]:
    """A page of all views, after everything in it has been pointed at."""
    notebook(page.server.files / "hostile.ipynb", *_CELLS, may_fail=True)
    page.open("hostile.ipynb")
    page.run_all()
    page.wait_for(12, "the last cell has run")
    for cell, text in ((1, "the end"), (3, "the end"), (4, "JobFailed"), (5, "JobFailed"), (11, "the end")):
        page.wait_for(cell, text)
    page.page.evaluate(
        "() => document.querySelectorAll('.jp-OutputArea-output *').forEach((element) => {"
        " for (const kind of ['mouseover', 'mouseenter', 'focus', 'load', 'error'])"
        " element.dispatchEvent(new Event(kind)); })"
    )
    found = page.page.evaluate(_LOOK)
    assert isinstance(found, dict)
    return found


def test_no_output_name_command_or_error_makes_an_element_or_runs(looked_at: dict[str, Any]) -> None:
    assert looked_at["hit"] is None and not looked_at["made"] and not looked_at["handlers"]
    assert set(looked_at["tags"]) <= {"a", "code", "div", "pre", "span"}


def test_its_links_lead_to_pages_only(looked_at: dict[str, Any]) -> None:
    links = looked_at["links"]
    assert "https://good.example/?a=1&b=2" in links
    assert not [link for link in links if not link.startswith(("https://", "http://"))]


def test_it_can_all_be_read_as_text(looked_at: dict[str, Any]) -> None:
    text = looked_at["text"]
    assert text.count("<script>window.hit = 1</script>") > 10
    assert NAME not in text and r"\x1b[31m<script>" in text
