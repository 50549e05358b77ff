"""Parse a magic's line into its options and its command."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from signal import Signals
from typing import Any

from IPython.core.error import UsageError

from ipyproc.model.text import encoded
from ipyproc.notebook.private.argparse import options_of
from ipyproc.safe import line as one_line

__all__ = [
    "after_first",
    "asked_for",
    "cpus",
    "environment",
    "mask",
    "parse",
    "parse_anywhere",
    "parser_of",
    "pick",
    "pushed",
    "signal_of",
]

_WORD = re.compile(r"""\s*((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*'|["'])+)""", re.DOTALL)

# Before expansion, a word may contain {an expression}.
_RAW_WORD = re.compile(_WORD.pattern.replace("((?:", r"((?:\{[^{}\n]*\}|", 1), re.DOTALL)

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_BELOW_ZERO = re.compile(r"-\d")


def parser_of(magic: Callable[..., Any]) -> argparse.ArgumentParser:
    """Return the parser that ``magic_arguments`` made for a magic."""
    parser: argparse.ArgumentParser = magic.parser  # type: ignore[attr-defined]
    return parser


def parse(magic: Callable[..., Any], line: str, sign: str = "%") -> tuple[argparse.Namespace, str]:
    """Return the options at the beginning of a line, and the rest of the line as it stands.

    The rest is for the shell: it is neither split nor unquoted. Do not change the options: the result is
    cached, since each step from the cell to its magic parses the same line.

    Raises:
        UsageError: an option is unknown, or has an invalid value.
    """
    return _parsed(parser_of(magic), line, sign)


def parse_anywhere(
    magic: Callable[..., Any], line: str, is_word: Callable[[str], bool]
) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of a line, which may stand anywhere, and its other words, unquoted.

    Args:
        magic: the magic.
        line: its line.
        is_word: returns True for a word that is not an option, though it begins with ``-``.

    Raises:
        UsageError: an option is unknown, or has an invalid value.
    """
    parser, options, words = parser_of(magic), "", []
    while line.strip():
        word, rest = pick(line)
        if word == "--":
            line = rest
            while line.strip():
                word, line = pick(line)
                words.append(word)
        elif not word.startswith("-") or word == "-" or is_word(word):
            words.append(word)
            line = rest
        else:
            given, line = _cut(parser, line, "%", most=1)
            options += f" {given}"
    return _values(parser, options, "%"), words


@lru_cache(maxsize=8)
def _parsed(parser: argparse.ArgumentParser, line: str, sign: str) -> tuple[argparse.Namespace, str]:
    options, rest = _cut(parser, line, sign)
    return _values(parser, options, sign), rest.strip()


def _cut(parser: argparse.ArgumentParser, line: str, sign: str, most: int = sys.maxsize) -> tuple[str, str]:
    """Return the options at the beginning of a line, ``most`` at most, and the rest of the line."""
    name = sign + parser.prog
    taking = {option: action.nargs != 0 for option, action in options_of(parser).items()}
    position = 0
    while most and (match := _WORD.match(line, position)):
        word = match[1]
        if word == "--":
            return line[:position], line[match.end() :]
        if not word.startswith("-") or word == "-":
            break
        most -= 1
        position = match.end()
        known = word.split("=", 1)[0]
        if known not in taking and not (word[:2] in taking and not word.startswith("--")):
            close = get_close_matches(known, _names(parser), 1, 0.75)
            meant = f"write {close[0]}, or see" if close else "see"
            raise UsageError(f"{name} has no option {known!r}; {meant} {name}? for all of them.")
        if taking.get(word):
            value = _WORD.match(line, position)
            if value and _BELOW_ZERO.match(value[1]):
                # argparse would read a list that begins with a negative number as an option.
                line = f"{line[:position]}={line[value.start(1) :]}"
                value = _WORD.match(line, position)
            position = value.end() if value else position
    return line[:position], line[position:]


def _values(parser: argparse.ArgumentParser, options: str, sign: str) -> argparse.Namespace:
    name = sign + parser.prog
    try:
        found: argparse.Namespace = parser.parse_args(shlex.split(options))
    except UsageError as error:
        raise UsageError(f"{name}: {one_line(str(error))} (see {name}?).") from None
    except ValueError as error:
        raise UsageError(
            f"{name}: the options {options.strip()!r} could not be parsed ({error}); close each quote."
        ) from None
    return found


