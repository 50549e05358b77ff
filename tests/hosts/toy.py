"""A host whose jobs are coroutines: how little a host has to say."""

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from signal import SIGKILL, Signals

from ipyproc.hosts.base import Host, HostedJob
from ipyproc.model.event import EventKind
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending, Exit, JobState, Status
from ipyproc.spool.output import Output, StreamName

Say = Callable[[StreamName, bytes], None]
Program = Callable[[Say], Awaitable[int]]  # Returns its exit status; a signal cancels it.


class ToyHost(Host):
    def __init__(self, programs: Mapping[str, Program], loop: asyncio.AbstractEventLoop) -> None:
        self._programs, self._loop = programs, loop
        self._jobs: list[HostedJob] = []

    def start(self, spec: JobSpec) -> HostedJob:
        if spec.command not in self._programs:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), spec.command)
        self._jobs.append(ToyJob(spec, self._loop, self._programs[spec.command]))
        return self._jobs[-1]

    def close(self) -> None:
        for job in self._jobs:
            job.kill()


class ToyJob(HostedJob):
    def __init__(self, spec: JobSpec, loop: asyncio.AbstractEventLoop, program: Program) -> None:
        super().__init__(spec, Output(spec.max_output, spec.encoding))
        self._loop, self._program = loop, program
        self._born, self._sent = time.time(), None
        self._status = Status(JobState.RUNNING)
        self.publish(EventKind.STARTED)
        loop.call_soon_threadsafe(lambda: setattr(self, "_task", loop.create_task(self._run())))

    def status(self) -> Status:
        return self._status

    def stop(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        self._loop.call_soon_threadsafe(self._climb, grace, ladder)

    async def _run(self) -> None:
        try:
            self._finish(await self._program(self._say))
        except asyncio.CancelledError:
            self._finish(-self._sent if self._sent else 1)

    def _say(self, stream: StreamName, data: bytes) -> None:
        self.output.append(stream, data, time.time())
        self.wrote()

    def _climb(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        if self._status.state.done or not ladder:
            return
        self._sent, self._status = ladder[0], Status(JobState.STOPPING)
        self.publish(EventKind.STOPPING, self._sent.name)
        self._task.cancel(self._sent.name)
        if self._sent is SIGKILL:
            self._finish(-SIGKILL)
        elif grace is not None:
            self._loop.call_later(grace, self._climb, grace, ladder[1:])

    def _finish(self, code: int) -> None:
        if not self._status.state.done:
            now, by = time.time(), self._sent.name if self._sent else None
            elapsed, exits = now - self._born, (Exit(0, code, self._born, now),)
            self.publish(EventKind.EXITED)
            ending = Ending(code, elapsed, by)
            self._status = Status(JobState.EXITED, 0, elapsed, None, code, exits, ending=ending)
            self.publish(EventKind.DONE)
