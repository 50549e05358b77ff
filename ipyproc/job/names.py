"""Names of jobs: those that were given, and those made of the command."""

from __future__ import annotations

from collections.abc import Mapping

from ipyproc.errors import JobNameError, JobSpecError
from ipyproc.job.default_names import default_name
from ipyproc.job.facts import JobFacts
from ipyproc.model.text import need_encodable

__all__ = ["FreeNames", "is_default_name"]


class FreeNames:
    """Finds names for jobs that are about to be started; its owner holds a lock meanwhile."""

    def __init__(self) -> None:
        self._last_numbers: dict[str, int] = {}

    def take(
        self, jobs: Mapping[str, JobFacts], name: str | None, command: str | tuple[str, ...]
    ) -> tuple[str, str]:
        """Return the name for a job, and the name that its command makes; that is empty if one was given.

        A name that the command makes is free if the job that has it has ended, and has it of its command
        too; the owner renames that one, to what `numbered` returns.

        Args:
            jobs: the jobs that there are, by name.
            name: the given name; None for one made of the command.
            command: the command.

        Raises:
            JobSpecError: the name is not a text of one line.
            JobNameError: a job of that name runs, or has left processes running.
        """
        if name is None:
            made = default_name(command)
            holder = jobs.get(made)
            is_free = holder is None or (holder.done and not holder.left and holder.made_name == made)
            return (made if is_free else self.numbered(jobs, made)), made
        if not isinstance(name, str) or not name.strip() or "\n" in name:
            raise JobSpecError(f"The job name {name!r} is not a text of one line; give one such as 'build'.")
        need_encodable("The job name", name)
        taken = jobs.get(name)
        if taken is not None and not taken.done:
            raise JobNameError(
                f"A job named {name!r} is running already (pid {taken.pid}); replace it (--replace), "
                "stop it, see it by %logs, or give the new one another name."
            )
        if taken is not None and taken.left:
            raise JobNameError(
                f"A job named {name!r} has ended and left {taken.left} running; "
                "replace it (--replace), stop it, or give the new one another name."
            )
        return name, ""

    def numbered(self, jobs: Mapping[str, JobFacts], made: str) -> str:
        """Return a free name with a number, such as ``train-2``."""
        # Counting from 2 each time would make each of 20,000 jobs of one program try all names before it.
        number = self._last_numbers.get(made, 1) + 1
        while (candidate := f"{made}-{number}") in jobs:
            number += 1
        self._last_numbers[made] = number
        return candidate

    def start_over(self) -> None:
        """Number the jobs of each program from the beginning again: some have been forgotten."""
        self._last_numbers.clear()


def is_default_name(job: JobFacts, *, of: str) -> bool:
    """Return True if a job was given no name, and its command makes this one, which it may have numbered."""
    return job.made_name == of
