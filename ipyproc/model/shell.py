"""Which shell a command is for, and what it is named after."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from ipyproc.errors import JobSpecError
from ipyproc.model.text import need_encodable

__all__ = ["ShellChoice", "naming_words"]


@dataclass(frozen=True)
class ShellChoice:
    """Which shell a string command goes to, and how it is called.

    Attributes:
        program: a shell, as one writes it: ``bash``, ``/bin/zsh``, ``bash -x``; None for ``$SHELL``.
        login: whether it is a login shell, which reads the profile first.
        strict: whether it runs under ``set -euo pipefail``.

    Raises:
        JobSpecError: the program is no text, or empty, or its quotes are not closed.
    """

    program: str | None = None
    login: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.program is None:
            return
        if not isinstance(self.program, str) or not self.words:
            raise JobSpecError(f"The shell {self.program!r} is no program; give one such as 'bash'.")
        need_encodable("The shell", self.program)

    @property
    def words(self) -> list[str]:
        """The program and its arguments; nothing where none was given, or it cannot be read."""
        try:
            return shlex.split(self.program or "")
        except ValueError:
            return []

    @property
    def is_given(self) -> bool:
        """Whether anything was asked for."""
        return self != _AS_USUAL


_AS_USUAL = ShellChoice()


def naming_words(command: str) -> list[str]:
    """The words of a command of which the first names it: for a script, from its interpreter on."""
    if not command.startswith("#!"):
        return command.split()
    words = command.partition("\n")[0][2:].split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
    return words
