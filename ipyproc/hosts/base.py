"""What a host is: who runs jobs, here or elsewhere.

A host starts a job for its spec, and returns what it holds of it, a `HostedJob`: its output, what is known of
it, and what can be done to it. What happens is told as numbered events, and output is read by its offset, so
that whoever connects late, or anew, misses nothing. The life of a job (restarts, stops, timeouts) is the
host's, by `ipyproc.model.decide` or as it likes; names, awaits and views are not.

A small host has to say four things of a job: what is known of it (`HostedJob.status`), what happened
(`HostedJob.publish`), what it wrote (`HostedJob.output`), and how it is stopped (`HostedJob.stop`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from signal import SIGKILL, Signals

from ipyproc.errors import JobStateError
from ipyproc.hosts.helper.wire import Message
from ipyproc.hosts.source import EventSource
from ipyproc.model.group import GroupStatus
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending, JobState, Status
from ipyproc.model.usage import UsagePoint
from ipyproc.spool.output import Output

__all__ = ["Host", "HostedGroup", "HostedJob"]

_LONGEST_PAUSE = 0.02
_MOST_SIZES = 100


class Host(ABC):
    """Runs jobs. Its methods may be called from any thread."""

    @abstractmethod
    def start(self, spec: JobSpec) -> HostedJob:
        """Start a job, and return at once.

        Args:
            spec: what runs, and how. A host that cannot do a part of it says so.

        Raises:
            OSError: it cannot be started; nothing is left of it.
            JobSpecError: the spec asks for what this host has not (a `ValueError`).
            NoLoopError: there is no event loop on which the job could live.
        """

    def attach(self, ticket: str) -> HostedJob:
        """Return a job that was started before, by its `HostedJob.ticket`.

        Raises:
            JobStateError: the host has no such job, or keeps none for others.
        """
        raise JobStateError(f"This host has no job {ticket!r} that can be attached to; start it anew.")

    @abstractmethod
    def close(self) -> None:
        """End every job of the host that is not kept, wait for it, and give back what the host itself holds.

        It is called at the kernel's end, may block for a second, and is harmless when called again.
        """


class HostedJob(EventSource, ABC):
    """A job as its host holds it. Its methods may be called from any thread.

    Args:
        spec: what runs, and how.
        output: all that it writes.

    Attributes:
        spec: likewise.
        output: likewise; to be read, by its offsets.
        sizes: the rows and columns of its terminal, each with the offset of the output from which it had
            them; empty if it was never resized.
    """

    # Of the class until it is resized: an ended job is to cost little.
    sizes: tuple[tuple[int, int, int], ...] = ()

    def __init__(self, spec: JobSpec, output: Output) -> None:
        super().__init__()
        self.spec = spec
        self.output = output

    # What is known of it

    @abstractmethod
    def status(self) -> Status:
        """Return what is known of it at this moment."""

    @property
    def state(self) -> JobState:
        """Return where it is in its life."""
        return self.status().state

    @property
    def pid(self) -> int:
        """Return the id of its current or last process; 0 where it has none."""
        return self.status().pid

    @property
    def ending(self) -> Ending | None:
        """Return how it ended; None before its end."""
        return self.status().ending

    @property
    def left(self) -> int:
        """Return how many processes it has left running, once it has ended."""
        return self.status().left

    @property
    def lingers(self) -> bool:
        """Return whether it has ended, and there may be more of it to tell, such as what it left running."""
        return False

    def usage(self) -> list[UsagePoint]:
        """Return what its processes have used over its life; a host that does not measure returns nothing."""
        return []

    @property
    def ticket(self) -> str:
        """Return what `Host.attach` finds it by; empty where it cannot be attached to."""
        return ""

    @property
    def is_kept(self) -> bool:
        """Return whether it goes on when the kernel ends."""
        return False

    # What can be done to it

    @abstractmethod
    def stop(self, grace: float | None, ladder: tuple[Signals, ...]) -> None:
        """Have it end by the signals of ``ladder``, and return at once; it is not restarted.

        What an ended job has left running is ended likewise.

        Args:
            grace: seconds between the signals; None sends the first alone.
            ladder: the signals.
        """

    def kill(self) -> None:
        """Have it end by SIGKILL, at once; it is not restarted."""
        self.stop(0.0, (SIGKILL,))

    def signal(self, signum: int) -> bool:
        """Send a signal to its program; return whether there was one to take it."""
        return False

    def restart(self, grace: float, ladder: tuple[Signals, ...]) -> None:
        """Stop it, as `stop` does, and start it anew; where it has ended, just that. Return at once.

        `Status.lives` counts the starts, and `Status.again` says whether one is still to come.

        Raises:
            JobStateError: this host cannot start it anew.
        """
        raise JobStateError(
            f"The host of job {self.spec.name!r} starts no job anew; start its command again."
        )

    @property
    def takes_input(self) -> bool:
        """Return whether there may be more for its standard input."""
        return False

    @property
    def unread_input(self) -> int:
        """Return how many bytes that were written to it wait, since it has not taken them yet."""
        return 0

    def write(self, data: bytes, *, close: bool = False) -> None:
        """Write to its standard input, and close it after that where ``close`` says so.

        What it does not take yet is kept, and blocks nobody. What comes when `takes_input` is False is lost.
        A terminal is not closed: its end-of-file character is typed, and it takes more after that. Of a line
        that it edits itself, Linux drops what exceeds 4,095 bytes.
        """
        return

    @property
    def hides_input(self) -> bool:
        """Return whether it has a terminal that reads a line and does not echo it, as for a password.

        A host elsewhere returns what it was told last.
        """
        return False

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal, of the present process and of those that follow; `spec` has it then.

        Raises:
            JobStateError: it has no terminal.
        """
        if not self.spec.tty:
            raise JobStateError(f"Job {self.spec.name!r} has no terminal to resize; start it with tty=True.")
        before = self.spec
        self.spec = replace(before, rows=rows, columns=columns)
        at = self.output.end
        sizes = self.sizes or ((0, before.rows, before.columns),)
        if sizes[-1][0] == at:
            # Where a corner is dragged, there are many between two outputs.
            sizes = sizes[:-1]
        self.sizes = (*sizes[-_MOST_SIZES:], (at, rows, columns))

    def block_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Block this thread until ``condition`` holds; return whether it does.

        Args:
            condition: asked again and again; it takes no time.
            timeout: seconds to wait at most; None for as long as it takes.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not condition():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(_LONGEST_PAUSE)
        return True

    def abandon(self) -> None:
        """End it at once, and leave nothing of it: whoever started it cannot have it."""
        self.kill()

    def soon(self, work: Callable[[], None]) -> None:
        """Have ``work`` run where the host is driven, when there is time for it; it raises nothing."""
        work()

    def release(self) -> None:
        """Give back its output; it has ended, and nothing of it is read after this."""
        self.output.close()


class HostedGroup(HostedJob):
    """A worker group as its host holds it; its spec is a `GroupSpec`, its status a `GroupStatus`."""

    @abstractmethod
    def status(self) -> GroupStatus:
        """Return what is known of it at this moment."""

    @abstractmethod
    def command(self, kind: str, **fields: int) -> None:
        """Send a message to the helper that forks the workers, such as ``signal`` or ``restart``."""

    @abstractmethod
    def worker_output(self, task_id: int) -> Output | None:
        """Return what one worker has written, without marks; None where it has written nothing."""

    @abstractmethod
    def listen_to_workers(self, listener: Callable[[Message], None]) -> Callable[[], None]:
        """Have ``listener`` called with the helper's messages that are no output; return what ends that.

        Raises:
            JobStateError: they do not come to this process.
        """

    @abstractmethod
    def note(self, note: str) -> None:
        """Have its status say something; where the host is driven."""

    @abstractmethod
    def later(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        """Have ``work`` run in so many seconds, where the host is driven; return what cancels that."""
