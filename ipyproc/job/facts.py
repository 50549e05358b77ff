"""What is known of a job: its name, its process, where it is in its life."""

from __future__ import annotations

from ipyproc.errors import signal_name
from ipyproc.hosts.base import HostedJob
from ipyproc.job.snapshot import snapshot_of
from ipyproc.model.state import Ending, JobState, Snapshot

__all__ = ["JobFacts"]


class JobFacts:
    """What is known of a job at this moment. All of it may be asked for from any thread.

    Args:
        hosted: the job, as its host holds it.

    Attributes:
        hosted: likewise.
    """

    def __init__(self, hosted: HostedJob) -> None:
        self.hosted = hosted

    @property
    def name(self) -> str:
        """Its name in the table."""
        return self.hosted.spec.name

    @property
    def command(self) -> str | list[str]:
        """The command as it was given."""
        command = self.hosted.spec.command
        return command if isinstance(command, str) else list(command)

    @property
    def pid(self) -> int:
        """The process id of its current or last process; also its process group and session."""
        return self.hosted.pid

    @property
    def state(self) -> JobState:
        """Where it is in its life: "running", "stopping", "waiting to restart", "exited" or "gave up"."""
        return self.hosted.state

    @property
    def done(self) -> bool:
        """True when nothing more will happen to it."""
        return self.hosted.ending is not None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None until it has ended."""
        ending = self.hosted.ending
        return None if ending is None else self._status_of(ending)

    @property
    def left(self) -> int:
        """How many processes it has left running, once it has ended; `Job.stop` ends them."""
        return self.hosted.left

    def snapshot(self) -> Snapshot:
        """Return an immutable picture of this moment, for a view."""
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
