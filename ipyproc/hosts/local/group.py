"""A worker group of the local host: its helper is the job's process, and reports its workers by a pipe."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any

from ipyproc.errors import WireError, signal_name
from ipyproc.hosts.base import HostedGroup
from ipyproc.hosts.helper.wire import Message, encode
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.execution import Execution
from ipyproc.hosts.local.job import LocalJob
from ipyproc.hosts.local.link import Link
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.roster import Roster
from ipyproc.hosts.local.run import Run
from ipyproc.hosts.local.worker_usage import WorkerUsage
from ipyproc.model.event import EventKind
from ipyproc.model.group import GroupSpec, GroupStatus
from ipyproc.model.life import Stopping
from ipyproc.model.stimulus import GaveUp, Noted, StopAsked
from ipyproc.spool.output import Output

__all__ = ["GroupExecution", "HelperRun", "LocalGroup", "Told"]

log = logging.getLogger("ipyproc")


class LocalGroup(LocalJob, HostedGroup):
    """Forked workers under a helper, which is a child of this process; see `LocalJob`."""

    def __init__(self, spec: GroupSpec, resources: Resources, driver: Driver) -> None:
        self._prepare(spec)
        super().__init__(spec, resources, driver)

    def _prepare(self, spec: GroupSpec) -> None:
        self._group = spec
        self._own: dict[int, Output] = {}
        self._usage = WorkerUsage()
        self._message_listeners: tuple[Callable[[Message], None], ...] = ()

    # What is known of it

    def status(self) -> GroupStatus:
        """Return what is known of it at this moment, each worker included."""
        told = self._told
        used = self._used(told.roster.pids) if self.ending is None else {}
        of_job = vars(super().status()) | {
            "restarts": told.roster.restarts,
            "max_restarts": self._group.max_restarts,
        }
        return GroupStatus(
            **of_job,
            workers=told.roster.snapshots(time.monotonic(), used),
            helper_pid=told.helper_pid,
        )

    def _used(self, pids: list[int]) -> dict[int, tuple[float | None, int]]:
        """Return the CPU and the memory of workers by their pids."""
        return self._usage.sample(pids)

    def worker_output(self, task_id: int) -> Output | None:
        """Return what one worker has written; see `HostedGroup.worker_output`."""
        return self._own.get(task_id)

    def listen_to_workers(self, listener: Callable[[Message], None]) -> Callable[[], None]:
        """Call ``listener`` with each message of the helper, where the loop is driven; return its removal."""
        self._message_listeners = (*self._message_listeners, listener)

        def unlisten() -> None:
            self._message_listeners = tuple(
                other for other in self._message_listeners if other is not listener
            )

        return unlisten

    # What can be done to it

    def command(self, kind: str, **fields: int) -> None:
        """Send a message to the helper."""
        self.write(encode(kind, b"", **fields))

    def note(self, note: str) -> None:
        """Add a remark to its status."""
        with self.lock:
            if self._execution is not None:
                self._execution.tell(Noted(note))

    def later(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        """Run ``work`` after ``seconds``, where its loop is driven; return a function that cancels it."""
        return self._driver.later(seconds, work).cancel

    def release(self) -> None:
        """Free its output, and that of each worker."""
        super().release()
        while self._own:
            self._own.popitem()[1].close()

    # Its lives

    def _make_execution(self) -> Execution:
        self._told = Told(Roster(self._group.workers))
        return GroupExecution(
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

    def _rest(self) -> None:
        super()._rest()
        for output in self._own.values():
            output.settle()

    def output_of(self, task_id: int) -> Output:
        """Return what one worker writes into."""
        output = self._own.get(task_id)
        if output is None:
            output = self._own[task_id] = Output(self._group.max_output)
        return output

    def tell_listeners(self, message: Message) -> None:
        """Call all listeners with a message."""
        for listener in self._message_listeners:
            try:
                listener(message)
            except (Exception, asyncio.CancelledError):
                # A listener that fails must not stop the group's life, in the middle of which it is called.
                log.exception("Listener %r of group %r failed at %r.", listener, self.spec.name, message)


@dataclass
class Told:
    """The facts that a helper has reported, of its workers and of itself."""

    roster: Roster
    helper_pid: int | None = None


class GroupExecution(Execution):
    """One life of a group: one helper, and its workers."""

    def __init__(self, spec: GroupSpec, *made: Any, group: LocalGroup, told: Told, **callbacks: Any) -> None:
        super().__init__(spec, *made, **callbacks)
        self._group_spec = spec
        self._group = group
        self._told = told
        self._link = self._make_link()

    def _make_link(self) -> Link:
        of = self._group.output_of
        return Link(self._output, of, self.driver, self.lock, self.run_wrote, self.take)

    def make_run(self) -> Run:
        """Return the leader of a helper's session, which has not been started."""
        return HelperRun(self._spec, self._resources, self._output, self, self._link)

    def process_started(self, run: Run) -> None:
        """Send the helper its first message."""
        run.write(self._group_spec.start.data, close=False)

    def process_exited(self, run: Run) -> None:
        """Kill the rest of the session if a signal ended the helper, other than in a stop."""
        status = run.status
        if status is not None and status < 0 and not isinstance(self.life.state, Stopping):
            # All that is left are processes that the workers started.
            run.session.signal(SIGKILL)
            self.tell(Noted(f"its helper was ended by {signal_name(-status)}, and every worker with it"))

    def is_over(self) -> None:
        """Record that all workers have ended with their helper."""
        self._link.end()
        self._told.roster.end()

    def take(self, message: Message | WireError) -> None:
        """Take what the helper sent; where the loop is driven."""
        if isinstance(message, WireError):
            self.tell(StopAsked(None, (SIGKILL,), str(message)))
            return
        if message.kind == "hello":
            self._told.helper_pid = message.number("pid")
            return
        try:
            kind, detail = self._told.roster.take(message)
        except KeyError:
            self.take(WireError(f"Unexpected bytes from the helper: {message!r} is not for a kernel"))
            return
        if kind is not EventKind.GAVE_UP:
            self._group.publish(kind, detail, message.number("task"))
        elif self._group_spec.gives_up:
            self.tell(GaveUp(detail))
            self._group.publish(EventKind.STOPPING, "gave up")
        self._group.tell_listeners(message)


class HelperRun(Run):
    """The leader of a helper's session; the helper and its workers are in it."""

    def signal_session(self, signum: int) -> None:
        """Signal the session; SIGINT and SIGTERM go by way of the leader and the helper.

        A worker that got them from both would be broken off in its cleanup.
        """
        if signum in (SIGINT, SIGTERM) and self.status is None:
            try:
                os.kill(self.pid, signum)
            except ProcessLookupError:
                pass
        else:
            super().signal_session(signum)
