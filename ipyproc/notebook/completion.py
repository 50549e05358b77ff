"""Completion after our magics: the names of jobs, and options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipyproc.jobs.table import JobTable

__all__ = ["completions", "matcher"]

_CALL = re.compile(r"(?:^|[=\s])%{1,2}(\w+)\s+((?:.*\s)?)(\S*)$")
_VALUES = {"--restart": ("no", "on-failure", "always")}
_TAKING_JOBS = frozenset({"wait", "stop", "restart", "logs"})


def matcher(
    magics: Mapping[str, Mapping[str, Any]], jobs: JobTable
) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """A matcher for IPython's completer.

    Args:
        magics: those of the shell, by kind and name.
        jobs: the table whose names are completed.
    """

    # IPython's decorator has no types.
    @context_matcher(identifier="ipyproc")  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        found = completions(context.text_until_cursor, magics, (job.name for job in jobs))
        # The token begins later than the word where that has a character such as +, as in g++.
        word = context.text_until_cursor.split(" ")[-1]
        done = len(word) - len(context.token)
        result: Any = {"completions": [SimpleCompletion(text[done:]) for text in found]}
        return result | {"suppress": bool(found)}  # type: ignore[no-any-return, unused-ignore]

    return complete  # type: ignore[no-any-return, unused-ignore]


def completions(line: str, magics: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """What the last word of a line can become; nothing where that is not ours to know."""
    call = _CALL.search(line)
    if not call:
        return []
    magic, before, word = call[1], call[2].split(), call[3]
    if magic in _TAKING_JOBS or (magic == "send" and not before):
        return [name for name in names if name.startswith(word) and " " not in name]
    function = magics["cell" if f"%%{magic}" in line else "line"].get(magic)
    parser = getattr(function, "parser", None)
    if parser is None or not getattr(function, "__module__", "").startswith("ipyproc."):
        return []
    return _options(parser, before, word)


def _options(parser: Any, before: list[str], word: str) -> list[str]:
    """The options of a magic, as long as its command has not begun."""
    takes_value = False
    actions = {name: action for action in parser._actions for name in action.option_strings}
    for given in before:
        if takes_value:
            takes_value = False
        elif given in actions:
            takes_value = actions[given].nargs != 0
        elif not given.startswith("-") or given == "--":
            return []
    if takes_value:
        return [value for value in _VALUES.get(before[-1], ()) if value.startswith(word)]
    return [name for name in actions if name.startswith(word)] if word.startswith("-") else []
