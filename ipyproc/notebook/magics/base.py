"""The base class of all magics, and the options that several share. Each magic is one class in one file."""

from __future__ import annotations

import argparse
import enum
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics
from IPython.core.magic_arguments import argument

from ipyproc.errors import IpyprocError
from ipyproc.job.command import explain_start_error
from ipyproc.notebook import selection
from ipyproc.notebook.cells import is_unattended
from ipyproc.notebook.expansion import expand
from ipyproc.notebook.foreground import Kind, finish, plainly, wait_for
from ipyproc.notebook.lines import whole_line
from ipyproc.notebook.options import asked_for, parse_anywhere, parser_of
from ipyproc.notebook.private.argparse import options_of
from ipyproc.process.interrupts import interrupts_after

if TYPE_CHECKING:
    from ipyproc.job.job import Job
    from ipyproc.job.table import JobTable
    from ipyproc.notebook.config import IPyProc
    from ipyproc.notebook.live import PageViews
    from ipyproc.views.manager import ViewManager

__all__ = [
    "ALL_RUNNING",
    "BG",
    "FORGIVE",
    "KEEP",
    "PUSH",
    "QUIET",
    "REPLACE",
    "SIGNS",
    "WAIT",
    "Context",
    "JobNames",
    "Kind",
    "LocalNames",
    "Sentences",
    "Verb",
    "Waiting",
    "by_call",
]

SIGNS: Mapping[Kind, str] = {"line": "%", "cell": "%%"}

LocalNames = Mapping[str, object] | None
"""The local variables of the function that contains a magic's line."""

# Options of several magics.
ALL_RUNNING = argument("--all", action="store_true", help="All jobs that run.")
WAIT = argument("-w", "--wait", action="store_true", help="Wait for its end; ■ interrupts it meanwhile.")
REPLACE = argument("--replace", action="store_true", help="First stop the job of this name, if it runs.")
QUIET = argument("-q", "--quiet", action="store_true", help="Show nothing in this cell.")
BG = argument("--bg", action="store_true", help="Do not wait, not even in a batch run (nbclient, papermill).")
KEEP = argument(
    "--keep", action="store_true", help="Keep it when the kernel ends; later notebooks have it again."
)
PUSH = argument("--push", metavar="A,B", action="append", help="Send these variables of the notebook to it.")
FORGIVE = argument(
    "--no-raise-error", action="store_true", help="Do not raise an error if it fails while waited for."
)


class Waiting(enum.Enum):
    """When a magic's cell waits for the end of its work."""

    NEVER = enum.auto()
    ALWAYS = enum.auto()
    WHEN_ASKED = enum.auto()
    """With ``--wait``; also without ``--bg`` in an unattended run, for the kinds in `Verb.unattended`."""


class JobNames(enum.Enum):
    """The words after a magic that are names of jobs."""

    NONE = enum.auto()
    FIRST = enum.auto()
    ALL = enum.auto()


@dataclass(frozen=True)
class Context:
    """The objects that magics work with.

    Attributes:
        shell: the IPython shell.
        jobs: the table of jobs.
        views: the views, which show jobs in cells.
        settings: the user's settings.
        pages: the live views, in pages.
    """

    shell: Any
    jobs: JobTable
    views: ViewManager
    settings: IPyProc
    pages: PageViews


