"""The transformations of cells before they run: line splitting, cell magics without a body, awaits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ipyproc.notebook.foreground import with_awaits
from ipyproc.notebook.lines import as_python_has_them
from ipyproc.notebook.magics.base import Verb, by_call

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipyproc.notebook.foreground import Kind

__all__ = ["RunningCells", "transform_cells"]

Transformer = Callable[[list[str]], list[str]]


class RunningCells:
    """The threads that run a cell now."""

    def __init__(self) -> None:
        self._cells: dict[int, int] = {}

    @property
    def runs_here(self) -> bool:
        """True if a cell runs in this thread."""
        return threading.get_ident() in self._cells

    def begins(self, _info: object = None) -> None:
        """Record that a cell begins in this thread."""
        own = threading.get_ident()
        self._cells[own] = self._cells.get(own, 0) + 1

    def ends(self, _result: object = None) -> None:
        """Record that a cell ends in this thread."""
        own = threading.get_ident()
        left = self._cells.pop(own, 1) - 1
        if left > 0:
            self._cells[own] = left


def transform_cells(
    shell: InteractiveShell, verbs: Sequence[Verb], cells: RunningCells, undo: ExitStack, *, in_terminal: bool
) -> None:
    """Add ipyproc's transformers to a shell.

    Args:
        shell: the shell.
        verbs: ipyproc's magics.
        cells: the cells that run.
        undo: the stack that gets the callbacks to remove the transformers.
        in_terminal: whether the shell is a terminal's, so that no front end asks if a cell is complete.
    """
    calls = by_call(verbs)
    alone = {f"%%{verb.name}": verb for verb in verbs if verb.may_stand_alone}

    def waits(kind: Kind, name: str, arguments: list[str]) -> bool:
        # Code that a running cell transforms, as %%time and %run do, is not run as a coroutine.
        verb = None if cells.runs_here else calls.get((kind, name))
        return verb is not None and verb.waits(kind, arguments)

    def whole_cell(lines: list[str]) -> list[str]:
        """Add a body to ``%%spawn ls -la`` alone, since IPython refuses a cell magic without one."""
        whole = _with_body(lines, alone)
        magic, _, line = whole[0].rstrip().partition(" ") if whole is not lines else ("", "", "")
        verb = alone.get(magic)
        return whole if verb and verb.stands_alone(line) and not line.endswith("\\") else lines

    cleanup = shell.input_transformers_cleanup
    _insert(cleanup, 0, whole_cell, undo)
    if not in_terminal:
        _insert(cleanup, 0, _only_executed(lambda lines: _with_body(lines, alone)), undo)
    # IPython splits the cell at other characters both before the first of these and in one between.
    _insert(cleanup, 0, as_python_has_them, undo)
    _insert(cleanup, len(cleanup), as_python_has_them, undo)
    _insert(shell.input_transformers_post, 0, lambda lines: with_awaits(lines, waits), undo)


def _insert(transformers: list[Transformer], at: int, transformer: Transformer, undo: ExitStack) -> None:
    transformers.insert(at, transformer)
    undo.callback(transformers.remove, transformer)


def _with_body(lines: list[str], magics: Collection[str]) -> list[str]:
    first, rest = _split(lines)
    if first.rstrip().partition(" ")[0] not in magics or "".join(rest).strip():
        return lines
    return [first.rstrip("\n") + "\n", "\n"]


def _split(lines: list[str]) -> tuple[str, list[str]]:
    for number, line in enumerate(lines):
        if line.strip():
            return line, lines[number + 1 :]
    return "", []


def _only_executed(transformer: Transformer) -> Transformer:
    """Mark a transformer so that IPython skips it when it checks whether a cell is complete.

    After ``%%spawn --name x`` and Enter, a console then asks for the body, as it does for ``%%bash``.
    """
    transformer.has_side_effects = True  # type: ignore[attr-defined]
    return transformer
