"""A job behind the wire, as its client has it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from signal import SIGKILL, Signals

from ipyproc.errors import IpyprocError, JobStateError, WireError
from ipyproc.hosts.base import HostedJob
from ipyproc.hosts.wire.frames import Fields, Frame
from ipyproc.hosts.wire.link import Link
from ipyproc.hosts.wire.values import event_from, status_from
from ipyproc.model.event import EventKind
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending, JobState, Status
from ipyproc.spool.output import Output, StreamName

__all__ = ["WireJob", "pieces_of"]

_PIECE = 128 << 10
_ANSWER_SECONDS = 5.0
_STREAMS: dict[int, StreamName] = {1: "stdout", 2: "stderr"}


class _News:
    """What the server said of the job at one moment, to be believed once the output of before is here."""

    __slots__ = ("because", "end", "events", "lingers", "lost", "status", "takes_input")

    def __init__(self, fields: Fields) -> None:
        self.status = status_from(fields.inner("status"))
        self.events = [event for one in fields.inners("events") if (event := event_from(one)) is not None]
        self.takes_input = fields.flag("takes_input", False)
        self.lingers = fields.flag("lingers", False)
        self.end = fields.number("end")
        self.lost = fields.number("lost", 0)
        self.because = fields.text("because", "")


class WireJob(HostedJob):
    """A job of a server; `WireHost.start` and `WireHost.attach` make it.

    Its output is pulled into one of its own, at the same offsets. What is known of it changes in the link's
    thread, which calls the listeners too; all that it wrote before an event is there when the event comes.

    Args:
        link: to its server.
        ticket: what the server finds it by.
        spec: what runs.
        status: what is known of it at first.
        forget: has its host have nothing more to do with it.
        output: where its output is; None for one of its own, into which it is pulled.
    """

    def __init__(
        self,
        link: Link,
        ticket: str,
        spec: JobSpec,
        status: Status,
        forget: Callable[[WireJob], None],
        output: Output | None = None,
    ) -> None:
        super().__init__(spec, output or Output(spec.max_output, spec.encoding, terminal=spec.tty))
        self._link = link
        self._forget = forget
        self._ticket = ticket
        self._lock = threading.RLock()
        self._position = 0
        self._last_event = 0
        self._untold: deque[_News] = deque()
        self._lost_there = 0
        self._gone = False
        # Each piece, and whether the input ends after it.
        self._unsent: deque[tuple[memoryview, bool]] = deque()
        self._input_ends = False
        self._writing = False
        self._on_its_way = 0
        self._hides_input = False
        self._looking = False
        self._takes_input = False
        self._lingers = False
        self._status = status
        self._status_at = time.monotonic()

    @classmethod
    def pictured(
        cls, link: Link, ticket: str, spec: JobSpec, picture: Fields, forget: Callable[[WireJob], None]
    ) -> WireJob:
        """Return a job of which the server has said how it is."""
        news = _News(picture)
        status = news.status
        if status.state.done:
            # An end is told by an event, when the output is here.
            status = replace(status, state=JobState.RUNNING, ending=None, returncode=None)
        job = cls(link, ticket, spec, status, forget)
        job._takes_input, job._lingers = news.takes_input, news.lingers
        return job

    # What is known of it

    def status(self) -> Status:
        """Return what is known of it at this moment."""
        with self._lock:
            status, passed = self._status, time.monotonic() - self._status_at
        if status.state.done:
            return status
        uptime = None if status.uptime is None else status.uptime + passed
        return replace(status, elapsed=status.elapsed + passed, uptime=uptime)

    @property
    def lingers(self) -> bool:
        """Return whether it has ended, and there may be more of it to tell."""
        with self._lock:
            return self._lingers and self._status.state.done and not self._gone

    @property
    def ticket(self) -> str:
        """Return what `WireHost.attach` finds it by, in this process and in others."""
        return self._ticket

    # What can be done to it

    def stop(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        """Have it end by the signals of ``ladder``; see `HostedJob.stop`."""
        self._post("stop", grace=grace, ladder=[int(signum) for signum in ladder])

    def signal(self, signum: int) -> bool:
        """Send a signal to its program, and return whether there was one to take it.

        Blocks until the server has answered, for some seconds at most; after that it returns what was known.
        """
        if self._gone:
            return False
        try:
            answer = self._link.ask(
                "signal", {"ticket": self._ticket, "signum": int(signum)}, timeout=_ANSWER_SECONDS
            )
        except TimeoutError:
            return self.status().uptime is not None
        except (OSError, IpyprocError):
            return False
        return answer.flag("sent", False)

    def restart(self, grace: float, ladder: tuple[Signals, ...]) -> None:
        """Stop it and start it anew; see `HostedJob.restart`. Blocks until the server has answered.

        Raises:
            JobStateError: the host cannot start it anew.
            OSError: the host does not answer.
        """
        if self._gone:
            raise JobStateError(
                f"The host of job {self.spec.name!r} has it no more; start its command again."
            )
        self._link.ask(
            "restart",
            {"ticket": self._ticket, "grace": grace, "ladder": [int(signum) for signum in ladder]},
            timeout=_ANSWER_SECONDS,
            then=self._restarted,
        )

    @property
    def takes_input(self) -> bool:
        """Return whether there may be more for its standard input."""
        with self._lock:
            return self._takes_input and not self._input_ends and not self._gone

    @property
    def unread_input(self) -> int:
        """Return how many bytes that were written to it have not been taken by the server."""
        with self._lock:
            return self._on_its_way + sum(len(piece) for piece, _ in self._unsent)

    def write(self, data: bytes, *, close: bool = False) -> None:
        """Write to its standard input; see `HostedJob.write`.

        The server is sent a piece at a time, the next when the job has read enough of those before: what a
        slow job has not read yet is kept here.
        """
        with self._lock:
            if not self.takes_input:
                return
            view = memoryview(data)
            last = max(0, len(view) - 1) // _PIECE * _PIECE
            if data or close:
                for start in range(0, last + 1, _PIECE):
                    self._unsent.append((view[start : start + _PIECE], close and start == last))
            # A terminal takes more after its end.
            self._input_ends = close and not self.spec.reads_terminal
            self._push()

    @property
    def hides_input(self) -> bool:
        """Return whether its terminal reads a line that it does not echo, as the server has said last.

        The server is asked again, without waiting for its answer.
        """
        if self.spec.tty and not self._looking and not self._gone:
            self._looking = True
            self._link.post("look", {"ticket": self._ticket}, then=self._looked)
        return self._hides_input

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal; see `HostedJob.resize`."""
        super().resize(rows, columns)
        self._post("resize", rows=rows, columns=columns)

    def block_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Block this thread until ``condition`` holds, whoever holds the loop."""
        return self._link.block_until(condition, timeout)

    def abandon(self) -> None:
        """End it at once, and leave nothing of it."""
        self._forget(self)
        self._post("drop")
        self.output.close()

    def release(self) -> None:
        """Give back its output, here and at the server."""
        self._forget(self)
        if not self._gone:
            self._post("release")
        self.output.close()

    # For the host, in the link's thread

    def watch(self) -> None:
        """Ask for what was missed, and for what follows."""
        if not self._gone:
            self._link.tell("watch", {"ticket": self._ticket, "since": self._last_event})
            self._pull()

    def take_piece(self, frame: Frame) -> None:
        """Take in output."""
        at, to = frame.fields.number("at"), frame.fields.number("to")
        pieces = pieces_of(frame)
        self._hides_input = frame.fields.flag("hides_input", False)
        if at < self._position:
            return  # It was asked for twice, on two connections; what follows is asked for already.
        if at > self._position:
            self.output.skip(at - self._position)
        data, start = memoryview(frame.body), 0
        for stream, when, size in pieces:
            self.output.append(stream, data[start : start + size], when)
            start += size
        if not pieces:
            self.output.lose(to - at, "its file was removed")
        self._position = to
        self.wrote()
        self._catch_up()
        self._pull()

    def take_news(self, frame: Frame) -> None:
        """Take in what the server says of it."""
        news = _News(frame.fields)
        if news.events:
            self._last_event = max(self._last_event, news.events[-1].number)
        self._untold.append(news)
        self._catch_up()

    def take_gone(self) -> None:
        """The server has it no more."""
        while self._untold:
            self._believe(self._untold.popleft())
        self.lose("The host has let go of it.")

    def renew(self) -> None:
        """Be usable in a fork of the process, where a thread that exists no more may hold the locks."""
        self._lock = threading.RLock()
        self.lock = threading.RLock()

    def lose(self, why: str) -> None:
        """Take it for ended where it has not: its host is gone, and will tell no more."""
        while self._untold:
            self._believe(self._untold.popleft())
        with self._lock:
            self._gone = True
            self._unsent.clear()
            status = self.status()
            if not status.state.done:
                note = f"its host is gone, and how it ended is not known ({why.rstrip('.')})"
                notes = (*status.notes, note)
                self._status = replace(
                    status,
                    state=JobState.EXITED,
                    uptime=None,
                    returncode=-SIGKILL,
                    notes=notes,
                    ending=Ending(-SIGKILL, status.elapsed, notes=notes),
                    again=False,
                )
            else:
                self._status = replace(status, left=0, again=False)
            was_done = status.state.done
        if not was_done:
            self._over()
            self.publish(EventKind.DONE)

    # Helpers

    def _catch_up(self) -> None:
        while self._untold and self._untold[0].end <= self._position:
            self._believe(self._untold.popleft())

    def _believe(self, news: _News) -> None:
        with self._lock:
            if news.status.lives > self._status.lives:
                self._input_ends = False
            ended = news.status.state.done and not self._status.state.done
            self._status, self._status_at = news.status, time.monotonic()
            self._takes_input, self._lingers = news.takes_input, news.lingers
            lost, self._lost_there = news.lost - self._lost_there, news.lost
        if lost > 0:
            self.output.lose(lost, news.because)
        if news.status.state.done and not news.lingers and not news.status.again:
            self._over()
        # Numbered by the server; what it sent again after a lost connection is known.
        for event in news.events:
            self.hand_on(event)
        if ended and not any(event.kind is EventKind.DONE for event in news.events):
            # The server's host has forgotten what happened to a job that ended long ago.
            self.publish(EventKind.DONE)

    def _restarted(self, answer: Fields) -> None:
        # That it is to be started has to be known from now on, whatever was said before and waits.
        told = status_from(answer.inner("status"))
        with self._lock:
            if told.again or told.lives > self._status.lives:
                self._status = replace(self._status, again=True)
                for news in self._untold:
                    news.status = replace(news.status, again=True)

    def _over(self) -> None:
        self.output.settle()
        for given in self.spec.inputs:
            given.let_go()

    def _pull(self) -> None:
        self._link.tell("pull", {"ticket": self._ticket, "from": self._position})

    def _post(self, kind: str, **fields: object) -> None:
        if not self._gone:
            self._link.post(kind, {"ticket": self._ticket, **fields})

    def _push(self) -> None:
        """Send the next piece of input, unless one is on its way."""
        if self._writing or not self._unsent:
            return
        piece, ends = self._unsent.popleft()
        self._writing, self._on_its_way = True, len(piece)
        self._link.post("write", {"ticket": self._ticket, "close": ends}, bytes(piece), self._written)

    def _looked(self, answer: Fields | Exception) -> None:
        self._looking = False
        if not isinstance(answer, Exception):
            self._hides_input = answer.flag("hides_input", False)

    def _written(self, answer: Fields | Exception) -> None:
        with self._lock:
            self._writing, self._on_its_way = False, 0
            if isinstance(answer, Exception):
                self._unsent.clear()
            else:
                self._push()


def pieces_of(frame: Frame) -> list[tuple[StreamName, float, int]]:
    """Return the pieces of output in a frame: stream, time, size.

    Raises:
        WireError: they are not what its body has.
    """
    pieces: list[tuple[StreamName, float, int]] = []
    size_said = frame.fields.number("to") - frame.fields.number("at")
    for item in frame.fields.items("pieces"):
        match item:
            case [int(code), int() | float() as when, int(size)] if code in _STREAMS and size > 0:
                pieces.append((_STREAMS[code], float(when), size))
            case _:
                raise WireError("A host sent output of no known stream; restart the host.")
    if sum(size for _, _, size in pieces) != len(frame.body) or size_said < len(frame.body):
        raise WireError("A host sent output of another size than it said; restart the host.")
    return pieces
