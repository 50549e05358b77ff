"""A statement to measure, compiled in the kernel so that errors are raised before a fork."""

from __future__ import annotations

import ast
import marshal
from dataclasses import dataclass
from types import CodeType

from ipyproc.errors import WorkerCodeError
from ipyproc.job.source import no_python

__all__ = ["Statement"]

_LOOP = """
def forkbench(_repetition, _now):
    for _turns in _repetition:
        _begun = _now()
        for _turn in _turns:
            pass
        _repetition.took(_now() - _begun)
"""


@dataclass(frozen=True)
class Statement:
    """A statement to measure.

    Attributes:
        source: the statement, of one line or several.
        setup: code that each worker runs once, before.
        cell: the name in tracebacks of the cell that has the setup on its first line and the statement in its
            body; None if it comes from a line.
    """

    source: str
    setup: str = ""
    cell: str | None = None

    @property
    def filename(self) -> str:
        """Its name in tracebacks."""
        return self.cell or "<forkbench>"

    @property
    def text(self) -> str:
        """The setup line, if there is one, and the statement below it."""
        return f"{self._above}{self.source}"

    def compiled(self) -> bytes:
        """Return the loop around the statement for `ipyproc.bench.worker.Repetition`, in marshal's format.

        The setup is part of the loop's function, so that its names are local, as with ``%timeit``.

        Raises:
            WorkerCodeError: the statement is empty, or not valid Python.
        """
        setup, body = (
            self._parsed(self.setup),
            self._parsed("\n" * self._above.count("\n") + self.source),
        )
        if not body:
            raise WorkerCodeError("There is no statement to measure; put one into the cell's body.")
        tree = ast.parse(_LOOP)
        function = tree.body[0]
        assert isinstance(function, ast.FunctionDef)
        rounds = function.body[0]
        assert isinstance(rounds, ast.For)
        turns = rounds.body[1]
        assert isinstance(turns, ast.For)
        turns.body = body
        function.body[:0] = setup
        try:
            code: CodeType = compile(tree, self.filename, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise self._no_python(error) from None
        return marshal.dumps(code)

    @property
    def _above(self) -> str:
        return f"{self.setup}\n" if self.setup or self.cell else ""

    def _parsed(self, source: str) -> list[ast.stmt]:
        """Return the statements of code that is valid as a module."""
        try:
            compile(source, self.filename, "exec", dont_inherit=True)
            return ast.parse(source, self.filename).body
        except (SyntaxError, ValueError) as error:
            raise self._no_python(error) from None

    def _no_python(self, error: SyntaxError | ValueError) -> WorkerCodeError:
        return no_python(error, 1 if self.cell else None)
