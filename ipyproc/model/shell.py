"""The shell of a command, and the word that names the job."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from ipyproc.errors import JobSpecError
from ipyproc.model.text import need_encodable

__all__ = ["ShellChoice", "naming_words"]


@dataclass(frozen=True)
class ShellChoice:
    """The shell that runs a string command.

    Attributes:
        program: the shell and its options, such as ``bash``, ``/bin/zsh``, ``bash -x``; None for ``$SHELL``.
        login: whether it is a login shell, which reads the profile first.
        strict: whether it runs under ``set -euo pipefail``.

    Raises:
        JobSpecError: the program is not a string, is empty, or has an unclosed quote.
    """

    program: str | None = None
    login: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.program is None:
            return
        if not isinstance(self.program, str) or not self.words:
            raise JobSpecError(f"The shell {self.program!r} is not a program; give one such as 'bash'.")
        need_encodable("The shell", self.program)

    @property
    def words(self) -> list[str]:
        """The program and its options; empty if none was given, or if its quotes are not closed."""
        try:
            return shlex.split(self.program or "")
        except ValueError:
            return []

    @property
    def is_given(self) -> bool:
        """True if a shell or an option was given."""
        return self != _AS_USUAL


_AS_USUAL = ShellChoice()


def naming_words(command: str) -> list[str]:
    """Return the words of a command, or of a script's ``#!`` line; the first names the job."""
    if not command.startswith("#!"):
        return command.split()
    words = command.partition("\n")[0][2:].split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
    return words
