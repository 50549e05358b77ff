"""The jobs that the words after a magic name: names, pids, shell patterns, and ``--all``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from ipyproc.job.names import is_default_name

if TYPE_CHECKING:
    from ipyproc.job.job import Job
    from ipyproc.job.table import JobTable
    from ipyproc.model.usage import Usage

__all__ = ["ANY", "ENDED", "RUNNING", "STOPPABLE", "Kind", "ShownJobs", "every", "is_pattern", "select"]

_PATTERN = re.compile(r"[*?]|\[[^\]]+\]")


@dataclass(frozen=True)
class Kind:
    """A kind of jobs.

    Attributes:
        has: returns True for a job of the kind.
        words: what such a job does, as a part of a sentence.
    """

    has: Callable[[Job], bool]
    words: str


ANY = Kind(lambda job: True, "exists")
RUNNING = Kind(lambda job: not job.done, "is running")
STOPPABLE = Kind(lambda job: not job.done or bool(job.left), "is running")
ENDED = Kind(lambda job: job.done and not job.left, "has ended")


def is_pattern(word: str) -> bool:
    """Return True if a word has characters of a shell pattern: ``*``, ``?`` or ``[...]``."""
    return bool(_PATTERN.search(word))


def select(
    jobs: JobTable, words: Iterable[str], kind: Kind = ANY, *, prefer_running: bool = False
) -> list[Job]:
    """Return the jobs that words name, each once.

    A name that exists wins over the pattern that it may also be.

    Args:
        jobs: the table of jobs.
        words: names, pids, or shell patterns.
        kind: the jobs that a pattern can mean.
        prefer_running: whether a name that was made of a program means the job of that program that runs,
            if the one with the name has ended.

    Raises:
        UnknownJobError: there is no job of that name or pid (an `IpyprocError`).
        UsageError: a pattern matches no job of the kind, or several jobs of the program run.
    """
    found: dict[Job, None] = {}
    for word in words:
        if word in jobs or not is_pattern(word):
            job = jobs[word]
            found[_running_for(jobs, word, job) if prefer_running else job] = None
            continue
        matching = [job for job in jobs if fnmatchcase(job.name, word)]
        fitting = [job for job in matching if kind.has(job)]
        if not matching:
            raise UsageError(f"No job matches {word!r}; {jobs.names_near(word)}.")
        if not fitting:
            raise UsageError(f"No job that matches {word!r} {kind.words}; see %jobs.")
        found.update(dict.fromkeys(fitting))
    return list(found)


def every(jobs: JobTable, kind: Kind) -> list[Job]:
    """Return all jobs of a kind.

    Raises:
        UsageError: there is none.
    """
    found = [job for job in jobs if kind.has(job)]
    if not found:
        raise UsageError(f"No job {kind.words}; see %jobs.")
    return found


class ShownJobs:
    """Some of the jobs of a table, for a live table of them; asked anew for each update.

    Args:
        jobs: the table.
        patterns: the names, pids or patterns to show; empty for all.
        running: whether to show the running jobs only.
    """

    def __init__(self, jobs: JobTable, patterns: Sequence[str], *, running: bool) -> None:
        self._jobs = jobs
        self._patterns = patterns
        self._kind = STOPPABLE if running else ANY

    @property
    def forgotten(self) -> int:
        """The number of jobs to mention as forgotten: 0, since they would not all have been shown."""
        return 0

    def __iter__(self) -> Iterator[Job]:
        """Iterate over the jobs that are shown now."""
        return (job for job in self._jobs if self._kind.has(job) and self._names(job))

    def sample(self) -> dict[int, Usage]:
        """Return the usage of the table's jobs, by pid."""
        return self._jobs.sample()

    def _names(self, job: Job) -> bool:
        patterns = self._patterns
        return not patterns or any(
            word in (job.name, str(job.pid)) or fnmatchcase(job.name, word) for word in patterns
        )


def _running_for(jobs: JobTable, name: str, job: Job) -> Job:
    """Return the job that runs under a name made of its program: this one, or if it has ended, another."""
    if not job.done or job.left or job.name != name:
        return job
    running = [other for other in jobs if not other.done and is_default_name(other, of=name)]
    if len(running) > 1:
        raise UsageError(
            f"Job {name!r} has ended, and several of its program run; name one of them: "
            f"{', '.join(repr(other.name) for other in running[:5])}."
        )
    return running[0] if running and is_default_name(job, of=name) else job