class Verb(Magics):
    """A magic. Each class has one, in a method of its name, with IPython's decorators for its options.

    Attributes:
        name: the name after ``%``.
        waiting: when its cell waits.
        unattended: the kinds that wait in an unattended run.
        job_names: which of its words are names of jobs.
        by_pattern: the kind of jobs that a pattern can mean.
        by_all: the kind of jobs that ``--all`` means.
        acts_on_running: whether a name made of a program means the job of that program that runs.
        values: the values of options, for completion.
        may_stand_alone: whether its line may be a whole cell; see `stands_alone`.
    """

    name: ClassVar[str]
    waiting: ClassVar[Waiting] = Waiting.NEVER
    unattended: ClassVar[frozenset[Kind]] = frozenset()
    job_names: ClassVar[JobNames] = JobNames.NONE
    by_pattern: ClassVar[selection.Kind] = selection.ANY
    by_all: ClassVar[selection.Kind] = selection.RUNNING
    acts_on_running: ClassVar[bool] = False
    values: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    may_stand_alone: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        super().__init__(context.shell)
        self._shell = context.shell
        self._jobs = context.jobs
        self._views = context.views
        self._settings = context.settings
        self._pages = context.pages

    @classmethod
    def function(cls) -> Callable[..., object]:
        """Return the magic's method, as the decorators have left it."""
        function: Callable[..., object] = getattr(cls, cls.name)
        return function

    @classmethod
    def options(cls) -> dict[str, argparse.Action]:
        """Return the actions of its options, by each of their names; empty if it has none."""
        function = cls.function()
        return options_of(parser_of(function)) if hasattr(function, "parser") else {}

    def waits(self, kind: Kind, arguments: list[str]) -> bool:
        """Return True if the cell awaits a call with these arguments, which are not expanded."""
        if self.waiting is not Waiting.WHEN_ASKED:
            return self.waiting is Waiting.ALWAYS
        given, _ = asked_for(self.function(), whole_line(arguments))
        return "--replace" in given or self.is_to_wait(kind, wait="--wait" in given, bg="--bg" in given)

    def is_to_wait(self, kind: Kind, *, wait: bool, bg: bool) -> bool:
        """Return True if a call with these options waits.

        Args:
            kind: the kind of the call.
            wait: whether it has ``--wait``.
            bg: whether it has ``--bg``.
        """
        return wait or (kind in self.unattended and not bg and is_unattended(self._shell))

    def stands_alone(self, line: str) -> bool:
        """Return True if a cell magic with this line needs no body."""
        return False

    # For the methods of subclasses

    def finish(
        self,
        work: Callable[[], Coroutine[Any, Any, object]],
        awaited: bool,
        jobs: Sequence[Job] = (),
        held: interrupts_after | None = None,
    ) -> object:
        """Return the value of a call that waits; see `ipyproc.notebook.foreground.finish`."""
        return finish(lambda: plainly(work()), awaited, self._jobs, jobs, held)

    def begin_job(
        self,
        start: Callable[[], Job],
        awaited: bool,
        *,
        waits: bool,
        replaced: Job | None = None,
        raise_error: bool = True,
        until_ready: bool = False,
    ) -> object:
        """Start a job and return it, or what the cell awaits to get it.

        Args:
            start: starts the job.
            awaited: whether the cell awaits the call.
            waits: whether to wait for the job in the foreground; its output is in its cell by then.
            replaced: a job to stop before.
            raise_error: whether to raise if the job fails while it is waited for.
            until_ready: whether to wait until the job is ready, instead of for its end.
        """

        async def stop() -> None:
            if replaced is not None:
                await replaced.stop(self._settings.grace)

        async def wait(job: Job, held: interrupts_after | None = None) -> Job:
            try:
                await wait_for(job, raise_error=raise_error, until_ready=until_ready, held=held)
            finally:
                self._views.catch_up([job])
            return job

        async def stop_and_start() -> Job:
            await stop()
            if not waits:
                return start()
            # Its output may be shown before the wait has begun: an interrupt is for the job from then on.
            with interrupts_after() as held:
                return await wait(start(), held)

        if awaited:
            return self.finish(stop_and_start, awaited)
        if replaced is not None:
            self.finish(stop, awaited)
        if not waits:
            return start()
        with interrupts_after() as held:
            job = start()
            return self.finish(lambda: wait(job), awaited, [job], held)

    def replaced(self, name: str) -> Job | None:
        """Return the job that ``--replace`` stops: the one of that name, if it runs or has left processes."""
        found = (job for job in self._jobs if job.name == name and (not job.done or job.left))
        return next(found, None)

    def parsed(self, line: str, local_ns: LocalNames) -> tuple[argparse.Namespace, list[str]]:
        """Return the options of a line, wherever they stand, and its other words.

        Raises:
            UsageError: an option is unknown, or has an invalid value.
        """
        line = expand(line, self.names(local_ns))
        return parse_anywhere(self.function(), line, lambda word: word in self._jobs)

    def named(self, line: str, local_ns: LocalNames) -> tuple[argparse.Namespace, list[Job]]:
        """Return the options of a line, and the jobs that it names, or that its ``--all`` means.

        Raises:
            UsageError: it names no job, or one that does not exist; or an option is invalid.
        """
        options, words = self.parsed(line, local_ns)
        return options, self.select(words, everything=options.all)

    def select(self, words: Sequence[str], *, everything: bool = False) -> list[Job]:
        """Return the jobs that words name: names, pids and shell patterns.

        Args:
            words: the words.
            everything: whether ``--all`` was given.

        Raises:
            UsageError: there is no such job, or there are neither words nor ``--all``, or both.
        """
        if everything and words:
            raise UsageError(f"%{self.name} has --all and also {words[0]!r}; give one of them.")
        if everything:
            return selection.every(self._jobs, self.by_all)
        if not words:
            raise UsageError(f"%{self.name} needs the name of a job; {self.which()}.")
        with Sentences():
            return selection.select(self._jobs, words, self.by_pattern, prefer_running=self.acts_on_running)

    def names(self, local_ns: LocalNames) -> Mapping[str, object]:
        """Return the variables for a line: the notebook's, and the local ones of the function around it."""
        return {**self._shell.user_ns, **(local_ns or {})}

    def which(self) -> str:
        """Return the names of a few jobs, as a part of a sentence."""
        return self._jobs.names_near("")


AnyVerb = TypeVar("AnyVerb", Verb, type[Verb])


def by_call(verbs: Iterable[AnyVerb]) -> dict[tuple[Kind, str], AnyVerb]:
    """Return magics, or their classes, by kind and name."""
    return {(kind, name): verb for verb in verbs for kind in SIGNS for name in verb.magics[kind]}


class Sentences:
    """A context manager that turns an `IpyprocError` or `OSError` into a `UsageError` of one sentence.

    Args:
        program: the program to start, for errors of the system.
        before: a prefix for the sentence of an `IpyprocError`.
    """

    def __init__(self, program: str = "", before: str = "") -> None:
        self._program = program
        self._before = before

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, IpyprocError):
            raise UsageError(f"{self._before}{error}") from None
        if isinstance(error, OSError):
            raise UsageError(explain_start_error(error, self._program)) from None
