"""Parse a command as a shell does, as far as to tell a simple command and its program."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["BUILT_INS", "SimpleCommand", "simple_command"]

BUILT_INS = frozenset(
    (
        *("!", ".", ":", "[", "[[", "]]", "alias", "autoload", "bg", "bind", "break", "builtin"),
        *("caller", "case", "cd", "chdir", "command", "compgen", "complete", "compopt", "continue"),
        *("coproc", "declare", "dirs", "disown", "do", "done", "echo", "elif", "else", "enable"),
        *("esac", "eval", "exec", "exit", "export", "false", "fc", "fg", "fi", "for", "foreach"),
        *("function", "getopts", "hash", "help", "history", "if", "in", "jobs", "kill", "let"),
        *("local", "logout", "mapfile", "newgrp", "nocorrect", "noglob", "popd", "printf", "pushd"),
        *("pwd", "read", "readarray", "readonly", "rehash", "repeat", "return", "select", "set"),
        *("setopt", "shift", "shopt", "source", "suspend", "test", "then", "time", "times", "trap"),
        *("true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "unsetopt", "until"),
        *("wait", "whence", "where", "while", "zmodload", "{", "}"),
    )
)
"""The reserved words and the built-ins of the shells in use (POSIX, dash, bash, zsh, busybox)."""

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_OPERATOR = re.compile(r"&>>?|[<>]&|>>|>\||<>|<<<|>|<")
_EXPANSIONS = frozenset("$`*?[~{")


@dataclass(frozen=True)
class SimpleCommand:
    """A simple command: assignments, a program, its arguments and redirections, nothing else.

    Attributes:
        at: the position of the word that names the program.
        program: that word without quotes; None if the shell has to expand it, as in ``$EDITOR x``.
        assigned: the names that are assigned before it.
        redirected: whether it has redirections.
        by_exec: whether ``exec`` stands before the program, so that it is neither built-in nor function.
    """

    at: int
    program: str | None
    assigned: frozenset[str]
    redirected: bool
    by_exec: bool = False


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    value: str | None


def simple_command(text: str) -> SimpleCommand | None:
    """Parse a simple command; return None for a script, a list, a pipeline, or what is unclear.

    Example::

        command = simple_command("LANG=C sort 'my file' > sorted")
        assert command.program == "sort" and command.redirected
    """
    position, redirected, expects_target = 0, False, False
    words: list[_Word] = []
    while (position := _past_blanks(text, position, skip_lines=not words)) < len(text):
        if text[position] in "\n#":
            # Comments and blank lines may follow, but not a second command.
            if re.fullmatch(r"(\s*(#[^\n]*)?(\n|$))*", text[position:]) is None:
                return None
            break
        if (operator := _OPERATOR.match(text, position)) is not None:
            position = operator.end()
            if expects_target or text.startswith(("(", "<"), position):
                return None
            expects_target = redirected = True
            continue
        word = _word(text, position)
        if word is None:
            return None
        position = word.end
        if text[position : position + 1] in ("<", ">") and re.fullmatch(r"\d+|\{\w+\}", _raw(text, word)):
            if not _raw(text, word).isdecimal():
                return None
        elif expects_target:
            expects_target = False
        else:
            words.append(word)
    return None if expects_target else _of_words(text, words, redirected)


def _of_words(text: str, words: list[_Word], redirected: bool) -> SimpleCommand | None:
    assigned: set[str] = set()
    for number, word in enumerate(words, 1):
        if (assignment := _ASSIGNMENT.match(_raw(text, word))) is None:
            by_exec = word.value == "exec" and number < len(words)
            named = words[number] if by_exec else word
            return SimpleCommand(named.start, named.value, frozenset(assigned), redirected, by_exec)
        assigned.add(assignment[0].rstrip("+="))
    return None


def _raw(text: str, word: _Word) -> str:
    return text[word.start : word.end]


def _past_blanks(text: str, position: int, *, skip_lines: bool) -> int:
    blanks = " \t\n" if skip_lines else " \t"
    while position < len(text):
        if text[position] in blanks:
            position += 1
        elif text.startswith("\\\n", position):
            position += 2
        else:
            break
    return position


def _word(text: str, start: int) -> _Word | None:
    """Return the word that begins at ``start``; None if it is an operator, or has an unclosed quote."""
    position, value, literal = start, "", True
    while position < len(text) and text[position] not in " \t\n<>":
        character = text[position]
        if character in ";&|()":
            return None
        if character == "\\":
            if position + 1 == len(text):
                return None
            value += text[position + 1].replace("\n", "")
            position += 2
            continue
        end = _quoted(text, position) if character in "'\"" else _substituted(text, position)
        if end is None:
            return None
        inside = text[position:end]
        if character == "'":
            value += inside[1:-1]
        elif character == '"':
            literal = literal and not re.search(r"[$`\\]", inside)
            value += inside[1:-1]
        else:
            literal = literal and character not in _EXPANSIONS
            value += inside
        position = end
    return _Word(start, position, value if literal else None)


def _quoted(text: str, start: int) -> int | None:
    """Return the position after the quoted text that begins at ``start``; None if it is not closed."""
    quote, position = text[start], start + 1
    while position < len(text):
        if text[position] == quote:
            return position + 1
        if quote == '"' and text[position] == "\\":
            position += 2
        elif quote == '"' and text[position] in "$`":
            end = _substituted(text, position)
            if end is None:
                return None
            position = end
        else:
            position += 1
    return None


def _substituted(text: str, start: int) -> int | None:
    """Return the position after the substitution at ``start``, or after one character if it begins none.

    Return None if the substitution is not closed.
    """
    if text[start] == "`":
        end = re.compile(r"`(?:[^`\\]|\\.)*`", re.DOTALL).match(text, start)
        return end.end() if end else None
    if text.startswith("$'", start):
        end = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL).match(text, start)
        return end.end() if end else None
    for opening, closing in (("$(", ")"), ("${", "}")):
        if text.startswith(opening, start):
            return _balanced(text, start + 1, opening[1], closing)
    return start + 1


def _balanced(text: str, start: int, opening: str, closing: str) -> int | None:
    depth, position = 0, start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        if character in "'\"":
            end = _quoted(text, position)
            if end is None:
                return None
            position = end
            continue
        depth += (character == opening) - (character == closing)
        position += 1
        if depth == 0:
            return position
    return None
