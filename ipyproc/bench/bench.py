"""`ForkBench`: a worker group that measures, what forking costs or what workers can do together."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from signal import SIGKILL
from typing import Any

from ipyproc.bench.code import Statement
from ipyproc.bench.latency import quantile
from ipyproc.bench.model import (
    BenchResult,
    BenchSnapshot,
    Findings,
    ForkCost,
    Throughput,
    WorkerShare,
)
from ipyproc.errors import JobSpecError, JobStateError, WireError
from ipyproc.hosts.helper.wire import Message
from ipyproc.hosts.local.driver import Timer
from ipyproc.hosts.local.run import Run, Watcher
from ipyproc.job.group import WorkerGroup, enter_group, worker_count
from ipyproc.job.job import Table
from ipyproc.job.result import Result
from ipyproc.job.table import JobTable, jobs
from ipyproc.model.event import EventKind
from ipyproc.model.group import GroupSpec
from ipyproc.model.spec import DEFAULT_MAX_OUTPUT, is_number
from ipyproc.model.state import JobState, describe_status
from ipyproc.process import cpu_count

__all__ = ["ForkBench", "forkbench"]

_DEATHS = 20
_LEAVE_SECONDS = 1.0

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
        partial(ForkBench, statement, numbers, seconds, restarts),
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
    )


class ForkBench(WorkerGroup):
    """A worker group that measures, number of workers by number; `forkbench` and ``%forkbench`` make it.

    A job like any other. Awaiting it gives a `BenchResult`; stopped, it has what was measured by then.
    """

    def __init__(
        self,
        statement: Statement | None,
        counts: list[int],
        seconds: float,
        restarts: int,
        spec: GroupSpec,
        table: Table,
    ) -> None:
        self._statement = statement
        self._counts = counts
        self._seconds = seconds
        self._restarts = restarts
        self._begin_anew()
        super().__init__(spec, table)

    def __repr__(self) -> str:
        return super().__repr__().replace("<WorkerGroup", "<ForkBench", 1)

    @property
    def state(self) -> JobState:
        """Where it is in its life: "running", "stopping" or "exited"."""
        return self._life.state

    @property
    def findings(self) -> Findings:
        """What has been measured so far."""
        return self._findings

    def snapshot(self) -> BenchSnapshot:
        """An immutable picture of this moment, for a view."""
        of_group = vars(super().snapshot()) | {"state": self.state, "restarts": 0, "max_restarts": None}
        if self.done:
            of_group["returncode"] = self.returncode
        step, begun = self._step, self._begun
        running = step is not None and begun is not None and not self.done
        gone = min(self._seconds, time.monotonic() - begun) if running and begun is not None else 0.0
        done = len(self._findings.rows) + len(self._findings.costs)
        progress = min(1.0, (done + gone / self._seconds) / len(self._counts))
        rates = [worker.operations for worker in of_group["workers"] if worker.operations is not None]
        return BenchSnapshot(
            **of_group,
            findings=self._findings,
            active=self._counts[step] if running and step is not None else None,
            rate=sum(rates) if rates and running else None,
            progress=progress,
            left=None if self._statement is None else (1 - progress) * len(self._counts) * self._seconds,
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
        return self._result_of(await super().wait(raise_error))

    async def stop(self, grace: float = 2.0) -> BenchResult:
        """Ends it, as that of any job; returns what was measured by then.

        Args:
            grace: seconds between the signals.
        """
        return self._result_of(await super().stop(grace))

    def happened(self, kind: EventKind, detail: str = "") -> None:
        """Takes note of what happened in its life, and tells everybody; called by its life.

        Args:
            kind: what happened.
            detail: for people, such as the signal that was sent.
        """
        if kind in (EventKind.DONE, EventKind.GAVE_UP):
            self._spare()
        super().happened(kind, detail)

    def _new_run(self, watcher: Watcher) -> Run:
        self._begin_anew()
        return super()._new_run(watcher)

    def _end(self) -> None:
        super()._end()
        result = self._result
        if self._has_left and result is not None and result.returncode == 0:
            # All have left, and the helper sees no failure in that.
            self._result = replace(result, returncode=1, notes=self._life.notes)

    def _begin_anew(self) -> None:
        self._findings = Findings(
            self._statement.source.strip() if self._statement else None, _usable_cores()
        )
        self._called = time.monotonic()
        self._step: int | None = None
        self._begun: float | None = None
        self._ready: set[int] = set()
        self._shares: dict[int, dict[str, Any]] = {}
        self._victim: tuple[int, float] | None = None
        self._replaced: list[float] = []
        self._kills = 0
        self._next_kill: Timer | None = None
        self._has_left = False

    # What the helper tells, on the loop

    def _take(self, message: Message | WireError) -> None:
        if isinstance(message, WireError) or message.kind not in _TAKERS:
            super()._take(message)
            return
        if message.kind != "gave-up":
            super()._take(message)
        _TAKERS[message.kind](self, message)

    def _gave_up(self, _message: Message) -> None:
        dead = [worker for worker in self._roster.snapshots(0.0, {}) if worker.last_exit]
        for worker in dead[:1]:
            how = describe_status(worker.last_exit or 0)
            self._life.note(f"worker {worker.task_id} ended with {how}, so nothing more is measured")

    def _exited(self, message: Message) -> None:
        task_id = message.number("task")
        if message.number("status") == 0 and not self._is_measured(task_id) and not self._has_left:
            self._has_left = True
            self._life.note(f"worker {task_id} left before it had been measured")
            self._life.stop(_LEAVE_SECONDS)

    def _ready_to_begin(self, message: Message) -> None:
        """Lets all begin once the last is ready."""
        self._ready.add(message.number("task"))
        if len(self._ready) < self._counts[-1]:
            return
        self._ready.clear()
        self._step = 0 if self._step is None else self._step + 1
        self._begun = time.monotonic()
        self._shares, self._replaced, self._kills, self._victim = {}, [], 0, None
        with suppress(JobStateError):
            self.open_barrier()
        if self._findings.helper is None:
            self._find(helper=self._begun - self._called)
        self._plan_kill()

    def _measured(self, message: Message) -> None:
        if not message.body:
            return
        figures, task_id = json.loads(message.body), message.number("task")
        if "running" in figures:
            self._find(costs=(*self._findings.costs, _cost(figures)))
        elif "latencies" in figures:
            self._shares[task_id] = figures
            if self._step is not None and len(self._shares) == self._counts[self._step]:
                self._end_step()
        elif self._statement is None:
            self._find(helper=figures["began"] - self._called)
        elif self._victim is not None and self._victim[0] == task_id:
            self._replaced.append(figures["began"] - self._victim[1])
            self._victim = None
            self._plan_kill()

    def _end_step(self) -> None:
        self._spare()
        self._begun = None
        base = self._findings.rows[0] if self._findings.rows else None
        row = _throughput(self._shares, self._replaced, base)
        self._find(rows=(*self._findings.rows, row))

    def _find(self, **found: Any) -> None:
        self._findings = Findings(**{**vars(self._findings), **found})

    def _is_measured(self, task_id: int) -> bool:
        """Whether nothing more is wanted of a worker."""
        if self._statement is None:
            return len(self._findings.costs) == len(self._counts)
        return self._step == len(self._counts) - 1 and task_id in self._shares

    # Killing workers, one after the other, spread over the time

    def _plan_kill(self) -> None:
        if self._begun is None or self._kills >= self._restarts:
            return
        due = self._begun + self._seconds * (self._kills + 1) / (self._restarts + 1)
        self._next_kill = self._driver.later(max(0.0, due - time.monotonic()), self._kill)

    def _kill(self) -> None:
        self._next_kill = None
        if self._begun is None or self._step is None:
            return
        victim = self._kills % self._counts[self._step]
        if victim in self._shares:
            return
        self._kills += 1
        self._victim = victim, time.monotonic()
        with suppress(JobStateError):
            self.restart_worker(victim, SIGKILL)

    def _spare(self) -> None:
        if self._next_kill is not None:
            self._next_kill.cancel()
            self._next_kill = None

    def _result_of(self, result: Result) -> BenchResult:
        given = {field.name: getattr(result, field.name) for field in fields(Result)}
        return BenchResult(**given, findings=self._findings)


_TAKERS: dict[str, Callable[[ForkBench, Message], None]] = {
    "gave-up": ForkBench._gave_up,
    "exited": ForkBench._exited,
    "ready": ForkBench._ready_to_begin,
    "measure": ForkBench._measured,
}


def _throughput(
    shares: Mapping[int, Mapping[str, Any]], replaced: list[float], base: Throughput | None
) -> Throughput:
    together: Counter[int] = Counter()
    each = []
    for task_id, figures in sorted(shares.items()):
        latencies = dict(figures["latencies"])
        together.update(latencies)
        seconds = figures["seconds"]
        each.append(
            WorkerShare(
                task_id=task_id,
                operations=sum(latencies.values()),
                seconds=seconds,
                p50=quantile(latencies, 0.5),
                p99=quantile(latencies, 0.99),
                cpu=figures["cpu"] / seconds * 100,
                delay=figures["delay"] / seconds * 100,
                memory=figures["memory"],
            )
        )
    rate = sum(share.rate for share in each)
    speedup = rate / base.rate if base is not None and base.rate else 1.0
    return Throughput(
        workers=len(each),
        rate=rate,
        p50=quantile(together, 0.5),
        p99=quantile(together, 0.99),
        speedup=speedup,
        efficiency=speedup * (base.workers if base is not None else len(each)) / len(each),
        shares=tuple(each),
        replaced=tuple(replaced),
    )


def _cost(figures: Mapping[str, Any]) -> ForkCost:
    return ForkCost(
        figures["workers"], tuple(figures["running"]), tuple(figures["replaced"]), tuple(figures["memory"])
    )


def _usable_cores() -> int:
    """Those that the workers may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cpu_count()
