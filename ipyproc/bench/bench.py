"""`ForkBench`: a worker group that measures, what forking costs or what workers can do together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from ipyproc.bench.code import Statement
from ipyproc.bench.course import Course, Plan
from ipyproc.bench.findings import Findings
from ipyproc.bench.model import BenchResult, BenchSnapshot
from ipyproc.errors import JobSpecError
from ipyproc.hosts.base import HostedGroup
from ipyproc.job.fork import enter_group, worker_count
from ipyproc.job.group import WorkerGroup
from ipyproc.job.job import Announce, Claim
from ipyproc.job.result import Result
from ipyproc.job.table import JobTable, jobs
from ipyproc.model.event import Event, EventKind
from ipyproc.model.spec import DEFAULT_MAX_OUTPUT, is_number
from ipyproc.model.state import Ending

__all__ = ["ForkBench", "forkbench"]

_DEATHS = 20

# Above the fork, so that the workers share what the import brings.
_REPEAT = """
from ipyproc.bench.worker import Repetition as _forkbench
_forkbench = _forkbench({code!r}, {filename!r}, {source!r}, {counts!r}, {seconds!r})
fork_processes()
_forkbench.run(globals())
"""
_COSTS = """
from ipyproc.bench.worker import ForkCosts as _forkbench
fork_processes()
_forkbench({counts!r}, {deaths!r}).run(globals())
"""


def forkbench(
    statement: Statement | None = None,
    counts: Sequence[int] = (0,),
    *,
    seconds: float = 2.0,
    restarts: int = 0,
    variables: Mapping[str, object] | None = None,
    name: str | None = None,
    quiet: bool = False,
    shown: str = "%forkbench",
    table: JobTable = jobs,
) -> ForkBench:
    """Measures workers, and returns at once; what ``%forkbench`` is in Python.

    Args:
        statement: what each worker repeats; None to measure what forking costs.
        counts: numbers of workers, one after the other; 0 for the number of cores.
        seconds: how long each of them works.
        restarts: how many workers are killed meanwhile, for each number; with no statement, how many
            deaths are measured (20 by default).
        variables: what the statement has besides, sent by cloudpickle.
        name: its name among the jobs.
        quiet: whether its cell shows nothing of it.
        shown: what it is called in views.
        table: where it is entered.

    Raises:
        WorkerCodeError: the statement is no Python, or a variable cannot be sent (a `ValueError`).
        JobSpecError: an argument cannot be (a `ValueError`).
        JobNameError: a job of that name is running.
        OSError: no more processes may be started, or files opened.
    """
    if not isinstance(counts, Iterable):
        raise JobSpecError(f"The numbers of workers are {counts!r}; give several such as [1, 2, 4].")
    numbers = sorted({worker_count(count) for count in counts})
    if not numbers:
        raise JobSpecError("There is no number of workers; give one such as 2, or several such as 1,2,4.")
    if not is_number(seconds) or not 0 < seconds < float("inf"):
        given = f"{seconds:g}" if is_number(seconds) else repr(seconds)
        raise JobSpecError(f"The time is {given} s; give a number of seconds above 0, such as 2.")
    if not isinstance(restarts, int) or restarts < 0:
        raise JobSpecError(f"The number of restarts is {restarts!r}; give 0 or more.")
    if statement is None:
        code = _COSTS.format(counts=numbers, deaths=restarts or _DEATHS)
    else:
        code = _REPEAT.format(
            code=statement.compiled(),
            filename=statement.filename,
            source=statement.text,
            counts=numbers,
            seconds=seconds,
        )
    return enter_group(
        partial(ForkBench, Plan(statement, tuple(numbers), seconds, restarts)),
        "forkbench",
        code,
        1 if statement is None else numbers[-1],
        0,
        variables=variables,
        name=name,
        quiet=quiet,
        max_output=DEFAULT_MAX_OUTPUT,
        filename="forkbench",
        first_line=1,
        shown=shown,
        table=table,
        gives_up=False,
    )


class ForkBench(WorkerGroup):
    """A worker group that measures, number of workers by number; `forkbench` and ``%forkbench`` make it.

    A job like any other. Awaiting it gives a `BenchResult`; stopped, it has what was measured by then.

    Args:
        plan: what is measured.
        hosted: the group, as its host holds it.
        announce: told of everything that happens to it.
        claim: asked before it is started anew.
    """

    def __init__(self, plan: Plan, hosted: HostedGroup, announce: Announce, claim: Claim) -> None:
        super().__init__(hosted, announce, claim)
        self._plan = plan
        self._course = Course(plan, hosted)

    def begin(self) -> None:
        """Take part in what happens to it from its start on; its table calls this once it stands there."""
        self.hosted.listen(self._follow)
        self.hosted.listen_to_workers(lambda message: self._course.take(message))
        super().begin()

    @property
    def findings(self) -> Findings:
        """What has been measured so far."""
        return self._course.findings

    def snapshot(self) -> BenchSnapshot:
        """An immutable picture of this moment, for a view."""
        group, course, plan = super().snapshot(), self._course, self._plan
        active = None if self.done else course.active
        rates = [worker.operations for worker in group.workers if worker.operations is not None]
        progress = course.progress
        # A benchmark has no restarts of its own: those that it measures are in its findings.
        given = vars(group) | {"restarts": 0, "max_restarts": None}
        if self.done:
            given["returncode"] = self.returncode
        return BenchSnapshot(
            **given,
            findings=course.findings,
            active=active,
            rate=sum(rates) if rates and active is not None else None,
            progress=progress,
            left=None if plan.statement is None else (1 - progress) * len(plan.counts) * plan.seconds,
        )

    def __await__(self) -> Any:
        """Waits for its end, as `wait` does."""
        return self.wait().__await__()

    async def wait(self, raise_error: bool = True) -> BenchResult:
        """Waits for its end.

        Args:
            raise_error: whether a statement that fails is an error.

        Raises:
            JobFailed: the statement failed, or a worker was ended; with the last lines of stderr.
        """
        __tracebackhide__ = True
        return self._result_with_findings(await super().wait(raise_error))

    async def stop(self, grace: float = 2.0) -> BenchResult:
        """Ends it, as that of any job; returns what was measured by then.

        Args:
            grace: seconds between the signals.
        """
        return self._result_with_findings(await super().stop(grace))

    def _follow(self, event: Event) -> None:
        if event.kind is EventKind.STARTED and event.worker is None:
            self._course = Course(self._plan, self.hosted)
        elif event.kind is EventKind.DONE:
            self._course.spare()

    def _status_of(self, ending: Ending) -> int:
        # Where all have left, the helper sees no failure in that.
        return 1 if self._course.has_left and ending.status == 0 else ending.status

    def _result_with_findings(self, result: Result) -> BenchResult:
        given = {field.name: getattr(result, field.name) for field in fields(Result)}
        return BenchResult(**given, findings=self._course.findings)
