"""The house: no circle of files, no file that is too long, a room for each file, and each room's tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT

PACKAGE = ROOT / "ipyproc"
LONGEST = 420


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Give the modules of the package that a file imports: in functions, and for type checkers, too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def circle_of(imports: dict[str, set[str]]) -> list[str]:
    """Return modules of which each imports the next, and the last the first; nothing where there are none."""
    done: set[str] = set()
    for start in imports:
        trail: list[str] = []
        branches = [iter([start])]
        while branches:
            module = next(branches[-1], None)
            if module is None:
                branches.pop()
                if trail:
                    done.add(trail.pop())
            elif module in trail:
                return trail[trail.index(module) :]
            elif module not in done:
                trail.append(module)
                branches.append(iter(sorted(imports[module])))
    return []


def test_a_circle_is_found() -> None:
    assert circle_of({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]
    assert circle_of({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_files_import_each_other_in_a_circle_not_even_for_their_types() -> None:
    known = modules()
    # What the package itself imports it imports when it is asked for.
    imports = {
        module: set(imported(path, known)) - {module, "ipyproc"}
        for module, path in known.items()
        if module != "ipyproc"
    }
    assert len(imports) > 100
    assert circle_of(imports) == []


def test_no_file_of_the_package_is_too_long_to_be_read_at_once() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
