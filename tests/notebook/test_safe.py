"""Each view is given what a page must not take for more than text, and every message is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.hostile import unsafe_html, unsafe_text
from tests.notebook.kernels import Cell, Kernel
from tests.support import ROOT

_BEFORE = """
import sys
from tests.hostile import NAME, OUTPUT, PROGRAM
def start(name=NAME, **options):
    return ipyproc.spawn([sys.executable, "-c", PROGRAM, NAME], name=name, **options)
"""


def strings_of(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string in what was sent, with the key under which it stands."""
    if isinstance(content, str):
        yield key, content
    elif isinstance(content, dict):
        for inner, value in content.items():
            yield from strings_of(value, inner)
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from strings_of(value, key)


def is_safe(*cells: Cell) -> None:
    """Asserts that all that was sent for these cells is text, colours and links to http(s)."""
    for cell in cells:
        sent = [message.content for message in cell.messages if message.kind != "execute_input"]
        for key, text in strings_of([*sent, cell.reply]):
            assert not (found := unsafe_text(text)), (cell.code, key, found)
            if "html" in key:
                assert not (bad := unsafe_html(text)), (cell.code, bad)


def everything(cell: Cell) -> str:
    """All that can be read: rows that may change are drawn, if the program pauses in the midst of them."""
    return "\n".join((cell.stdout, cell.stderr, cell.shown))


def run(kernel: Kernel, code: str, **options: Any) -> Cell:
    """Runs a cell, and waits until its job has ended and been shown."""
    cell = kernel.run(code, **options)
    kernel.ask_until("all(job.done for job in ipyproc.jobs)", 30)
    kernel.until(lambda: "exit 3" in cell.shown or not cell.displays)
    return cell


@pytest.fixture
def hostile(kernel: Kernel) -> Kernel:
    cell = kernel.run(_BEFORE)
    assert cell.status == "ok", cell.error
    return kernel


def test_a_jobs_output_and_status_line_are_text(hostile: Kernel) -> None:
    cell = run(hostile, "start()")
    hostile.until(lambda: everything(cell).count("the end") == 2)
    is_safe(cell)
    shown = everything(cell)
    assert "<script>window.hit = 1</script>" in shown and "\x1b[1;31mred\x1b[0m and" in shown
    assert "\ngood\n" in shown and "\nscript\n" in shown
    assert r"\x1b[31m<script>" in cell.shown and r"\u202e" in cell.shown and r"\xe9" in cell.shown
    assert "&lt;script&gt;" in cell.displays[0].data["text/html"]
    assert hostile.ask("ipyproc.jobs[NAME].stdout == OUTPUT + '\\n'")


def test_a_tail_is_text_with_links_to_pages(hostile: Kernel) -> None:
    hostile.run("%config IPyProc.cell_bytes = 0\n%config IPyProc.tail_lines = 100")
    cell = run(hostile, "job = start()\njob")
    hostile.until(lambda: cell.shown.count("the end") == 2)
    is_safe(cell)
    html = "".join(display.data["text/html"] for display in cell.displays)
    assert html.count('<a href="https://good.example/?a=1&amp;b=2" target="_blank" ') == 2
    assert html.count("<a ") == 2
    hostile.run("%config IPyProc.cell_bytes = 200_000\n%config IPyProc.tail_lines = 15")


def test_the_table_of_jobs_is_text(hostile: Kernel) -> None:
    hostile.run(
        "for number in range(3):\n    await start(f'{NAME}{number}', quiet=True).wait(raise_error=False)"
    )
    hostile.run("await ipyproc.spawn(['printf', NAME], name='last', quiet=True)")
    hostile.run("await ipyproc.spawn(['printf', 'N\\bNA\\bAM\\bME\\bE'], name='bold', quiet=True)")
    cell = hostile.run("%jobs")
    is_safe(cell)
    lines = cell.shown.split("\n")
    assert len(lines) == 6 and lines[5].endswith("  NAME")
    assert lines[1].startswith(r"\x1b[31m<script>")


def test_logs_and_a_job_in_a_list_are_text(hostile: Kernel) -> None:
    hostile.run("job = start(quiet=True)\nawait job.wait(raise_error=False)")
    cell = hostile.run("%logs {job.pid}")
    hostile.until(lambda: "the end" in cell.stdout and "the end" in cell.stderr)
    is_safe(cell, hostile.run("[job]"), hostile.run("print(job, repr(ipyproc.jobs), job.snapshot())"))


