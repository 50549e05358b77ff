"""Kept worker groups: in the runner, and as a client has them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn, cast

from ipyproc.errors import JobStateError
from ipyproc.hosts.base import HostedGroup
from ipyproc.hosts.helper.wire import Message, encode
from ipyproc.hosts.keeper.events import EventLog, KeptLink, worker_directory
from ipyproc.hosts.keeper.job import KeptJob
from ipyproc.hosts.keeper.places import Place
from ipyproc.hosts.keeper.post import Post
from ipyproc.hosts.keeper.record import Record, RunFacts
from ipyproc.hosts.keeper.run import KeptHelperRun, KeptRun
from ipyproc.hosts.keeper.running import KeptExecution, RunningJob
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.execution import Execution
from ipyproc.hosts.local.group import GroupExecution, LocalGroup, Told
from ipyproc.hosts.local.link import Link
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.roster import Roster
from ipyproc.hosts.local.run import Run
from ipyproc.hosts.local.worker_usage import WorkerUsage
from ipyproc.model.group import GroupSpec, GroupStatus, WorkerSnapshot, WorkerState
from ipyproc.model.life import Alive, Life
from ipyproc.model.state import Exit, Status
from ipyproc.spool.named import NamedOutput
from ipyproc.spool.output import Output

__all__ = ["KeptGroup", "RunningGroup"]

_NOBODY = "its holders were killed, and its workers ended with them"


class KeptGroupExecution(GroupExecution, KeptExecution):
    """One life of a kept group; see `GroupExecution`."""

    _link: KeptLink
    _group: RunningGroup

    def _make_link(self) -> Link:
        group = self._group
        return KeptLink(
            group.helper_events,
            group.place,
            self._output,
            group.output_of,
            self.driver,
            self.lock,
            self.run_wrote,
            self.take,
            group.write_down,
        )

    @property
    def link(self) -> KeptLink:
        """The decoder of what the helper reports."""
        return self._link

    def make_run(self) -> Run:
        """Return the leader of a helper's session, which has not been started."""
        self._link.begin()
        return self.new_run()

    def new_run(self) -> KeptRun:
        """Return the leader of a helper's session, to be started or taken over."""
        group = self._group
        return KeptHelperRun(
            self._spec, self._resources, self._output, self, group.place, group.post, group.helper_events
        )

    def process_started(self, run: Run) -> None:
        """Do nothing: the helper has its first message."""

    def resume(
        self, life: Life, facts: RunFacts | None, exits: tuple[Exit, ...], fds: Mapping[str, int]
    ) -> None:
        """Go on where another runner was killed, or rested; see `KeptExecution.resume`."""
        given = self._group.record.group
        if given is not None:
            self._link.resume(given["base"], given["handed"])
        if isinstance(life.process, Alive) and not fds:
            life = replace(life, notes=(*life.notes, _NOBODY))
        super().resume(life, facts, exits, fds)
        self._link.arrived()


class RunningGroup(LocalGroup, RunningJob):
    """A kept group in its runner; see `RunningJob` for the arguments."""

    def __init__(
        self, place: Place, record: Record, resources: Resources, driver: Driver, post: Post
    ) -> None:
        assert isinstance(record.spec, GroupSpec)
        self._prepare(record.spec)
        self.place, self.record = place, record
        self.helper_events = EventLog(place)
        RunningJob.__init__(self, place, record, resources, driver, post)
        for task_id in range(record.spec.workers):
            if os.path.isdir(worker_directory(place, task_id)):
                self.output_of(task_id)
        if record.group is not None:
            self._told.roster.restore(record.group["roster"])
            self._told.helper_pid = record.group["helper_pid"]

    @property
    def rests_for(self) -> float:
        """The seconds for which nothing is to be done; see `RunningJob.rests_for`."""
        execution = self._execution
        is_idle = not isinstance(execution, KeptGroupExecution) or execution.link.is_idle
        return RunningJob.rests_for.__get__(self) if is_idle else 0.0

    def output_of(self, task_id: int) -> Output:
        """Return what one worker writes into."""
        output = self._own.get(task_id)
        if output is None:
            directory = worker_directory(self.place, task_id)
            os.makedirs(directory, 0o700, exist_ok=True)
            output = self._own[task_id] = NamedOutput(
                directory, self._group.max_output, terminal=False, writes=True
            )
        return output

    def facts_of_group(self) -> dict[str, object]:
        """Return what the next runner has to know of the helper and the workers."""
        facts: dict[str, object] = {
            "base": 0,
            "handed": 0,
            "helper_pid": self._told.helper_pid,
            "roster": self._told.roster.facts(),
        }
        execution = self._execution
        if isinstance(execution, KeptGroupExecution):
            facts |= {"base": execution.link.base, "handed": execution.link.handed}
        return facts

    def write_down(self) -> None:
        """Write what is known of it; see `RunningJob.write_down`."""
        execution = self._execution
        link = execution.link if isinstance(execution, KeptGroupExecution) else None
        handed = 0 if link is None else link.handed
        super().write_down()
        if link is not None and self._is_written:
            link.was_written(handed)

    def _used(self, pids: list[int]) -> dict[int, tuple[float | None, int]]:
        # Who looks measures: the runner may rest.
        return {}

    def _make_execution(self) -> Execution:
        self._told = Told(Roster(self._group.workers))
        execution = KeptGroupExecution(
            self._group,
            self._resources,
            self._driver,
            self.output,
            self.lock,
            publish=self.publish,
            wrote=self.wrote,
            settled=self._go_on,
            group=self,
            told=self._told,
        )
        execution.job = self
        return execution


