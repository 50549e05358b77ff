"""What the package says to a user when something cannot be, read from its source."""

from __future__ import annotations

import ast
import builtins
import itertools
import re
from dataclasses import dataclass

from ipyproc import errors
from tests.support import ROOT

__all__ = ["Reader", "Words", "package"]

_SPEAKERS = {
    "ipyproc/errors.py:__str__",
    "ipyproc/job/command.py:explain_start_error",
    "ipyproc/hosts/local/shell.py:explain_exit",
    "ipyproc/hosts/local/ends.py:_no_terminal",
    "ipyproc/hosts/local/start.py:_explained",
    "ipyproc/hosts/local/start.py:_too_long",
    "ipyproc/hosts/local/roster.py:_verdict",
}
"""Functions of which every string is a sentence, or a part of one."""


@dataclass(frozen=True)
class Words:
    """What is said in one place.

    Attributes:
        where: the file and the line.
        text: a sentence or a part of one, with ``{}`` where values come in.
    """

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"

    def are_in(self, sentence: str) -> bool:
        pattern = "(?s:.*)".join(map(re.escape, self.text.split("{}")))
        return re.search(pattern, sentence) is not None


def package() -> list[Reader]:
    """Every module of the package."""
    paths = sorted(ROOT.glob("ipyproc/**/*.py"))
    return [Reader(str(path.relative_to(ROOT)), path.read_text()) for path in paths]


class Reader(ast.NodeVisitor):
    """Reads a module for what it may say to a user.

    Attributes:
        words: what it says.
        wordless: the exceptions that it raises without words in that place.
    """

    def __init__(self, where: str, source: str) -> None:
        self.words: list[Words] = []
        self.wordless: list[str] = []
        self._where = where
        self._strings: dict[str, list[ast.expr]] = {}
        self._speaks = False
        self.visit(ast.parse(source))

    def visit_FunctionDef(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        before = self._strings, self._speaks
        self._speaks = f"{self._where}:{function.name}" in _SPEAKERS
        self._strings = {**self._strings}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                self._strings[name] = [*self._strings.get(name, ()), *strings_of(node.value)]
        for node in function.body[1:] if ast.get_docstring(function) else function.body:
            self.visit(node)
        self._strings, self._speaks = before

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Raise(self, node: ast.Raise) -> None:
        raised = node.exc
        said = raised.args[0] if isinstance(raised, ast.Call) and raised.args else None
        is_new = isinstance(raised, ast.Call) or (isinstance(raised, ast.Name) and is_exception(raised.id))
        if is_new and not (said and any(has_words(text) for text in self._texts(said))):
            self.wordless.append(ast.unparse(raised))
        self.generic_visit(node)

    def visit_Call(self, call: ast.Call) -> None:
        name = ast.unparse(call.func).rpartition(".")[2]
        said = [keyword.value for keyword in call.keywords if keyword.arg == "note"]
        if is_exception(name) or name in ("_error", "_note", "note", "print"):
            said += call.args[:1]
        for value in said:
            self._take(value)
        self.generic_visit(call)

    def visit_JoinedStr(self, string: ast.JoinedStr) -> None:
        if self._speaks:
            self._take(string)

    def visit_Constant(self, string: ast.Constant) -> None:
        if self._speaks and isinstance(string.value, str) and " " in string.value:
            self._take(string)

    def _take(self, value: ast.expr) -> None:
        at = f"{self._where}:{value.lineno}"
        self.words += [Words(at, text) for text in self._texts(value) if has_words(text)]

    def _texts(self, value: ast.expr, inside: tuple[str, ...] = ()) -> list[str]:
        """What an expression may be as text, with each of the strings that stand for a part of it."""
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return [value.value]
        if isinstance(value, ast.IfExp):
            return [*self._texts(value.body, inside), *self._texts(value.orelse, inside)]
        name = ast.unparse(value)
        if not isinstance(value, ast.JoinedStr):
            known = () if name in inside else self._strings.get(name, ())
            return [text for string in known for text in self._texts(string, (*inside, name))] or ["{}"]
        parts = {ast.unparse(part): part for part in value.values}
        choices = [
            self._texts(part.value if isinstance(part, ast.FormattedValue) else part, inside)
            for part in parts.values()
        ]
        # A name stands for the same string throughout.
        chosen = [dict(zip(parts, texts, strict=True)) for texts in itertools.product(*choices)]
        return ["".join(texts[ast.unparse(part)] for part in value.values) for texts in chosen]


def is_exception(name: str) -> bool:
    kind = getattr(builtins, name, None) or getattr(errors, name, None)
    return name.endswith("Error") or (isinstance(kind, type) and issubclass(kind, BaseException))


def has_words(text: str) -> bool:
    return bool(re.search("[A-Za-z]{2}", text))


def strings_of(value: ast.expr) -> list[ast.expr]:
    """The strings that an expression may be."""
    if isinstance(value, ast.IfExp):
        return [*strings_of(value.body), *strings_of(value.orelse)]
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return [value] if is_text or isinstance(value, ast.JoinedStr) else []
