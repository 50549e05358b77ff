"""Names of jobs: those that were given, and those made of the command's program."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ipyproc.errors import JobNameError, JobSpecError
from ipyproc.job.facts import JobFacts
from ipyproc.model.shell import naming_words
from ipyproc.model.text import need_encodable

__all__ = ["FreeNames"]

# Words that a script may begin with, and that would be useless as a job's name.
_SCRIPT_WORDS = {"case", "cd", "export", "for", "function", "if", "set", "source", "until", "while"}


class FreeNames:
    """Finds names for jobs that are about to be started; its owner holds a lock meanwhile.

    Args:
        jobs: the jobs that there are, by name.
    """

    def __init__(self, jobs: Mapping[str, JobFacts]) -> None:
        self._jobs = jobs
        self._last_numbers: dict[str, int] = {}

    def take(self, name: str | None, command: str | tuple[str, ...]) -> str:
        """Return the name for a job.

        Args:
            name: the given name; None for one made of the command.
            command: the command.

        Raises:
            JobSpecError: the name is not a text of one line.
            JobNameError: a job of that name runs, or has left processes running.
        """
        if name is not None:
            if not isinstance(name, str) or not name.strip() or "\n" in name:
                raise JobSpecError(
                    f"The job name {name!r} is not a text of one line; give one such as 'build'."
                )
            need_encodable("The job name", name)
            taken = self._jobs.get(name)
            if taken is not None and not taken.done:
                raise JobNameError(
                    f"A job named {name!r} is running already (pid {taken.pid}); "
                    "stop it, see it by %logs, or give the new one another name."
                )
            if taken is not None and taken.left:
                raise JobNameError(
                    f"A job named {name!r} has ended and left {taken.left} running; "
                    "stop it, or give the new one another name."
                )
            return name
        base = _name_of_program(command)
        # Counting from 1 each time would make each of 20,000 jobs of one program try all names before it.
        number = self._last_numbers.get(base, 0) + 1
        while (candidate := base if number == 1 else f"{base}-{number}") in self._jobs:
            number += 1
        self._last_numbers[base] = number
        return candidate

    def start_over(self) -> None:
        """Number the jobs of each program from the beginning again: some have been forgotten."""
        self._last_numbers.clear()


def _name_of_program(command: str | tuple[str, ...]) -> str:
    """Return a name for a command: the name of its program."""
    if isinstance(command, tuple):
        word = command[0] if command else ""
    else:
        words = [word for word in naming_words(command) if not re.match(r"\w+=", word)]
        word = words[0] if words else ""
    if word in _SCRIPT_WORDS:
        return "script"
    return re.sub(r"[^\w.+-]", "", os.path.basename(word)) or "job"