class KeptGroup(KeptJob, HostedGroup):
    """A kept worker group, as a client has it; see `KeptJob`."""

    def __init__(
        self, place: Place, spec: GroupSpec, status: Status, forget: Callable[[KeptJob], None]
    ) -> None:
        if not isinstance(status, GroupStatus):
            status = GroupStatus(**vars(status), workers=Roster(spec.workers).snapshots(0.0, {}))
        super().__init__(place, spec, status, cast("Callable[..., None]", forget))
        self._own: dict[int, NamedOutput] = {}
        self._usage = WorkerUsage()

    def status(self) -> GroupStatus:
        """Return what is known of it at this moment, each worker included."""
        status = cast("GroupStatus", super().status())
        told = self._status
        assert isinstance(told, GroupStatus)
        if status.state.done:
            return replace(status, workers=tuple(map(_ended, status.workers)))
        passed = time.monotonic() - self._status_at
        used = self._usage.sample([one.pid for one in status.workers if one.uptime is not None and one.pid])
        workers = []
        for one in status.workers:
            cpu, memory = used.get(one.pid or 0, (None, None))
            uptime = None if one.uptime is None else one.uptime + passed
            workers.append(replace(one, uptime=uptime, cpu=cpu, memory=memory))
        return replace(status, workers=tuple(workers))

    def command(self, kind: str, **fields: int) -> None:
        """Send a message to the helper."""
        self.write(encode(kind, b"", **fields))

    def worker_output(self, task_id: int) -> Output | None:
        """Return what one worker has written; see `HostedGroup.worker_output`."""
        with self._lock:
            output = self._own.get(task_id)
            if output is None:
                with suppress(FileNotFoundError):
                    output = self._own[task_id] = NamedOutput(
                        worker_directory(self.place, task_id),
                        self.spec.max_output,
                        terminal=False,
                        writes=False,
                    )
        if output is not None:
            with suppress(OSError):
                output.refresh()
            if self.status().state.done:
                output.settle()
        return output

    def listen_to_workers(self, listener: Callable[[Message], None]) -> NoReturn:
        """Raise an error: the helper's messages reach its runner alone.

        Raises:
            JobStateError: always.
        """
        raise JobStateError(
            f"The helper of the kept group {self.spec.name!r} does not report to this kernel; "
            "subscribe to its events, or start it without keeping it."
        )

    def note(self, note: str) -> None:
        """Have its status say something, in this process."""
        with self._lock:
            self._status = replace(self._status, notes=(*self._status.notes, note))

    def later(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        """Have ``work`` run in so many seconds, in a thread of its own; return what cancels that."""
        timer = threading.Timer(seconds, work)
        timer.daemon = True
        timer.start()
        return timer.cancel

    def close(self) -> None:
        """Let go of the connection, and of the files; the group goes on."""
        super().close()
        self._close_own()

    def release(self) -> None:
        """Remove all that is kept of it; it has ended."""
        self._close_own()
        super().release()

    def _close_own(self) -> None:
        with self._lock:
            while self._own:
                self._own.popitem()[1].close()


def _ended(worker: WorkerSnapshot) -> WorkerSnapshot:
    if worker.state is WorkerState.EXITED or worker.pid is None:
        return worker
    return replace(worker, state=WorkerState.EXITED, uptime=None, cpu=None, memory=None, operations=None)
