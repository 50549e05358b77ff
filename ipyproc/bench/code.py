"""A statement to be measured, compiled in the kernel: what is wrong with it is said before a fork."""

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
    """A statement, and where it stands.

    Attributes:
        source: the statement; several lines are as good.
        setup: what each worker does once, before.
        cell: what tracebacks call the cell whose first line is the setup, and whose body the statement;
            None where it is no cell's.
    """

    source: str
    setup: str = ""
    cell: str | None = None

    @property
    def filename(self) -> str:
        """What tracebacks call it."""
        return self.cell or "<forkbench>"

    @property
    def text(self) -> str:
        """The setup, where there is one or there is a line for it, and the statement below it."""
        return f"{self._above}{self.source}"

    def compiled(self) -> bytes:
        """The loop around the statement, as `bench_worker.Repetition` wants it, by marshal.

        The setup stands in the loop's function: its names are local there, as those of ``%timeit``.

        Raises:
            WorkerCodeError: it is empty, or no Python.
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
        """The statements of some code, which would also be a module of its own."""
        try:
            compile(source, self.filename, "exec", dont_inherit=True)
            return ast.parse(source, self.filename).body
        except (SyntaxError, ValueError) as error:
            raise self._no_python(error) from None

    def _no_python(self, error: SyntaxError | ValueError) -> WorkerCodeError:
        return no_python(error, 1 if self.cell else None)
