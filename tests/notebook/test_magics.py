"""A magic is declared once, in a file of its name; what stands in no second list is tried here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipyproc.notebook
from ipyproc.notebook.magics import VERBS
from ipyproc.notebook.magics.base import Verb, Waiting
from tests.notebook.kernels import Kernel

NOTEBOOK = Path(ipyproc.notebook.__path__[0])
DECLARATIONS = {path.stem for path in (NOTEBOOK / "magics").glob("*.py")} - {"__init__", "base"}


def strings(path: Path) -> Iterator[str]:
    """The strings in a file, those aside that explain it."""
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def test_each_magic_has_a_file_and_each_file_is_in_the_list() -> None:
    assert {verb.name for verb in VERBS} == DECLARATIONS
    assert [verb for verb in VERBS if verb.__module__ != f"ipyproc.notebook.magics.{verb.name}"] == []


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_magic_is_called_by_the_name_that_it_declares(verb: type[Verb]) -> None:
    assert {name for names in verb.magics.values() for name in names} == {verb.name}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_magic_that_waits_when_asked_has_the_options_for_it(verb: type[Verb]) -> None:
    asked = verb.waiting is Waiting.WHEN_ASKED
    assert {option: option in verb.options() for option in ("--wait", "--bg")} == {
        "--wait": asked,
        "--bg": asked,
    }
    assert verb.values.keys() <= verb.options().keys()


@pytest.mark.parametrize("path", sorted(NOTEBOOK.glob("*.py")), ids=lambda path: path.name)
def test_no_other_file_of_the_notebook_names_a_magic(path: Path) -> None:
    named = {sign + verb.name for verb in VERBS for sign in ("%", "%%")}
    assert named & set(strings(path)) == set()
    assert DECLARATIONS & set(strings(path)) == set()


def test_nothing_is_completed_after_a_magic_that_somebody_has_put_in_the_place_of_ours(
    fresh_kernel: Kernel,
) -> None:
    fresh_kernel.run("%spawn -q -n build sleep 60")
    assert fresh_kernel.complete("%wait bu") == ["build"]
    fresh_kernel.run("get_ipython().register_magic_function(lambda line: line, magic_name='wait')")
    assert "build" not in fresh_kernel.complete("%wait bu")
    assert fresh_kernel.complete("%stop bu") == ["build"]