def asked_for(magic: Callable[..., Any], line: str) -> tuple[frozenset[str], str]:
    """Return the long names of the options of a line that is not yet expanded, and the rest of the line.

    Values are not parsed, since they may come from variables. An unknown option ends the options.
    """
    actions = options_of(parser_of(magic))
    found: set[str] = set()
    position = 0
    while (match := _RAW_WORD.match(line, position)) and len(word := match[1]) > 1 and word[0] == "-":
        if word == "--":
            position = match.end()
            break
        # -wq is -w and -q; -nbuild is -n with a value.
        given = [word.partition("=")[0]] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]
        if given[0] not in actions:
            break
        position = match.end()
        for option in given:
            if option not in actions:
                break
            found.add(actions[option].option_strings[-1])
            if actions[option].nargs != 0:
                if word in actions and (value := _RAW_WORD.match(line, position)):
                    position = value.end()
                break
    return frozenset(found), line[position:].strip()


def mask(text: str) -> int:
    """Return the value of ``--umask 077``."""
    try:
        return int(text, 8)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an octal number; give one such as 077") from None


def cpus(text: str) -> frozenset[int]:
    """Return the value of ``--affinity 0,2-3``."""
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), min(int(last or first), 1 << 16) + 1))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of CPUs; give one such as 0,2-3") from None
    return frozenset(found)


def signal_of(text: str) -> int:
    """Return the signal that ``--stop-signal`` names, such as ``TERM``, ``SIGTERM`` or ``15``."""
    name = text.upper().removeprefix("SIG")
    try:
        return Signals(int(name)) if name.isdecimal() else Signals["SIG" + name]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a signal; give one such as TERM or INT") from None


def environment(
    pairs: list[str], unset: list[str], before: Callable[[], Mapping[bytes, bytes]]
) -> dict[str, str | None]:
    """Return the changes of ``--env NAME=value`` and ``--unset NAME``; None removes a variable.

    In a value, ``$NAME`` and ``${NAME}`` are replaced from the job's environment, as in ``PATH=/x:$PATH``.

    Args:
        pairs: the value of each ``--env``.
        unset: the value of each ``--unset``.
        before: returns the environment to change; called if a value has a ``$``.

    Raises:
        UsageError: a value of ``--env`` is not of the form NAME=value.
    """
    changes: dict[str, str | None] = dict.fromkeys(unset)
    known = before() if any("$" in pair for pair in pairs) else {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UsageError(
                f"The option --env {pair!r} is not of the form NAME=value; write --env MODE=fast."
            )
        changes[key] = _VARIABLE.sub(
            lambda found: os.fsdecode(known.get(encoded(found[1] or found[2]), encoded(found[0]))), value
        )
    return changes


def pushed(given: list[str] | None, names: Mapping[str, object], magic: str) -> dict[str, object]:
    """Return the variables of the notebook that ``--push a,b`` names.

    Args:
        given: the value of each ``--push``; None if there is none.
        names: the variables of the notebook.
        magic: the magic with its sign, for the error.

    Raises:
        UsageError: no such variable exists.
    """
    wanted = [name.strip() for part in given or () for name in part.split(",") if name.strip()]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UsageError(
            f"{magic}: there is no variable {missing[0]!r} to push; assign it in a cell first, "
            "or check its spelling."
        )
    return {name: names[name] for name in wanted}


def pick(line: str) -> tuple[str, str]:
    """Return the first word of a line, unquoted, and the rest."""
    match = _WORD.match(line)
    if not match:
        return "", ""
    word = match[1]
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        word = word[1:-1]
    return word, line[match.end() :].strip()


def after_first(line: str) -> str:
    """Return what follows the first word of a line and the one space after it, as it stands."""
    match = _WORD.match(line)
    return line[match.end() :][1:] if match else ""


def _names(parser: argparse.ArgumentParser) -> list[str]:
    # The long name of each option, in the order of declaration.
    return list(dict.fromkeys(action.option_strings[-1] for action in options_of(parser).values()))
