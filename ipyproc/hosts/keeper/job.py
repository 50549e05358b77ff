"""A kept job, as a client has it: told what happens by its runner, and read from its files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from signal import Signals

from ipyproc.errors import IpyprocError, JobStateError
from ipyproc.hosts.keeper.link import RestingLink
from ipyproc.hosts.keeper.places import Place, remove
from ipyproc.hosts.keeper.record import Record, boot_id, read_record
from ipyproc.hosts.keeper.start import start_holder
from ipyproc.hosts.wire.frames import Fields, Frame
from ipyproc.hosts.wire.job import WireJob
from ipyproc.model.event import EventKind
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending, JobState, Status
from ipyproc.spool.named import NamedOutput

__all__ = ["KeptJob"]

_LOST = 255
_NOT_STARTED = 127
_BOOTED = "the machine was started anew meanwhile, and how it ended is not known"
_GONE = "its holder is gone, and how it ended is not known"

_TRIES = 3


class KeptJob(WireJob):
    """A kept job of this user; `ipyproc.hosts.keeper.host.KeeperHost` makes it.

    Its output is read from the files into which its runner writes. What it is told comes in the thread of its
    connection.

    Args:
        place: its directory.
        spec: what runs.
        status: what is known of it at first.
        forget: has its host have nothing more to do with it.

    Attributes:
        place: its directory.
        warning: what ends it anyway; may be empty.
    """

    def __init__(
        self, place: Place, spec: JobSpec, status: Status, forget: Callable[[WireJob], None]
    ) -> None:
        self.place = place
        self.warning = ""
        link = RestingLink(place.socket, self._take, self.watch, self.lose)
        output = NamedOutput(place.path, spec.max_output, spec.encoding, terminal=spec.tty, writes=False)
        self._resting = link
        super().__init__(link, place.id, spec, status, forget, output)
        self._takes_input = spec.stdin is None and not status.state.done
        # What is asked before there is a holder.
        self._waiting: list[Callable[[], None]] | None = []
        self._is_held = threading.Event()

    @classmethod
    def of(cls, place: Place, record: Record, forget: Callable[[WireJob], None]) -> KeptJob:
        """Return a job that is kept already."""
        status = record.status
        if not status.state.done:
            passed = max(0.0, time.time() - record.written)
            uptime = None if status.uptime is None else status.uptime + passed
            status = replace(status, elapsed=status.elapsed + passed, uptime=uptime)
        job = cls(place, record.spec, status, forget)
        job.output.lose(record.lost, record.because)
        job.warning = record.warning
        for event in record.events:
            job.hand_on(event)
        if record.events:
            job._last_event = record.events[-1].number
        return job

    def status(self) -> Status:
        """Return what is known of it at this moment, with what ends it anyway."""
        status = super().status()
        if not self.warning or status.state.done:
            return status
        return replace(status, notes=(*status.notes, self.warning))

    @property
    def is_kept(self) -> bool:
        """True: the kernel's end does not end it."""
        return True

    @property
    def hides_input(self) -> bool:
        """Whether its terminal does not echo, as it was told last; see `WireJob.hides_input`."""
        return self._hides_input if self._resting.rests else super().hides_input

    # Its holder

    def hold(self, prepare: Callable[[], None] | None = None) -> None:
        """Start its holder, unless it has one, and connect to it, in a thread; return at once.

        Args:
            prepare: called before that, in the thread.
        """
        threading.Thread(target=self._hold, args=(prepare,), name="ipyproc-keep", daemon=True).start()

    def connect(self) -> None:
        """Connect to its holder, which is there."""
        self._link.post("attach", {"ticket": self._ticket}, then=self._attached)

    def wait_until_held(self, timeout: float) -> bool:
        """Block until it has a holder, or has ended; return whether it is so."""
        return self._is_held.wait(timeout)

    def rest(self) -> None:
        """Be told nothing more: it has ended."""
        with self._lock:
            self._waiting, self._gone = None, True
        self._is_held.set()
        self._look()
        self.output.settle()

    def close(self) -> None:
        """Let go of the connection, and of the files; the job goes on."""
        self._gone = True
        self._link.close()
        self.output.settle()

    def disown(self) -> None:
        """Let go of the connection in a fork of the process."""
        self._link.disown()
        self.renew()

    def _hold(self, prepare: Callable[[], None] | None) -> None:
        try:
            if prepare is not None:
                prepare()
            start_holder(self.place)
            self.connect()
        except (OSError, IpyprocError) as error:
            self._not_held(error)
            return
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            for one in waiting:
                one()
        self._is_held.set()

    def _not_held(self, error: Exception) -> None:
        with self._lock:
            self._waiting, self._gone = None, True
            note = f"it could not be started: {str(error).rstrip('.')}"
            self._status = replace(
                super().status(),
                state=JobState.EXITED,
                uptime=None,
                returncode=_NOT_STARTED,
                notes=(note,),
                ending=Ending(_NOT_STARTED, 0.0, notes=(note,)),
                error=error,
            )
        self._is_held.set()
        self._over()
        self.publish(EventKind.DONE)

    def _attached(self, answer: Fields | Exception) -> None:
        if isinstance(answer, Exception):
            self.lose(str(answer))
            return
        # All that there is to know follows, with the events by which it came about.
        self.watch()

    def _post(self, kind: str, **fields: object) -> None:
        with self._lock:
            if self._waiting is not None:
                self._waiting.append(lambda: self._post(kind, **fields))
                return
        super()._post(kind, **fields)

    def _push(self) -> None:
        with self._lock:
            if self._waiting is not None:
                self._waiting.append(self._push)
                return
        super()._push()

    def signal(self, signum: int) -> bool:
        """Send a signal to its program; see `WireJob.signal`. Waits for its start, too."""
        self._is_held.wait(10.0)
        return super().signal(signum)

    def restart(self, grace: float, ladder: tuple[Signals, ...]) -> None:
        """Stop it and start it anew; see `HostedJob.restart`. One that has ended gets a holder again.

        Raises:
            OSError: it cannot have one.
            JobStateError: its directory is gone.
        """
        self._is_held.wait(10.0)
        lives = self.status().lives
        for tries_left in range(_TRIES - 1, -1, -1):
            if self.ending is not None:
                if not self.place.is_there:
                    raise JobStateError(
                        f"What was kept of job {self.spec.name!r} was removed; start its command again."
                    )
                start_holder(self.place)
                self._gone = False
                self.connect()
            try:
                super().restart(grace, ladder)
                return
            except FileNotFoundError:
                # Nobody has asked it for so long, since this process was held up, that it has left again.
                if not tries_left or self.ending is None or self.status().lives != lives:
                    raise

    # What its runner says

    def _take(self, frame: Frame) -> None:
        if frame.kind == "news":
            self.take_news(frame)
        elif frame.kind == "grew":
            self._hides_input = frame.fields.flag("hides_input", False)
            self._look()
            self._pull()

    def _pull(self) -> None:
        self._link.tell("pull", {"ticket": self._ticket, "from": self._position, "files": True})

    def _look(self) -> None:
        output = self.output
        assert isinstance(output, NamedOutput)
        with suppress(OSError):
            if output.refresh():
                self._position = output.end
                self.wrote()
        self._position = output.end
        self._catch_up()

    def _catch_up(self) -> None:
        if self._untold and self._untold[-1].end > self._position:
            output = self.output
            assert isinstance(output, NamedOutput)
            with suppress(OSError):
                if output.refresh():
                    self.wrote()
            self._position = max(output.end, self._untold[-1].end)
        super()._catch_up()

    def lose(self, why: str) -> None:
        """Its holder is gone: it has ended, or it was killed with all that stood by."""
        if self._gone:
            return
        try:
            record = read_record(self.place)
        except JobStateError as error:
            super().lose(str(error))
            return
        self._look()
        while self._untold:
            self._believe(self._untold.popleft())
        with self._lock:
            if self._status.state.done:
                self._gone = True
                self._status = replace(self._status, again=False)
                return
            status = record.status
            if not status.state.done:
                status = lost_status(record)
            self._gone = True
            self._status = replace(status, again=False)
        for event in record.events:
            self.hand_on(event)
        self._over()
        if not any(event.kind is EventKind.DONE for event in record.events):
            self.publish(EventKind.DONE)

    def release(self) -> None:
        """Remove all that is kept of it; it has ended."""
        self._forget(self)
        self._gone = True
        self._link.close()
        self.output.close()
        remove(self.place)


def lost_status(record: Record) -> Status:
    """Return the status of a job that runs no more, and of which nobody has seen the end."""
    note = _GONE if record.boot == boot_id() else _BOOTED
    status = record.status
    notes = (*status.notes, note)
    return replace(
        status,
        state=JobState.EXITED,
        uptime=None,
        returncode=_LOST,
        notes=notes,
        ending=Ending(_LOST, status.elapsed, notes=notes),
        again=False,
    )
