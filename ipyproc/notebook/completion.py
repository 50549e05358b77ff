"""Completion after ipyproc's magics: names of jobs, and options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ipyproc import safe
from ipyproc.notebook.foreground import Kind
from ipyproc.notebook.magics.base import SIGNS, JobNames, Verb, by_call
from ipyproc.notebook.options import pick
from ipyproc.notebook.selection import is_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from ipyproc.job.table import JobTable

__all__ = ["completions", "matcher"]

_CALL = re.compile(r"(?:^|[=\s])(%{1,2})(\w+)\s+(.*)$")
_KINDS: Mapping[str, Kind] = {sign: kind for kind, sign in SIGNS.items()}
_QUOTES = ('"', "'")
Verbs = Mapping[tuple[Kind, str], type[Verb]]
"""The classes of magics, by kind and name."""


def matcher(
    registered: Mapping[str, Mapping[str, Any]], verbs: Iterable[Verb], jobs: JobTable
) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """Return a matcher for IPython's completer.

    Args:
        registered: the functions of the shell's magics, by kind and name.
        verbs: ipyproc's magics; one that another function has replaced is not completed.
        jobs: the table of jobs, whose names are completed.

    Raises:
        ImportError: IPython is older than 8.6, which has no such matchers.
    """
    from IPython.core.completer import SimpleCompletion, context_matcher

    # IPython's decorator has no types.
    @context_matcher(identifier="ipyproc")  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        line, after = context.text_until_cursor, context.line_with_cursor[context.cursor_position :]
        word = _last_word(line)
        quote = word[0] if word.startswith(_QUOTES) else ""
        # Names with invisible characters are left out: a user cannot type them.
        names = [job.name for job in jobs if safe.line(job.name) == job.name]
        ours = {
            (kind, name): type(verb)
            for (kind, name), verb in by_call(verbs).items()
            if registered[kind].get(name) == getattr(verb, name)
        }
        found = completions(line, ours, [_as_word(name, quote) for name in names])
        if quote and after.startswith(quote):
            # The editor has already closed the quote.
            found = [text.removesuffix(quote) for text in found]
        if found and is_pattern(word):
            # The names replace the pattern, so this is not what IPython's token becomes.
            result: Any = {"matched_fragment": word}
            done = 0
        else:
            # IPython's token begins later than the word if that has a character such as +, as in g++.
            result, done = {}, len(word) - len(context.token)
        result |= {"completions": [SimpleCompletion(text[done:]) for text in found]}
        return result | {"suppress": bool(found)}  # type: ignore[no-any-return, unused-ignore]

    return complete  # type: ignore[no-any-return, unused-ignore]


def completions(line: str, verbs: Verbs, names: Iterable[str]) -> list[str]:
    """Return the completions of the last word of a line; empty if the line calls none of the magics.

    Args:
        line: the line up to the cursor.
        verbs: the magics to complete after.
        names: the names of the jobs, quoted if needed; a name that reads as several words is left out.
    """
    call = _CALL.search(line)
    if not call:
        return []
    verb = verbs.get((_KINDS[call[1]], call[2]))
    if verb is None:
        return []
    word = _last_word(call[3])
    before = _words(call[3].removesuffix(word))
    if verb.job_names is JobNames.ALL:
        # Their options may stand between the names.
        takes_value = _takes_value(verb, before)
        wants_name = not takes_value and not word.startswith("-")
        options = before[-1:] if takes_value else []
    else:
        named = [given for given in before if given not in verb.options()]
        wants_name = verb.job_names is JobNames.FIRST and not named and not word.startswith("-")
        options = before
    if wants_name:
        possible = ((name, *pick(name)) for name in names if name.startswith(word) or _matches(name, word))
        return [written for written, name, more in possible if not more and name not in before]
    return _options(verb, options, word)


def _takes_value(verb: type[Verb], before: list[str]) -> bool:
    action = verb.options().get(before[-1]) if before else None
    return action is not None and action.nargs != 0


def _matches(name: str, word: str) -> bool:
    return is_pattern(word) and fnmatchcase(pick(name)[0], word.strip("\"'"))


def _last_word(line: str) -> str:
    """Return the word at the end of a line, with its opening quote if that is not closed."""
    for quote in _QUOTES:
        if line.count(quote) % 2:
            return line[line.rindex(quote) :]
    return re.split(r"\s", line)[-1]


def _words(line: str) -> list[str]:
    words = []
    while line.strip():
        word, line = pick(line)
        words.append(word)
    return words


def _as_word(name: str, quote: str) -> str:
    """Return a job's name as a word: in the quote that is open, or in quotes if it needs them."""
    for written in (f"{quote}{name}{quote}", f'"{name}"', f"'{name}'"):
        if pick(written) == (name, ""):
            return written
    return name


def _options(verb: type[Verb], before: list[str], word: str) -> list[str]:
    """Return the options, or values of the last option, that ``word`` may become; empty in the command."""
    takes_value = False
    actions = verb.options()
    for given in before:
        if takes_value:
            takes_value = False
        elif given in actions:
            takes_value = actions[given].nargs != 0
        elif not given.startswith("-") or given == "--":
            return []
    if takes_value:
        return [value for value in verb.values.get(before[-1], ()) if value.startswith(word)]
    option, sign, begun = word.partition("=")
    if sign:
        return [option + sign + value for value in verb.values.get(option, ()) if value.startswith(begun)]
    return [name for name in actions if name.startswith(word)] if word.startswith("-") else []
