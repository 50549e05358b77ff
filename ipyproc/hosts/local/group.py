"""A worker group of the local host: its helper is the job's process, which tells of its workers by a pipe."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from signal import SIGINT, SIGKILL, SIGTERM

from ipyproc.errors import WireError, signal_name
from ipyproc.hosts.base import HostedGroup
from ipyproc.hosts.helper.wire import Message, encode
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.job import LocalJob
from ipyproc.hosts.local.link import Link
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.roster import Roster
from ipyproc.hosts.local.run import Run
from ipyproc.hosts.local.worker_usage import WorkerUsage
from ipyproc.model.event import EventKind
from ipyproc.model.group import GroupSpec, GroupStatus
from ipyproc.model.state import JobState
from ipyproc.model.stimulus import GaveUp, Noted
from ipyproc.spool.output import Output

__all__ = ["LocalGroup"]

log = logging.getLogger("ipyproc")


class LocalGroup(LocalJob, HostedGroup):
    """Forked workers under a helper, which is a child of this process; see `LocalJob`."""

    def __init__(self, spec: GroupSpec, resources: Resources, driver: Driver) -> None:
        self._group = spec
        self._roster = Roster(spec.workers)
        self._link: Link | None = None
        self._own: dict[int, Output] = {}
        self._usage = WorkerUsage()
        self._helper_pid: int | None = None
        self._message_listeners: tuple[Callable[[Message], None], ...] = ()
        super().__init__(spec, resources, driver)

    # What is known of it

    def status(self) -> GroupStatus:
        """Return what is known of it at this moment, each worker included."""
        pids = self._roster.pids if self._ending is None else []
        return GroupStatus(
            **{
                **vars(super().status()),
                "restarts": self._roster.restarts,
                "max_restarts": self._group.max_restarts,
            },
            workers=self._roster.snapshots(time.monotonic(), self._usage.sample(pids)),
            helper_pid=self._helper_pid,
        )

    def worker_output(self, task_id: int) -> Output | None:
        """Return what one worker has written; see `HostedGroup.worker_output`."""
        return self._own.get(task_id)

    def listen_to_workers(self, listener: Callable[[Message], None]) -> Callable[[], None]:
        """Have ``listener`` called with each message of the helper, where the loop is driven."""
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
        """Have its status say something."""
        with self.lock:
            self._tell(Noted(note))

    def later(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        """Have ``work`` run in so many seconds, where its loop is driven; return what cancels that."""
        return self._driver.later(seconds, work).cancel

    def release(self) -> None:
        """Give back its output, and that of each worker."""
        super().release()
        while self._own:
            self._own.popitem()[1].close()

    # What is different from other jobs

    def _make_run(self) -> Run:
        self._roster = Roster(self._group.workers)
        self._link = Link(self.output, self._output_of, self._driver, self.lock, self.run_wrote, self._take)
        self._helper_pid = None
        return _HelperRun(self.spec, self._resources, self.output, self, self._link)

    def _process_started(self, run: Run) -> None:
        run.write(self._group.start.data, close=False)

    def _process_exited(self, run: Run) -> None:
        status = run.status
        if status is not None and status < 0 and self.state is not JobState.STOPPING:
            # All that is left are processes that the workers started.
            run.session.signal(SIGKILL)
            self._tell(Noted(f"its helper was ended by {signal_name(-status)}, and every worker with it"))

    def _is_over(self) -> None:
        assert self._link is not None
        self._link.end()
        self._roster.end()

    def _rest(self) -> None:
        super()._rest()
        for output in self._own.values():
            output.settle()

    def _take(self, message: Message | WireError) -> None:
        """Take what the helper sent; where the loop is driven."""
        if isinstance(message, WireError):
            self._stop(None, (SIGKILL,), str(message))
            return
        if message.kind == "hello":
            self._helper_pid = message.number("pid")
            return
        try:
            kind, detail = self._roster.take(message)
        except KeyError:
            self._take(WireError(f"Unexpected bytes from the helper: {message!r} is not for a kernel"))
            return
        if kind is EventKind.GAVE_UP:
            if self._group.gives_up:
                self._tell(GaveUp(detail))
                self.publish(EventKind.STOPPING, "gave up")
        else:
            self.publish(kind, detail, message.number("task"))
        for listener in self._message_listeners:
            try:
                listener(message)
            except (Exception, asyncio.CancelledError):
                # It is told in the midst of the group's life, which goes on.
                log.exception("Listener %r of group %r failed at %r.", listener, self.spec.name, message)

    def _output_of(self, task_id: int) -> Output:
        output = self._own.get(task_id)
        if output is None:
            output = self._own[task_id] = Output(self._group.max_output)
        return output


class _HelperRun(Run):
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
