"""Expand ``{expression}`` and ``$name`` in the line of a magic, one by one, if the notebook has a value."""

from __future__ import annotations

import ast
import re
import types
import warnings
from collections.abc import Callable, Mapping

from IPython.core.autocall import IPyAutocall

__all__ = ["expand"]

_SPECIAL = re.compile(r"[\\'${]")
_DOLLAR = re.compile(r"\$(\$?)([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_CONVERSION = re.compile(r"!([rsa])\s*(?=:|$)")
_CONVERSIONS: dict[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}
_MOST_BRACES = 20
# The text of these values is useless to a program, but their names may be its words, as awk's print and next.
_NO_TEXT = (
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType),
    *(type, IPyAutocall),
)


def expand(text: str, names: Mapping[str, object]) -> str:
    """Return a text with variables and expressions replaced by their values; all else stays as written.

    - ``{expression}`` is replaced if it can be evaluated, with ``!r`` and ``:.2f`` as in an f-string. A
      number or a string alone (``a{3}``), and a list of words (``{a,b}``), are left to the shell.
    - ``$name`` and ``$name.attribute`` are replaced, except in single quotes and after a backslash.
    - ``$$name`` becomes the shell's ``$name``, and ``{{expression}}`` becomes ``{expression}``.
    - ``${name}`` is left to the shell, and ``\\{`` and ``\\$`` stay as they are.

    Example::

        assert expand("echo {n:03d} $n $HOME ${n} {1..3}", {"n": 7}) == "echo 007 7 $HOME ${n} {1..3}"

    Args:
        text: one line or several.
        names: the variables; an expression may use Python's built-ins too.
    """
    if "{" not in text and "$" not in text:
        return text
    known = dict(names)
    parts: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            part, position = text[position : position + 2], position + 2
        elif character == "'":
            part, position = _quoted(text, position, known)
        elif text.startswith("${", position):
            end = position + 1 + _run(text, position + 1)
            part, position = text[position:end], end
        elif character == "$":
            part, position = _dollar(text, position, known)
        elif character == "{":
            part, position = _braces(text, position, known)
        else:
            end = found.start() if (found := _SPECIAL.search(text, position)) else len(text)
            part, position = text[position:end], end
        parts.append(part)
    return "".join(parts)


def _quoted(text: str, start: int, names: dict[str, object]) -> tuple[str, int]:
    """Expand text in single quotes on one line: braces only, since dollars are left to the program."""
    end = re.compile(r"'[^'\n]*'").match(text, start)
    if end is None:
        # A single apostrophe.
        return "'", start + 1
    parts, position = ["'"], start + 1
    while position < end.end():
        if text.startswith("${", position):
            stop = position + 1 + _run(text, position + 1)
            part, position = text[position:stop], stop
        elif text[position] == "{":
            part, position = _braces(text, position, names)
        else:
            part, position = text[position], position + 1
        parts.append(part)
    return "".join(parts), position


def _dollar(text: str, start: int, names: dict[str, object]) -> tuple[str, int]:
    found = _DOLLAR.match(text, start)
    if found is None:
        return ("$$", start + 2) if text.startswith("$$", start) else ("$", start + 1)
    if found[1]:
        return f"${found[2]}", found.end()
    name, *attributes = found[2].split(".")
    end = found.start(2) + len(name)
    if name not in names or not name.strip("_"):
        return text[start:end], end
    value = names[name]
    for attribute in attributes:
        # A file's suffix looks like an attribute: $name.txt
        inner = getattr(value, attribute, None)
        if inner is None or isinstance(inner, _NO_TEXT):
            break
        value, end = inner, end + 1 + len(attribute)
    shown = _shown(value, "", "")
    return (text[start:end] if shown is None else shown), end


def _braces(text: str, start: int, names: dict[str, object]) -> tuple[str, int]:
    run = _run(text, start)
    if run > _MOST_BRACES:
        return "{" * run, start + run
    inside = start + run
    end = _closing(text, inside)
    value = None
    if end is not None and text.startswith("}" * run, end):
        value = _value(text[inside:end], names)
    if value is None or end is None:
        return "{", start + 1
    around = run // 2
    if run % 2 == 0:
        value = text[inside:end]
    return "{" * around + value + "}" * around, end + run


def _run(text: str, start: int) -> int:
    end = start
    while text.startswith("{", end):
        end += 1
    return end - start


def _closing(text: str, start: int) -> int | None:
    """Return the position of the brace that ends the expression at ``start``; None if there is none."""
    depth, position = 0, start
    while position < len(text):
        character = text[position]
        if character in "'\"":
            string = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""").match(text, position)
            if string is None:
                return None
            position = string.end()
            continue
        if character == "}" and depth == 0:
            return position
        depth += (character in "([{") - (character in ")]}")
        position += 1
    return None


def _value(inside: str, names: dict[str, object]) -> str | None:
    """Return the text of an expression with its format; None if it could not be evaluated."""
    source, conversion, spec = _split(inside)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval")
            if isinstance(tree.body, (ast.Constant, ast.Tuple)) or _is_signed_number(tree.body):
                return None
            value = eval(compile(tree, "<line of a magic>", "eval"), names)
            if isinstance(tree.body, ast.Name) and callable(value):
                return None
    except Exception:
        return None
    return _shown(value, conversion, expand(spec, names))


def _split(inside: str) -> tuple[str, str, str]:
    """Split a replacement field into expression, conversion and format, as in an f-string."""
    depth, position = 0, 0
    while position < len(inside):
        character = inside[position]
        if character in "'\"":
            position = (
                inside.index(character, position + 1) if character in inside[position + 1 :] else position
            )
        elif depth == 0 and (conversion := _CONVERSION.match(inside, position)):
            return inside[:position].strip(), conversion[1], inside[conversion.end() + 1 :]
        elif depth == 0 and character == ":":
            return inside[:position].strip(), "", inside[position + 1 :]
        depth += (character in "([{") - (character in ")]}")
        position += 1
    return inside.strip(), "", ""


def _is_signed_number(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)


def _shown(value: object, conversion: str, spec: str) -> str | None:
    if isinstance(value, _NO_TEXT):
        return None
    try:
        return format(_CONVERSIONS[conversion](value) if conversion else value, spec)
    except Exception:
        return None
