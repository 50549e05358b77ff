"""`ForkBench`: a worker group that measures the cost of forking, or the throughput of a statement."""

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

# The import stands above the fork, so that the workers share its memory.
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
    """Start a benchmark and return at once; the Python form of ``%forkbench``.

    Args:
        statement: the statement that each worker repeats; None to measure the cost of forking.
        counts: the numbers of workers, measured one after the other; 0 for the number of cores.
        seconds: the seconds for each number of workers.
        restarts: the number of workers to kill meanwhile, for each number of workers; without a statement,
            the number of deaths to measure (20 by default).
        variables: variables for the statement, sent by cloudpickle.
        name: its name in the table.
        quiet: whether its cell shows nothing of it.
        shown: the text that views show instead of a command.
        table: the table of jobs.

    Raises:
        WorkerCodeError: the statement is not valid Python, or a variable could not be sent (a `ValueError`).
        JobSpecError: an argument is invalid (a `ValueError`).
        JobNameError: a job of that name is running.
        OSError: the system allows no more processes or open files.
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
    """A worker group that measures one number of workers after the other; `forkbench` creates it.

    It is a job like any other. Awaiting it returns a `BenchResult`; if it was stopped, with the findings so
    far.

    Args:
        plan: what to measure.
        hosted: the group, as its host holds it.
        announce: called with each event of the job.
        claim: called before the job is started anew.
    """

    def __init__(self, plan: Plan, hosted: HostedGroup, announce: Announce, claim: Claim) -> None:
        super().__init__(hosted, announce, claim)
        self._plan = plan
        self._course = Course(plan, hosted)

    def begin(self) -> None:
        """Subscribe to the events of the job from its start; the table calls this once it has entered it."""
        self.hosted.listen(self._follow)
        self.hosted.listen_to_workers(lambda message: self._course.follow(message))
        super().begin()

    @property
    def findings(self) -> Findings:
        """The findings so far."""
        return self._course.findings

    def snapshot(self) -> BenchSnapshot:
        """Return a snapshot of this moment, for a view."""
        group, course, plan = super().snapshot(), self._course, self._plan
        active = None if self.done else course.active
        rates = [worker.operations for worker in group.workers if worker.operations is not None]
        progress = course.progress
        # Restarts are part of the measurement, and stand in the findings.
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
        """Wait for its end, as `wait` does."""
        return self.wait().__await__()

    async def wait(self, raise_error: bool = True) -> BenchResult:
        """Wait for its end and return its findings.

        Args:
            raise_error: whether to raise if the statement fails.

        Raises:
            JobFailed: the statement failed, or a worker was killed; with the last lines of stderr.
        """
        __tracebackhide__ = True
        return self._result_with_findings(await super().wait(raise_error))

    async def stop(self, grace: float = 2.0) -> BenchResult:
        """Stop it, as `Job.stop` does, and return the findings so far.

        Args:
            grace: the seconds between the signals.
        """
        return self._result_with_findings(await super().stop(grace))

    def _follow(self, event: Event) -> None:
        if event.kind is EventKind.STARTED and event.worker is None:
            self._course = Course(self._plan, self.hosted)
        elif event.kind is EventKind.DONE:
            self._course.cancel_kill()

    def _status_of(self, ending: Ending) -> int:
        # The helper exits with 0 if all workers have left early.
        return 1 if self._course.has_left and ending.status == 0 else ending.status

    def _result_with_findings(self, result: Result) -> BenchResult:
        given = {field.name: getattr(result, field.name) for field in fields(Result)}
        return BenchResult(**given, findings=self._course.findings)
