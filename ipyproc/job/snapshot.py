"""Make snapshots of jobs, for views, from a host's status and the output."""

from __future__ import annotations

from ipyproc.hosts.base import HostedGroup, HostedJob
from ipyproc.model.group import GroupSnapshot
from ipyproc.model.state import Snapshot

__all__ = ["group_snapshot_of", "snapshot_of"]


def snapshot_of(hosted: HostedJob) -> Snapshot:
    """Return a snapshot of a job at this moment."""
    spec, output, status = hosted.spec, hosted.output, hosted.status()
    notes = status.notes
    if output.dropped:
        notes += (f"the oldest {output.dropped:,} bytes of output were dropped (max_output)",)
    if output.lost:
        notes += (f"{output.lost:,} bytes of output could not be stored ({output.lost_because})",)
    if output.copy is not None and (note := output.copy.note):
        notes += (note,)
    return Snapshot(
        name=spec.name,
        command=spec.shown_command,
        state=status.state,
        pid=status.pid,
        elapsed=status.elapsed,
        uptime=status.uptime,
        returncode=status.returncode,
        exits=status.exits,
        restarts=status.restarts,
        max_restarts=status.max_restarts,
        ready=status.ready if spec.ready is not None else None,
        size=output.end + output.lost,
        dropped=output.dropped,
        lost=output.lost,
        last_line=output.last_line(),
        notes=notes,
        ended_by=status.ending.ended_by if status.ending else None,
        left_running=status.left,
        is_kept=hosted.is_kept,
    )


def group_snapshot_of(hosted: HostedGroup) -> GroupSnapshot:
    """Return a snapshot of a worker group at this moment."""
    return GroupSnapshot(**vars(snapshot_of(hosted)), workers=hosted.status().workers)