def test_worker_groups_are_text(hostile: Kernel) -> None:
    code = "import os, sys\nexec(PROGRAM.replace('sys.exit(3)', ''))\nos._exit(3)"
    cell = hostile.run(
        f"group = ipyproc.fork({code!r}, 2, 0, name=NAME, variables={{'PROGRAM': PROGRAM}})\ngroup"
    )
    hostile.ask_until("group.done", 30)
    hostile.until(lambda: "the end" in everything(cell))
    is_safe(cell, hostile.run("await group"), hostile.run("group"), hostile.run("%jobs"))


def test_benchmarks_are_text(hostile: Kernel) -> None:
    hostile.run(
        "from ipyproc.bench.bench import forkbench\n"
        "from ipyproc.bench.code import Statement\n"
        "seen = NAME.replace('\\udce9', '')\n"
        "statement = Statement(f'pass # {seen}')\n"
        "bench = forkbench(statement, [1], seconds=0.1, name=NAME, shown=f'%forkbench {seen}')"
    )
    result = hostile.run("result = await bench\nresult", timeout=60)
    is_safe(result, hostile.run("bench"), hostile.run("[result]"))
    assert r"\x1b[31m<script>" in result.shown


@pytest.mark.parametrize(
    "code",
    [
        "await job",
        "await job.ready()",
        "%wait {job.pid}",
        "%stop nosuch",
        "ipyproc.jobs['nosuch']",
        "%stop",
        "%send",
        "start(NAME)",
        "start(NAME + '\\nx')",
        "ipyproc.spawn([NAME])",
        "ipyproc.spawn('ls', cwd=NAME)",
        "ipyproc.spawn('ls', ready=NAME + '(')",
        "get_ipython().run_line_magic('spawn', f'--timeout {shlex.quote(NAME)} ls')",
        "get_ipython().run_line_magic('spawn', f'--restart {shlex.quote(NAME)} ls')",
        "get_ipython().run_line_magic('spawn', f'--nosuch{NAME} ls')",
        "get_ipython().run_line_magic('spawn', f'--env {shlex.quote(NAME)}= --cwd {shlex.quote(NAME)} ls')",
        "get_ipython().run_line_magic('fork', NAME)",
        "get_ipython().run_line_magic('jobs', NAME)",
        "get_ipython().run_cell_magic('fork', f'--push {shlex.quote(NAME)}', 'pass')",
        "get_ipython().run_line_magic('wait', shlex.quote(NAME))",
        "get_ipython().run_cell_magic('spawn', '-w', NAME)",
        "ipyproc.fork(f'{NAME} (', 1)",
        "%xmode Verbose\nawait job",
    ],
)
def test_an_error_is_text(hostile: Kernel, code: str) -> None:
    hostile.run("import asyncio, shlex\njob = start(NAME, ready='never')\n")
    hostile.run("busy = ipyproc.spawn('sleep 60', name=NAME + 'busy', quiet=True)\nawait asyncio.sleep(0)")
    hostile.ask_until("job.done")
    if "start(NAME)" == code:
        code = "start(busy.name)"
    cell = hostile.run(code)
    hostile.run("%xmode Context")
    is_safe(cell)
    assert cell.status == "error" and (cell.error or cell.stderr)


def test_a_name_that_cannot_be_typed_is_not_offered(hostile: Kernel) -> None:
    hostile.run("start(quiet=True), start('plain', quiet=True)")
    assert hostile.complete("%stop ") == ["plain"]


def test_a_name_that_is_not_utf_8_breaks_no_message(hostile: Kernel) -> None:
    cell = hostile.run("await ipyproc.spawn(['printf', 'caf\\udce9\\n'], name='caf\\udce9')")
    hostile.until(lambda: "exit 0" in cell.shown and cell.stdout)
    is_safe(cell, hostile.run("%jobs"))
    assert r"caf\xe9: printf" in cell.shown and cell.stdout == "caf\ufffd\n"


