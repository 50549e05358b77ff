"""What a page is told of a job: JSON of its snapshot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ipyproc.model.group import GroupSnapshot, WorkerState
from ipyproc.model.spec import Endpoint
from ipyproc.model.state import JobState, Snapshot, describe_status
from ipyproc.safe import line, url_of
from ipyproc.views.cell import Medium
from ipyproc.views.kinds import picture

if TYPE_CHECKING:
    from ipyproc.job.job import Job
    from ipyproc.model.group import WorkerSnapshot
    from ipyproc.views.live import MeasuredJob

__all__ = ["is_new", "plain_form", "row", "told"]

Told = dict[str, Any]

_KINDS = {JobState.RUNNING: "running", JobState.STOPPING: "stopping", JobState.BACKOFF: "waiting"}
_OF_TABLE = ("stop", "restart", "signal", "forget")
_LAST_LINE = 200
# What changes all the time, and which the page counts by itself.
_CLOCKS = ("seconds", "since")


def told(job: Job, snapshot: Snapshot, *, wants_input: bool) -> Told:
    """Return what a page is told of a job at this moment; every text in it is to be shown as text.

    Args:
        job: the job.
        snapshot: its snapshot.
        wants_input: whether it seems to wait for a line of input.
    """
    over = snapshot.state.done or snapshot.ends_with_kernel
    terminal = job.terminal
    status: Told = {
        "name": snapshot.name,
        "command": snapshot.command,
        "words": _words(snapshot),
        "kind": _kind(snapshot),
        "pid": None if over else snapshot.pid,
        "since": time.time() - snapshot.elapsed,
        "seconds": snapshot.elapsed,
        "exit": snapshot.returncode if snapshot.state.done else None,
        "by": snapshot.ended_by,
        "left": snapshot.left_running,
        "restarts": snapshot.restarts,
        "ready": snapshot.ready,
        "kept": snapshot.is_kept,
        "notes": list(snapshot.notes),
        "can": _actions(job, snapshot),
        "tty": terminal is not None,
        "rows": terminal[0] if terminal else None,
        "columns": terminal[1] if terminal else None,
        "hides": not over and job.hides_input,
        "wants_input": not over and wants_input,
        "size": snapshot.size,
    }
    if (url := _url(job, snapshot)) is not None:
        status["url"] = url
    if isinstance(snapshot, GroupSnapshot):
        status["workers"] = [_worker(worker) for worker in snapshot.workers]
    return status


def row(measured: MeasuredJob) -> Told:
    """Return what a page is told of a job in a table; every text in it is to be shown as text."""
    snapshot, cpu = measured.snapshot, measured.cpu
    over = snapshot.state.done or snapshot.ends_with_kernel
    return {
        "name": snapshot.name,
        "words": _words(snapshot),
        "kind": _kind(snapshot),
        "pid": None if over and not snapshot.left_running else snapshot.pid,
        "seconds": round(snapshot.elapsed, 1),
        "left": snapshot.left_running,
        "restarts": snapshot.restarts,
        "can": [action for action in _actions(measured.job, snapshot) if action in _OF_TABLE],
        "size": snapshot.size,
        "cpu": None if cpu is None else round(cpu),
        "memory": measured.memory,
        "last": line(snapshot.last_line)[:_LAST_LINE],
    }


def is_new(before: Told, now: Told) -> bool:
    """Return True if a page that knows ``before`` has something else to show."""
    return any(before.get(key) != value for key, value in now.items() if key not in _CLOCKS)


def plain_form(snapshot: Snapshot) -> str:
    """Return the plain form of a job's status as HTML, which is safe for a page."""
    return picture(snapshot, Medium.PAGE)["text/html"]


def _kind(snapshot: Snapshot) -> str:
    if snapshot.ends_with_kernel:
        return "gone"
    if not snapshot.state.done:
        return _KINDS[snapshot.state]
    if snapshot.returncode == 0:
        return "ok"
    return "stopped" if snapshot.ended_by else "failed"


def _words(snapshot: Snapshot) -> str:
    if snapshot.ends_with_kernel:
        return "goes on without the kernel" if snapshot.is_kept else "ended with the kernel"
    if not snapshot.state.done:
        return snapshot.state.value
    if snapshot.state is JobState.GAVE_UP:
        return "gave up"
    ending = describe_status(snapshot.returncode or 0)
    return f"stopped, {ending}" if snapshot.ended_by else ending


def _actions(job: Job, snapshot: Snapshot) -> list[str]:
    if snapshot.ends_with_kernel:
        return []
    if snapshot.state.done:
        return ["save", *(["stop", "restart"] if snapshot.left_running else ["restart", "forget"])]
    actions = ["save", "stop", "restart", "signal"]
    if job.hosted.takes_input and not isinstance(snapshot, GroupSnapshot):
        actions += ["close", "input"]
    return actions


def _url(job: Job, snapshot: Snapshot) -> str | None:
    """Return the address of a server that says by ``ready`` where it listens, once it does."""
    ready = job.hosted.spec.ready
    if snapshot.state.done or not snapshot.ready or not isinstance(ready, Endpoint):
        return None
    return url_of(f"http://{ready.host}:{ready.port}/") or None


def _worker(worker: WorkerSnapshot) -> Told:
    return {
        "n": worker.task_id,
        "pid": worker.pid,
        "state": worker.state.value,
        "exit": worker.last_exit,
        "restarts": worker.restarts,
        "seconds": worker.uptime,
        "can": [] if worker.state is WorkerState.EXITED else ["restart", "signal"],
        "cpu": worker.cpu,
        "memory": worker.memory,
        "operations": worker.operations,
    }
