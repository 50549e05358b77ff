"""The public face: what `ipyproc` has, lazily, and that every type that a user is given is among it."""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType

import pytest

import ipyproc
import ipyproc.errors
from ipyproc.job.table import JobTable
from tests.support import run_python

CLASSES = [value for name in ipyproc.__all__ if inspect.isclass(value := getattr(ipyproc, name))]
FUNCTIONS = [value for name in ipyproc.__all__ if inspect.isroutine(value := getattr(ipyproc, name))]


def test_a_star_import_gives_exactly_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from ipyproc import *", names)
    del names["__builtins__"]
    assert sorted(names) == sorted(ipyproc.__all__)
    assert list(ipyproc.__all__) == sorted(set(ipyproc.__all__))
    assert set(ipyproc.__all__) <= set(dir(ipyproc))


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    run_python(
        "-c",
        "import sys, ipyproc\n"
        "assert [name for name in sys.modules if name.startswith('ipyproc.')] == []\n"
        "ipyproc.JobFailed\n"
        "assert not {'ipyproc.job', 'ipyproc.bench', 'tornado'} & sys.modules.keys()\n",
    )


@pytest.mark.parametrize("name", ipyproc.__all__)
def test_each_public_name_has_a_docstring_of_its_own(name: str) -> None:
    value = getattr(ipyproc, name)
    documented = value if callable(value) else type(value)
    assert "__doc__" in vars(documented) if inspect.isclass(documented) else documented.__doc__
    # A dataclass without one is given its signature.
    assert documented.__doc__ and not documented.__doc__.startswith(f"{documented.__name__}(")


def test_every_error_is_public() -> None:
    errors = {name for name in ipyproc.errors.__all__ if inspect.isclass(getattr(ipyproc.errors, name))}
    assert errors <= set(ipyproc.__all__)


def test_every_type_in_a_public_signature_is_public() -> None:
    found = {
        (kind, f"{owner}.{name}")
        for owner, name, hint in _public_hints()
        for kind in _types_in(hint)
        if kind.__module__.partition(".")[0] == "ipyproc" and kind not in CLASSES
    }
    assert found == set()


def test_the_walk_over_signatures_sees_methods_properties_attributes_and_functions() -> None:
    seen = {(owner, name) for owner, name, _ in _public_hints()}
    assert {
        ("Job", "wait"),
        ("Job", "state"),
        ("WorkerGroup", "hosted"),
        ("Snapshot", "exits"),
        ("ipyproc", "spawn"),
    } <= seen


@pytest.mark.parametrize("statement", ["", "import ipyproc.job", "import ipyproc.job.table"])
@pytest.mark.parametrize("first", ["import ipyproc", "import ipyproc; ipyproc.jobs"])
def test_jobs_is_a_table_whatever_is_imported_besides(first: str, statement: str) -> None:
    run_python(
        "-c",
        f"{first}\n{statement}\n"
        "from ipyproc import JobTable, jobs\n"
        "assert type(jobs) is type(ipyproc.jobs) is JobTable and jobs is ipyproc.jobs\n",
    )
    assert type(ipyproc.jobs) is JobTable


def _public_hints() -> Iterator[tuple[str, str, object]]:
    """Yield every hint of what is public: the owner, the name, the hint."""
    for function in FUNCTIONS:
        for hint in _hints_of(function, sys.modules[function.__module__]).values():
            yield "ipyproc", function.__name__, hint
    for public in CLASSES:
        for owner in public.__mro__:
            if owner.__module__.partition(".")[0] == "ipyproc":
                yield from ((public.__name__, name, hint) for name, hint in _hints_in(owner))


def _hints_in(owner: type) -> Iterator[tuple[str, object]]:
    module = sys.modules[owner.__module__]
    for name, hint in _hints_of(owner, module).items():
        if not name.startswith("_"):
            yield name, hint
    for name, member in vars(owner).items():
        called = member.fget if isinstance(member, property) else member
        if isinstance(called, (classmethod, staticmethod)):
            called = called.__func__
        if isinstance(called, FunctionType) and (not name.startswith("_") or name == "__await__"):
            for hint in _hints_of(called, module).values():
                yield name, hint


def _hints_of(annotated: type | Callable[..., object], module: ModuleType) -> dict[str, object]:
    # Those of a class alone: its bases may stand in other modules, with other names.
    names = {**vars(module), **_imported_for_types(module)}
    return inspect.get_annotations(annotated, globals=names, eval_str=True)


def _imported_for_types(module: ModuleType) -> dict[str, object]:
    """Return what a module imports for type checkers alone."""
    names: dict[str, object] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), "<hints>", "exec"), names)
    return names


def _types_in(hint: object) -> Iterator[type]:
    if inspect.isclass(hint) and not typing.get_args(hint):
        yield hint
    elif isinstance(hint, typing.TypeVar):
        yield from _types_in(hint.__bound__)
    elif isinstance(hint, (list, tuple)):
        for part in hint:
            yield from _types_in(part)
    else:
        for part in typing.get_args(hint):
            yield from _types_in(part)
