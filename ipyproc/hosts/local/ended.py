"""What is kept of a job's life once it has ended: a fifth of the memory, and nothing that could happen."""

from __future__ import annotations

from signal import Signals

from ipyproc.hosts.local.life import LADDER, Ending, Life
from ipyproc.hosts.local.run import Run
from ipyproc.model.state import Exit, JobState
from ipyproc.process.platform.sessions import Member

__all__ = ["EndedLife", "EndedRun", "ended_life"]


class _NoSession:
    """The session of a process that has left nothing."""

    __slots__ = ()
    is_empty = True
    left = 0
    members: tuple[Member, ...] = ()

    def signal(self, signum: int) -> None:
        """Do nothing: nobody is there."""

    def may_be_ended(self) -> bool:
        """Return False: nobody is there."""
        return False


_NOBODY = _NoSession()


class EndedRun:
    """What is kept of the last `Run`."""

    __slots__ = ("began", "offset", "pid", "status")
    session = _NOBODY
    takes_input = False

    def __init__(self, run: Run) -> None:
        self.pid = run.pid
        self.status = run.status
        self.began = run.began
        self.offset = run.offset

    def signal(self, signum: int) -> bool:
        """Return False: there is nobody to be signalled."""
        return False

    def reap(self, seconds: float) -> int | None:
        """Return the exit status, which is known."""
        return self.status

    def write(self, data: bytes, *, close: bool) -> None:
        """Do nothing, as the other methods: the process has gone, and its pipes with it."""

    def end_input(self) -> None:
        """Do nothing."""

    def kill_now(self) -> None:
        """Do nothing."""

    def cut(self) -> None:
        """Do nothing."""

    def lose(self) -> None:
        """Do nothing."""


class EndedLife:
    """What is kept of a `Life`; see there."""

    __slots__ = ("ending", "error", "exits", "notes", "restarts", "run", "state")
    left = 0
    lingers = False

    def __init__(self, life: Life, run: EndedRun | None, ending: Ending) -> None:
        self.run = run
        self.ending = ending
        self.error: Exception | None = life.error
        self.exits: tuple[Exit, ...] = life.exits
        self.notes: tuple[str, ...] = life.notes
        self.restarts = life.restarts
        self.state: JobState = life.state

    @property
    def elapsed(self) -> float:
        """Seconds from its start until its end."""
        return self.ending.elapsed

    def stop(self, grace: float | None, *, ladder: tuple[Signals, ...] = LADDER, note: str = "") -> None:
        """Do nothing: it has ended, and left nothing."""

    def recycle(self, why: str) -> None:
        """Do nothing: no process is left that could be ended."""

    def note(self, note: str) -> None:
        """Note something that there is to say of it."""
        if note not in self.notes:
            self.notes = (*self.notes, note)


def ended_life(life: Life | EndedLife) -> Life | EndedLife:
    """Return what is to be kept of a life: itself as long as anything of it may still happen."""
    run = life.run
    if isinstance(life, EndedLife) or isinstance(run, EndedRun) or life.ending is None or life.lingers:
        return life
    if run is None:
        return EndedLife(life, None, life.ending)
    if run.status is None or not run.session.is_empty:
        return life
    return EndedLife(life, EndedRun(run), life.ending)
