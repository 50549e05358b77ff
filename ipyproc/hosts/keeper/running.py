"""A kept job in its runner: the local host's job, whose state is written down at each step."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from signal import SIGKILL

from ipyproc.hosts.keeper.places import Place
from ipyproc.hosts.keeper.post import Post
from ipyproc.hosts.keeper.record import Going, Record, RunFacts, write_record
from ipyproc.hosts.keeper.run import KeptRun
from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.execution import Execution
from ipyproc.hosts.local.health import Health
from ipyproc.hosts.local.job import LocalJob
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.rested import Rested
from ipyproc.hosts.local.run import Run
from ipyproc.hosts.local.warden import Warden
from ipyproc.hosts.wire.values import fields_of_spec
from ipyproc.model.decide import due
from ipyproc.model.life import Alive, Backoff, Ended, Gone, Life, Rest, Running, Starting
from ipyproc.model.state import Exit
from ipyproc.model.stimulus import Drained, Noted, Started, Stimulus
from ipyproc.process.platform.processes import listing
from ipyproc.spool.named import NamedOutput

__all__ = ["KeptExecution", "RunningJob", "unguarded"]

log = logging.getLogger("ipyproc")


class _NoWarden(Warden):
    """Guards nothing: a kept job is not to end with the process that has started it."""

    def _send(self, message: bytes) -> None:
        return

    def revive(self) -> bool:
        """Start nothing."""
        return False


def unguarded() -> Resources:
    """Return the resources of a host whose jobs outlive it."""
    resources = Resources()
    resources.warden = _NoWarden()
    return resources


class KeptExecution(Execution):
    """One life of a kept job; see `Execution`."""

    job: RunningJob

    def make_run(self) -> Run:
        """Return a process that has not been started."""
        return self.new_run()

    def new_run(self) -> KeptRun:
        """Return a process that is to be started, or that another runner has started."""
        return KeptRun(self._spec, self._resources, self._output, self, self.job.place, self.job.post)

    def _launch(self) -> Run:
        run = super()._launch()
        self.job.write_down()
        return run

    def _decide(self, stimulus: Stimulus) -> None:
        before = self.life
        super()._decide(stimulus)
        if self.life is not before:
            self.job.write_down()

    def run_exited(self, run: Run) -> None:
        """Record the exit of a process, and what is not known of it."""
        if isinstance(run, KeptRun) and run.note:
            self.tell(Noted(run.note))
        super().run_exited(run)

    def resume(
        self, life: Life, facts: RunFacts | None, exits: tuple[Exit, ...], fds: Mapping[str, int]
    ) -> None:
        """Go on where another runner was killed, or rested; call where the loop is driven."""
        with self.lock:
            self.life, self.exits = life, exits
            state = life.state
            if facts is not None:
                run = self.new_run()
                run.resume(facts, fds)
                self.run = run
            if isinstance(state, Ended):
                self.ending = self.job.record.status.ending
            if isinstance(state, Starting):
                self._resume_start(facts)
            elif self.run is not None and isinstance(life.process, (Alive, Gone)):
                self._resume_run(life.process)
            self._arm()
            if self.ending is not None:
                self._settled()

    def _resume_start(self, facts: RunFacts | None) -> None:
        run = self.run
        if run is None or facts is None or not facts.lives:
            self._start_process_anew()
            return
        self.process_started(run)
        self._readiness.begin(self.driver, run.pid, run.offset)
        self.tell(Started(run.pid))
        run.begin()

    def _start_process_anew(self) -> None:
        try:
            self._begin(self._launch())
        except Exception as error:
            if self.run is not None and self.run.status is None:
                self.take_back(self.run)
            self._tell_failed(error)

    def _resume_run(self, process: Alive | Gone) -> None:
        run = self.run
        assert isinstance(run, KeptRun)
        if isinstance(process, Alive):
            if not self.life.ready:
                self._readiness.begin(self.driver, run.pid, run.offset)
            if self._spec.is_watched:
                self._health = Health(
                    self._spec, self._resources, self.driver, self.lock, self._output, self._unwell
                )
                self._health.begin(run.pid)
            run.begin()
            return
        run.begin()
        if process.piping and not run.piping:
            # The last pipe's end was seen, and not told.
            self.run_piped_out(run)
        if process.rest is Rest.DRAINING:
            run.drain()
            self.tell(Drained(run.piping))


class RunningJob(LocalJob):
    """A kept job in its runner; see `LocalJob`.

    Args:
        place: its directory.
        record: what is written of it.
        resources: the resources of the host.
        driver: the driver of the loop on which it lives.
        post: where the holder is told what to keep.
    """

    def __init__(
        self, place: Place, record: Record, resources: Resources, driver: Driver, post: Post
    ) -> None:
        self.place = place
        self.record = record
        self.post = post
        super().__init__(record.spec, resources, driver)
        spec = record.spec
        self.output = NamedOutput(place.path, spec.max_output, spec.encoding, terminal=spec.tty, writes=True)
        self.output.lose(record.lost, record.because)
        self._execution = self._make_execution()
        self._wrote_at = time.monotonic()
        self._is_written = True

    def go_on(self, fds: Mapping[str, int]) -> None:
        """Start it, or take it up where another runner has left it; call on the loop."""
        going, status = self.record.going, self.record.status
        for event in self.record.events:
            self.hand_on(event)
        self._lives = status.lives
        if status.ending is not None and going is None:
            self._pid, self._last_exits, self._last_error = status.pid, status.exits, status.error
            self._last_ending = status.ending
            self._last_life = Rested(status.state, status.restarts, status.ready, status.notes)
            self._execution = None
            return
        execution = self._execution
        assert isinstance(execution, KeptExecution)
        if going is None or going.life is None:
            if fds:
                self._begin_again(fds)
            try:
                self.start()
            except Exception as error:
                execution.fail(error)
            return
        self._again = going.again
        self._last_exits, self._pid = status.exits, status.pid
        self._resources.living.add(self)
        execution.resume(going.life, going.run, status.exits, fds)

    def _begin_again(self, fds: Mapping[str, int]) -> None:
        """End what a runner has started that was killed before it could write that down."""
        self.post.knows(set(fds))
        for fd in fds.values():
            os.close(fd)
        own, holder, processes = os.getpid(), os.getppid(), listing()
        for pid in processes.pids() if processes is not None else ():
            found = processes.look(pid) if processes is not None else None
            if pid != own and found is not None and found.parent == holder:
                # The holder is its parent by now, and has no other children that lead sessions.
                with suppress(OSError):
                    if os.getsid(pid) == pid:
                        os.killpg(pid, SIGKILL)

    def kept_fds(self) -> dict[str, int]:
        """Return what the holder keeps of its process, by name, as this process has it."""
        execution = self._execution
        run = None if execution is None else execution.run
        return run.kept_fds() if isinstance(run, KeptRun) else {}

    @property
    def rests_for(self) -> float:
        """The seconds for which nothing is to be done, unless something comes; 0 where it cannot rest."""
        execution = self._execution
        if execution is None or self._again:
            return 0.0
        life, spec = execution.life, self.spec
        if isinstance(life.state, Running) and isinstance(life.process, Alive):
            is_waiting = not spec.is_watched and (spec.ready is None or life.ready)
        else:
            is_waiting = isinstance(life.state, Backoff) and life.state.clearing is None
        is_settling = isinstance(execution.run, KeptRun) and execution.run.is_settling
        if not is_waiting or is_settling or self.unread_input:
            return 0.0
        return max(0.0, due(life) - time.monotonic())

    def _make_execution(self) -> Execution:
        execution = KeptExecution(
            self.spec,
            self._resources,
            self._driver,
            self.output,
            self.lock,
            publish=self.publish,
            wrote=self.wrote,
            settled=self._go_on,
        )
        execution.job = self
        return execution

    def _rest(self) -> None:
        super()._rest()
        self.write_down()

    def facts_of_group(self) -> dict[str, object] | None:
        """Return what the next runner of a worker group has to know; None for other jobs."""
        return None

    def write_down(self) -> None:
        """Write what is known of it, so that another can go on from here."""
        execution = self._execution
        going = None
        if execution is not None:
            run = execution.run.facts() if isinstance(execution.run, KeptRun) else None
            going = Going(execution.life, run, self._again)
        try:
            write_record(
                self.place,
                spec=fields_of_spec(self.spec),
                status=self.status(),
                events=self.events(),
                born=self.record.born,
                holder=os.getppid(),
                lost=self.output.lost,
                because=self.output.lost_because,
                warning=self.record.warning,
                group=self.facts_of_group(),
                going=going,
            )
            self._is_written = True
        except OSError as error:
            if self._is_written:
                log.warning("The state of job %r cannot be written: %s", self.spec.name, error)
            self._is_written = False
