"""The identity and the state of a job, as users see them."""

from __future__ import annotations

from ipyproc.errors import signal_name
from ipyproc.hosts.base import HostedJob
from ipyproc.job.snapshot import snapshot_of
from ipyproc.model.state import Ending, JobState, Snapshot
from ipyproc.model.usage import UsagePoint

__all__ = ["JobFacts"]


class JobFacts:
    """The name, the process and the state of a job. Any thread may call any method.

    Args:
        hosted: the job, as its host holds it.

    Attributes:
        hosted: the job, as its host holds it.
        made_name: the name that its command makes, if it was given none; else empty.
        has_tag: whether its cell shows its name before each line.
        notifies: whether pages with the live view show a notification at its end.
    """

    made_name = ""
    has_tag = False
    notifies = False

    def __init__(self, hosted: HostedJob) -> None:
        self.hosted = hosted

    @property
    def name(self) -> str:
        """The name in the table."""
        return self.hosted.spec.name

    @property
    def command(self) -> str | list[str]:
        """The command as given."""
        command = self.hosted.spec.command
        return command if isinstance(command, str) else list(command)

    @property
    def terminal(self) -> tuple[int, int] | None:
        """The rows and columns of its terminal; None if it has pipes."""
        spec = self.hosted.spec
        return (spec.rows, spec.columns) if spec.tty else None

    @property
    def sizes(self) -> tuple[tuple[int, int, int], ...]:
        """The sizes that its terminal had: the offset of its output, and the rows and columns from there on.

        The first is that of its start, at offset 0. It is empty if the terminal was never resized.
        """
        return self.hosted.sizes

    @property
    def pid(self) -> int:
        """The pid of the current or last process, which is also that of its process group and session."""
        return self.hosted.pid

    @property
    def state(self) -> JobState:
        """The state: "running", "stopping", "waiting to restart", "exited" or "gave up"."""
        return self.hosted.state

    @property
    def done(self) -> bool:
        """True if the job has ended."""
        return self.hosted.ending is not None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None before its end."""
        ending = self.hosted.ending
        return None if ending is None else self._status_of(ending)

    @property
    def left(self) -> int:
        """The number of processes that it left running at its end; `Job.stop` ends them."""
        return self.hosted.left

    @property
    def usage(self) -> list[UsagePoint]:
        """The CPU and the memory that its processes used over its life, as points of time, the oldest first.

        They are taken once a second, more seldom while little changes or many jobs run, every 30 s at least;
        the first comes after a second. There are 600 at most, 60 after its end: as a job ages, two become
        one. A point has the resident memory (RSS), in which shared pages count for each process. Restarts
        are in it; a GPU is not. It is empty for a job on another host.
        """
        return self.hosted.usage()

    def snapshot(self) -> Snapshot:
        """Return a snapshot of this moment, for a view."""
        return snapshot_of(self.hosted)

    def __repr__(self) -> str:
        kind, status = type(self).__name__, self.returncode
        if status is None:
            elapsed = self.hosted.status().elapsed
            return f"<{kind} {self.name!r} {self.state.value}, pid {self.pid}, {elapsed:.0f} s>"
        ending = f"ended by {signal_name(-status)}" if status < 0 else f"exited {status}"
        if self.state is JobState.GAVE_UP:
            ending = f"gave up, {ending}"
        return f"<{kind} {self.name!r} {ending}>"

    def _status_of(self, ending: Ending) -> int:
        return ending.status
