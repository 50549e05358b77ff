"""From a magic's line to its options and its command."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from IPython.core.error import UsageError

from ipyproc.safe import line as one_line

__all__ = ["parse", "parser_of", "pick"]

_WORD = re.compile(r"""\s*((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*'|["'])+)""", re.DOTALL)

_BELOW_ZERO = re.compile(r"-\d")


def parser_of(magic: Callable[..., Any]) -> argparse.ArgumentParser:
    """The parser that ``magic_arguments`` made for a magic."""
    parser: argparse.ArgumentParser = magic.parser  # type: ignore[attr-defined]
    return parser


def parse(magic: Callable[..., Any], line: str, sign: str = "%") -> tuple[argparse.Namespace, str]:
    """The options at the beginning of a line, and the rest of it, as it stands.

    The rest is the shell's: it is neither split nor unquoted. The options are not to be changed: who
    asks for the same line again, as for each step of a cell on its way to its magic, is given the same.

    Raises:
        UsageError: an option that is unknown, or has a value that cannot be; in one sentence.
    """
    return _parsed(parser_of(magic), line, sign)


@lru_cache(maxsize=8)
def _parsed(parser: argparse.ArgumentParser, line: str, sign: str) -> tuple[argparse.Namespace, str]:
    name = sign + parser.prog
    taking = {option: action.nargs != 0 for action in parser._actions for option in action.option_strings}
    position = 0
    while match := _WORD.match(line, position):
        word = match[1]
        if word == "--":
            options, rest = line[:position], line[match.end() :]
            break
        if not word.startswith("-") or word == "-":
            options, rest = line[:position], line[position:]
            break
        position = match.end()
        known = word.split("=", 1)[0]
        if known not in taking and not (word[:2] in taking and not word.startswith("--")):
            raise UsageError(
                f"{name} has no option {known!r}; its options are {', '.join(_names(parser))} (see {name}?)."
            )
        if taking.get(word):
            value = _WORD.match(line, position)
            if value and _BELOW_ZERO.match(value[1]):
                # Whoever gives a list that begins below 0 means no option, as argparse would think.
                line = f"{line[:position]}={line[value.start(1) :]}"
                value = _WORD.match(line, position)
            position = value.end() if value else position
    else:
        options, rest = line, ""
    try:
        found = parser.parse_args(shlex.split(options))
    except UsageError as error:
        raise UsageError(f"{name}: {one_line(str(error))} (see {name}?).") from None
    except ValueError as error:
        raise UsageError(
            f"{name}: the options {options.strip()!r} cannot be read ({error}); close each quote."
        ) from None
    return found, rest.strip()


def pick(line: str) -> tuple[str, str]:
    """The first word of a line, unquoted, and the rest."""
    match = _WORD.match(line)
    if not match:
        return "", ""
    word = match[1]
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        word = word[1:-1]
    return word, line[match.end() :].strip()


def _names(parser: argparse.ArgumentParser) -> list[str]:
    return [action.option_strings[-1] for action in parser._actions if action.option_strings]
