"""What other packages do not promise is touched in one file a package, and can be done without."""

from __future__ import annotations

import ast
import asyncio
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from tornado.ioloop import IOLoop

import ipyproc
from ipyproc.notebook.private.argparse import options_of
from ipyproc.notebook.private.ipykernel import at_shutdown, exchange_idle_handler
from ipyproc.notebook.private.ipython import cell_name, prompt_runs_loop
from ipyproc.notebook.private.tornado import io_loop_around
from tests.notebook.kernels import Kernel

PACKAGE = Path(ipyproc.__path__[0])
FILES = [
    path
    for room in ("notebook", "views")
    for path in sorted((PACKAGE / room).rglob("*.py"))
    if path.parent.name != "private"
]
UNPROMISED = {
    *("saved_sigint_handler", "iopub_socket", "get_parent", "do_shutdown"),
    *("input_hist_parsed", "active_eventloop", "simple_prompt", "async_helpers", "get_asyncio_loop"),
}


def private_names(path: Path) -> Iterator[str]:
    """The private names of others in a file, and those that nobody promises."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            name, owner = node.attr, ast.unparse(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # As in getattr(it, "_name").
            name, owner = node.value, "its text"
        else:
            continue
        own = owner in ("self", "cls", "super()") or name in ("_",)
        is_private = name.isidentifier() and name.startswith("_") and not name.startswith("__")
        if name in UNPROMISED or (is_private and not own):
            yield f"{owner}.{name}"


def slots(path: Path) -> set[str]:
    """The names that a file's classes declare as their own."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
            found |= {f"its text.{it.value}" for it in ast.walk(node.value) if isinstance(it, ast.Constant)}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_other_file_touches_what_is_private_elsewhere(path: Path) -> None:
    assert set(private_names(path)) - slots(path) == set()


def test_what_a_kernel_without_topics_publishes_arrives(kernel: Kernel) -> None:
    cell = kernel.run(
        "from types import SimpleNamespace\n"
        "from ipyproc.notebook.private.ipykernel import publish\n"
        "own = get_ipython().kernel\n"
        "bare = SimpleNamespace(session=own.session, iopub_socket=own.iopub_socket)\n"
        "publish(bare, 'stream', {'name': 'stdout', 'text': 'hello'}, own.get_parent('shell'))\n"
    )
    kernel.until(lambda: cell.stdout == "hello")


def test_without_the_list_of_widgets_the_cell_takes_the_output(kernel: Kernel) -> None:
    cell = kernel.run(
        "import ipywidgets\n"
        "module = ipywidgets.widgets.widget\n"
        "with ipywidgets.Output():\n"
        "    held, module._instances = module._instances, None\n"
        "    ipyproc.spawn('echo within')\n"
        "    module._instances = held\n"
    )
    kernel.until(lambda: "exit 0" in cell.shown and cell.stdout == "within\n")


def test_a_kernel_with_no_handler_of_its_own_is_given_none() -> None:
    kernel = SimpleNamespace()
    exchange_idle_handler(kernel, signal.SIG_IGN, signal.SIG_DFL)
    assert vars(kernel) == {}


def test_a_kernel_that_cannot_be_shut_down_is_left_as_it_is() -> None:
    kernel = SimpleNamespace()
    at_shutdown(kernel, lambda: None)()
    assert vars(kernel) == {}


def test_without_the_lines_that_were_parsed_a_cell_has_the_number_of_its_execution() -> None:
    assert cell_name(SimpleNamespace(history_manager=None, execution_count=7)) == "In[7]"
    assert not prompt_runs_loop(SimpleNamespace())


def test_a_loop_that_does_not_run_is_found_again_and_without_tornados_list_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(asyncio.new_event_loop()) as loop:
        io_loop = io_loop_around(loop)
        assert io_loop_around(loop) is io_loop
        with monkeypatch.context() as patch:
            patch.setattr(IOLoop, "_ioloop_for_asyncio", {})
            assert io_loop_around(loop) is not io_loop
        io_loop.close()


def test_a_parser_that_cannot_be_asked_has_no_options() -> None:
    assert options_of(SimpleNamespace()) == {}
