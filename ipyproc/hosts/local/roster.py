"""The state of each worker, derived from the messages of the helper. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import Any

from ipyproc.hosts.helper.wire import Message
from ipyproc.model.event import EventKind
from ipyproc.model.group import WorkerSnapshot, WorkerState
from ipyproc.model.state import describe_status

__all__ = ["Roster"]

_FRESH_SECONDS = 5.0


@dataclass
class _Worker:
    task_id: int
    pid: int | None = None
    state: WorkerState = WorkerState.STARTING
    last_exit: int | None = None
    exits: Counter[int] = field(default_factory=Counter)
    restarts: int = 0
    started: float | None = None
    measured: tuple[float, int] | None = None
    rate: float | None = None


class Roster:
    """The workers of one group.

    Args:
        size: the number of workers.

    Attributes:
        restarts: the number of restarts that count against ``max_restarts``.
        verdict: how often each worker had died, once the helper gave up; empty before.
    """

    def __init__(self, size: int) -> None:
        self._workers = [_Worker(number) for number in range(size)]
        self.restarts = 0
        self.verdict = ""

    def facts(self) -> dict[str, object]:
        """Return all that is known, as JSON has it."""
        workers = [
            {**vars(worker), "state": worker.state.value, "exits": [*worker.exits.items()]}
            for worker in self._workers
        ]
        return {"restarts": self.restarts, "verdict": self.verdict, "workers": workers}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Go on with what `facts` has returned, maybe in another process."""
        self.restarts, self.verdict = facts["restarts"], facts["verdict"]
        self._workers = [
            _Worker(
                **{
                    **worker,
                    "state": WorkerState(worker["state"]),
                    "exits": Counter(dict(worker["exits"])),
                    "measured": tuple(worker["measured"]) if worker["measured"] else None,
                }
            )
            for worker in facts["workers"]
        ]

    @property
    def pids(self) -> list[int]:
        """The pids of the workers that run now."""
        return [worker.pid for worker in self._workers if worker.started is not None and worker.pid]

    def take(self, message: Message) -> tuple[EventKind, str]:
        """Record a message; return the kind of its event, and a detail for people.

        Raises:
            KeyError: a helper sends no such message, or the group has no such worker.
        """
        if message.kind == "gave-up":
            self.verdict = self._verdict(message.number("max_restarts"))
            return EventKind.GAVE_UP, self.verdict
        number = message.number("task")
        if not 0 <= number < len(self._workers):
            raise KeyError(number)
        return _TAKERS[message.kind](self, self._workers[number], message)

    def end(self) -> None:
        """Record that the helper has ended, and every worker with it."""
        for worker in self._workers:
            if worker.started is not None:
                # The system kills a worker when its parent dies; no message reports that.
                worker.last_exit = -SIGKILL
                worker.exits[-SIGKILL] += 1
            worker.started = worker.rate = None
            if worker.pid is not None:
                worker.state = WorkerState.EXITED

    def snapshots(self, now: float, usage: dict[int, tuple[float | None, int]]) -> tuple[WorkerSnapshot, ...]:
        """Return a snapshot of each worker.

        Args:
            now: the time on the system's monotonic clock, which the helper uses as well.
            usage: by pid, the CPU in percent of a core, and the memory in bytes.
        """
        return tuple(self._snapshot(worker, now, usage) for worker in self._workers)

    def _snapshot(
        self, worker: _Worker, now: float, usage: dict[int, tuple[float | None, int]]
    ) -> WorkerSnapshot:
        cpu, memory = usage.get(worker.pid or 0, (None, None))
        fresh = worker.measured is not None and now - worker.measured[0] < _FRESH_SECONDS
        return WorkerSnapshot(
            task_id=worker.task_id,
            pid=worker.pid,
            state=worker.state,
            last_exit=worker.last_exit,
            exits=tuple(worker.exits.items()),
            restarts=worker.restarts,
            uptime=None if worker.started is None else max(0.0, now - worker.started),
            cpu=cpu,
            memory=memory,
            operations=worker.rate if fresh else None,
        )

    def _started(self, worker: _Worker, message: Message) -> tuple[EventKind, str]:
        worker.pid, worker.started = message.number("pid"), message.time("at")
        worker.state = WorkerState.RUNNING
        worker.measured = worker.rate = None
        return EventKind.STARTED, f"worker {worker.task_id}, pid {worker.pid}"

    def _exited(self, worker: _Worker, message: Message) -> tuple[EventKind, str]:
        status = message.number("status")
        worker.last_exit, worker.started, worker.rate = status, None, None
        worker.state = WorkerState.EXITED
        worker.exits[status] += 1
        return EventKind.EXITED, f"worker {worker.task_id}, {describe_status(status)}"

    def _restarting(self, worker: _Worker, message: Message) -> tuple[EventKind, str]:
        self.restarts = message.number("restarts")
        worker.restarts += 1
        worker.state = WorkerState.RESTARTING
        return EventKind.RESTARTING, f"worker {worker.task_id}"

    def _ready(self, worker: _Worker, _message: Message) -> tuple[EventKind, str]:
        return EventKind.READY, f"worker {worker.task_id}"

    def _measured(self, worker: _Worker, message: Message) -> tuple[EventKind, str]:
        at, operations = message.time("at"), message.number("operations")
        before = worker.measured or (worker.started or at, 0)
        if at > before[0]:
            worker.rate = max(0.0, (operations - before[1]) / (at - before[0]))
        worker.measured = (at, operations)
        return EventKind.MEASURED, f"worker {worker.task_id}, {operations} operations"

    def _verdict(self, budget: int) -> str:
        deaths = []
        for worker in self._workers:
            died = {status: times for status, times in worker.exits.items() if status != 0}
            if died:
                how = ", ".join(
                    describe_status(status) + (f" x{n}" if n > 1 else "") for status, n in died.items()
                )
                deaths.append(f"worker {worker.task_id} died {_times(sum(died.values()))} ({how})")
        return f"more restarts needed than the {budget} granted: {', '.join(deaths)}"


_TAKERS = {
    "started": Roster._started,
    "exited": Roster._exited,
    "restarting": Roster._restarting,
    "ready": Roster._ready,
    "measure": Roster._measured,
}


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")
