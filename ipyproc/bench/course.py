"""The course of a benchmark: start each measurement, kill workers, collect the findings."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from signal import SIGKILL
from typing import Any

from ipyproc.bench.code import Statement
from ipyproc.bench.findings import Findings, ForkCost, Throughput, WorkerShare
from ipyproc.bench.latency import quantile
from ipyproc.hosts.base import HostedGroup
from ipyproc.hosts.helper.wire import Message
from ipyproc.model.life import LADDER
from ipyproc.model.state import describe_status
from ipyproc.process import cpu_count

__all__ = ["Course", "Plan"]

_LEAVE_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        statement: the statement that each worker repeats; None to measure the cost of forking.
        counts: the numbers of workers, measured one after the other.
        seconds: the seconds for each number of workers.
        restarts: the number of workers to kill meanwhile, for each number of workers.
    """

    statement: Statement | None
    counts: tuple[int, ...]
    seconds: float
    restarts: int


class Course:
    """One run of a benchmark. Call its methods on the thread that drives the group's host.

    Args:
        plan: what to measure.
        group: the group of the workers.

    Attributes:
        findings: the findings so far.
        has_left: whether a worker has exited before it had been measured.
    """

    def __init__(self, plan: Plan, group: HostedGroup) -> None:
        self._plan = plan
        self._group = group
        self.findings = Findings(plan.statement.source.strip() if plan.statement else None, _usable_cores())
        self.has_left = False
        self._called = time.monotonic() - group.status().elapsed
        self._step: int | None = None
        self._begun: float | None = None
        self._ready: set[int] = set()
        self._shares: dict[int, dict[str, Any]] = {}
        self._victim: tuple[int, float] | None = None
        self._replaced: list[float] = []
        self._kills = 0
        self._next_kill: Callable[[], None] | None = None

    @property
    def active(self) -> int | None:
        """The number of workers being measured; None if none are."""
        if self._step is None or self._begun is None:
            return None
        return self._plan.counts[self._step]

    @property
    def progress(self) -> float:
        """The part that is done, from 0 to 1."""
        gone = 0.0
        if self.active is not None and self._begun is not None:
            gone = min(self._plan.seconds, time.monotonic() - self._begun)
        done = len(self.findings.rows) + len(self.findings.costs)
        return min(1.0, (done + gone / self._plan.seconds) / len(self._plan.counts))

    def follow(self, message: Message) -> None:
        """React to a message of the helper."""
        reaction = _REACTIONS.get(message.kind)
        if reaction is not None:
            reaction(self, message)

    def cancel_kill(self) -> None:
        """Cancel the next kill of a worker."""
        if self._next_kill is not None:
            self._next_kill()
            self._next_kill = None

    def _gave_up(self, _message: Message) -> None:
        dead = [worker for worker in self._group.status().workers if worker.last_exit]
        for worker in dead[:1]:
            how = describe_status(worker.last_exit or 0)
            self._group.note(f"worker {worker.task_id} ended with {how}, so nothing more is measured")

    def _exited(self, message: Message) -> None:
        task_id = message.number("task")
        if message.number("status") == 0 and not self._is_measured(task_id) and not self.has_left:
            self.has_left = True
            self._group.note(f"worker {task_id} left before it had been measured")
            self._group.stop(_LEAVE_SECONDS, LADDER)

    def _ready_to_begin(self, message: Message) -> None:
        """Begin the next measurement once the last worker is ready."""
        self._ready.add(message.number("task"))
        if len(self._ready) < self._plan.counts[-1]:
            return
        self._ready.clear()
        self._step = 0 if self._step is None else self._step + 1
        self._begun = time.monotonic()
        self._shares, self._replaced, self._kills, self._victim = {}, [], 0, None
        self._group.command("go")
        if self.findings.helper is None:
            self._find(helper=self._begun - self._called)
        self._plan_kill()

    def _measured(self, message: Message) -> None:
        if not message.body:
            return
        figures, task_id = json.loads(message.body), message.number("task")
        if "running" in figures:
            self._find(costs=(*self.findings.costs, _cost(figures)))
        elif "latencies" in figures:
            self._shares[task_id] = figures
            if self._step is not None and len(self._shares) == self._plan.counts[self._step]:
                self._end_step()
        elif self._plan.statement is None:
            self._find(helper=figures["began"] - self._called)
        elif self._victim is not None and self._victim[0] == task_id:
            self._replaced.append(figures["began"] - self._victim[1])
            self._victim = None
            self._plan_kill()

    def _end_step(self) -> None:
        self.cancel_kill()
        self._begun = None
        base = self.findings.rows[0] if self.findings.rows else None
        row = _throughput(self._shares, self._replaced, base)
        self._find(rows=(*self.findings.rows, row))

    def _find(self, **found: Any) -> None:
        self.findings = Findings(**{**vars(self.findings), **found})

    def _is_measured(self, task_id: int) -> bool:
        """Return True if a worker has nothing more to measure."""
        if self._plan.statement is None:
            return len(self.findings.costs) == len(self._plan.counts)
        return self._step == len(self._plan.counts) - 1 and task_id in self._shares

    # Killing workers one after the other, spread over the measurement

    def _plan_kill(self) -> None:
        if self._begun is None or self._kills >= self._plan.restarts:
            return
        due = self._begun + self._plan.seconds * (self._kills + 1) / (self._plan.restarts + 1)
        self._next_kill = self._group.later(max(0.0, due - time.monotonic()), self._kill)

    def _kill(self) -> None:
        self._next_kill = None
        if self._begun is None or self._step is None:
            return
        victim = self._kills % self._plan.counts[self._step]
        if victim in self._shares:
            return
        self._kills += 1
        self._victim = victim, time.monotonic()
        self._group.command("restart", task=victim, signum=int(SIGKILL))


_REACTIONS: dict[str, Callable[[Course, Message], None]] = {
    "gave-up": Course._gave_up,
    "exited": Course._exited,
    "ready": Course._ready_to_begin,
    "measure": Course._measured,
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
    """Return the number of cores that the workers may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cpu_count()