def test_a_sequence_that_comes_in_two_messages_is_taken_out(hostile: Kernel) -> None:
    parts = ("a\\033[3", "1mb\\033]0;ti", "tle\\007c")
    script = "; read go; ".join(f"printf '{part}'" for part in parts)
    cell = hostile.run(f"%%spawn --pipes -n cut\n{script}")
    hostile.until(lambda: cell.stdout == "a")
    hostile.run("%send cut go")
    hostile.until(lambda: cell.stdout == "a\x1b[31mb\x1b[0m")
    hostile.run("%send cut go")
    hostile.until(lambda: cell.stdout == "a\x1b[31mb\x1b[0m\x1b[31mc\x1b[0m")


# A variable that is a secret


def test_a_variable_is_taken_by_its_name_and_its_value_shown_nowhere(hostile: Kernel) -> None:
    hostile.run("TOKEN, PORT = 'hush-$HOME-{PORT}', 4711")
    first = hostile.run(
        "%%spawn -w --env TOKEN --env PORT --env MODE=fast\nprintenv TOKEN > token; echo $PORT $MODE"
    )
    hostile.until(lambda: first.stdout == "4711 fast\n")
    assert hostile.ask("__import__('pathlib').Path('token').read_text() == TOKEN + '\\n'")
    hostile.run(
        "def start_in_function():\n    SECRET = 'hush'\n"
        "    job = %spawn -q --env SECRET printenv SECRET > inner\n    return job"
    )
    assert hostile.run("inner = start_in_function()").status == "ok"
    hostile.ask_until("inner.done and __import__('pathlib').Path('inner').read_text() == 'hush\\n'")
    cells = [first, hostile.run("job = %spawn -q -n fails --env TOKEN false")]
    shown = ("await job", "%jobs", "[job, job.snapshot(), job.__dict__]", "%xmode Verbose\nawait job")
    cells += [hostile.run(code) for code in shown]
    for value in (r"'hush\0'", r"'hush\ud800'", "['hush']"):
        hostile.run(f"TOKEN = {value}")
        cells.append(hostile.run("%spawn --env TOKEN false"))
        assert "'TOKEN'" in cells[-1].stderr
    hostile.run("%xmode Context")
    sent = [text for cell in cells for message in cell.messages for _, text in strings_of(message.content)]
    assert not [text for text in sent if "hush" in text]


# Saved files


@pytest.fixture(scope="module")
def saved(_clients_loop: None, tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """A notebook of all views, run by nbclient."""
    directory = tmp_path_factory.mktemp("saved")
    cells = [
        f"%load_ext ipyproc\nimport ipyproc\n{_BEFORE}",
        "get_ipython().run_cell_magic('spawn', '--no-raise-error ' + sys.executable + ' -', PROGRAM)",
        "job = start()",
        "import time\ntime.sleep(0.3)",
        "await job.wait(raise_error=False)",
        "%config IPyProc.batch_bytes = 100\n%config IPyProc.tail_lines = 100\nlate = start(f'{NAME}2')\nNone",
        "while not late.done: time.sleep(0.01)",
        "await late",
        "%wait {late.pid}",
        "%stop nosuch",
        "%jobs",
        "[job]",
        "%logs {job.pid}",
        "print(len(job.output) == 2 * len(OUTPUT) + 2)",
    ]
    node = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(directory / "ipython"))
        options: dict[str, Any] = {"allow_errors": True, "resources": {"metadata": {"path": str(directory)}}}
        NotebookClient(node, timeout=120, **options).execute()
    nbformat.write(node, directory / "saved.ipynb")
    return nbformat.read(directory / "saved.ipynb", as_version=4)


def test_a_notebook_that_a_program_has_run_holds_text(saved: nbformat.NotebookNode) -> None:
    outputs = [cell.outputs for cell in saved.cells]
    for key, text in strings_of(outputs):
        assert not (found := unsafe_text(text)), (key, found)
        if "html" in key:
            assert not unsafe_html(text)
    assert outputs[-1][0].text == "True\n"
    assert sum("the end" in text for _, text in strings_of(outputs)) >= 8
    assert {out.ename for cell in outputs for out in cell if out.output_type == "error"} >= {"JobFailed"}


def test_its_page_has_no_script_no_handler_and_no_link_but_to_pages(saved: nbformat.NotebookNode) -> None:
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(saved)
    tags = frozenset({"pre", "span", "a", "div", "p", "br"})
    found = unsafe_html(page.replace('href="#', 'href="https://this'), tags)
    assert not found
    assert "&lt;script&gt;window.hit = 1&lt;/script&gt;" in page
    assert 'href="https://good.example/?a=1&amp;b=2"' in page
