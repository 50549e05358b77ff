"""What is to be done at the end of a job: call a function, run a command, or tell a server."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from tornado.ioloop import IOLoop

from ipyproc.errors import JobSpecError
from ipyproc.hosts.local.errand import run_errand
from ipyproc.model.event import Event, EventKind
from ipyproc.model.shell import ShellChoice
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Ending
from ipyproc.process.loops import asyncio_loop

if TYPE_CHECKING:
    from ipyproc.hosts.local.host import LocalHost
    from ipyproc.job.job import Job

__all__ = ["OnEnd", "checked_on_end", "do_at_end"]

log = logging.getLogger("ipyproc")

OnEnd: TypeAlias = "str | Sequence[str] | Callable[[Job], object]"
"""A function of the job, a command, or a URL of http or https."""

_COMMAND_SECONDS = 60.0
_URL_SECONDS = 20.0


def checked_on_end(on_end: OnEnd) -> OnEnd:
    """Return what was given, if it can be done.

    Raises:
        JobSpecError: it cannot.
    """
    words = [on_end] if isinstance(on_end, str) else on_end
    if callable(on_end) or (
        isinstance(words, Sequence)
        and words
        and all(isinstance(word, str) and word.strip() and "\0" not in word for word in words)
    ):
        return on_end
    raise JobSpecError(
        f"on_end is {on_end!r}; give a function, a command such as 'notify-send done', or a URL."
    )


def do_at_end(job: Job, on_end: OnEnd, local: LocalHost) -> None:
    """Do something at each end of a job after which it is not started anew.

    Args:
        job: the job.
        on_end: what to do.
        local: the host that runs a command.
    """

    def at_event(event: Event) -> None:
        hosted = job.hosted
        ending = hosted.ending
        if event.kind is not EventKind.DONE or ending is None or hosted.status().again:
            return
        # The job's loop, which this thread runs or stands in for.
        io_loop = IOLoop.current(instance=False) or local.io_loop
        if callable(on_end):
            # A loop that is closed calls nothing: this is the kernel's end.
            with suppress(RuntimeError):
                asyncio_loop(io_loop).call_soon_threadsafe(_call, job, on_end)
            return
        run = partial(_run, job, ending, on_end, local, io_loop)
        threading.Thread(target=run, name="ipyproc at the end", daemon=True).start()

    job.subscribe(at_event)


def _call(job: Job, called: Callable[[Job], object]) -> None:
    """Call a function on this loop; wait for what it returns, if that can be awaited."""
    try:
        result = called(job)
    except Exception as error:
        _warn(job, error)
        return
    if inspect.isawaitable(result):
        task = asyncio.ensure_future(_awaited(job, result))
        # A loop keeps no task alive.
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Future[None]] = set()


async def _awaited(job: Job, result: Awaitable[object]) -> None:
    try:
        await result
    except Exception as error:
        _warn(job, error)


def _run(job: Job, ending: Ending, on_end: str | Sequence[str], local: LocalHost, io_loop: IOLoop) -> None:
    """Run a command, or tell a server; in a thread."""
    try:
        if isinstance(on_end, str) and on_end.lower().startswith(("http://", "https://")):
            _post(on_end, job, ending)
            return
        spec = _errand_spec(job.hosted.spec, ending, on_end)
        status = run_errand(spec, local.resources, io_loop, _COMMAND_SECONDS)
        if status is None:
            log.warning("The on_end of job %r took more than %g s and was ended.", job.name, _COMMAND_SECONDS)
        elif status:
            log.warning("The on_end of job %r failed: it exited with %d.", job.name, status)
    except Exception as error:
        _warn(job, error)


def _errand_spec(spec: JobSpec, ending: Ending, command: str | Sequence[str]) -> JobSpec:
    return JobSpec(
        command=command if isinstance(command, str) else tuple(command),
        name=spec.name,
        cwd=spec.cwd,
        env={
            **spec.env,
            "IPYPROC_NAME": spec.name,
            "IPYPROC_STATUS": str(ending.status),
            "IPYPROC_RESULT": _word_of(ending),
        },
        shell=spec.shell if isinstance(command, str) else ShellChoice(),
        clean_env=spec.clean_env,
        kernel_path=spec.kernel_path,
        limits=replace(spec.limits),
    )


def _post(url: str, job: Job, ending: Ending) -> None:
    # Imported late: it takes milliseconds.
    from tornado.httpclient import HTTPClient

    told = {
        "name": job.name,
        "command": job.hosted.spec.shown_command,
        "status": ending.status,
        "result": _word_of(ending),
        "seconds": round(ending.elapsed, 3),
    }
    client = HTTPClient()
    try:
        client.fetch(
            url,
            method="POST",
            body=json.dumps(told),
            headers={"Content-Type": "application/json"},
            connect_timeout=_URL_SECONDS,
            request_timeout=_URL_SECONDS,
            follow_redirects=False,
        )
    finally:
        client.close()


def _word_of(ending: Ending) -> str:
    if ending.timed_out:
        return "timed out"
    if ending.ended_by is not None:
        return "stopped"
    return "failed" if ending.status else "ok"


def _warn(job: Job, error: Exception) -> None:
    log.warning("The on_end of job %r failed: %s: %s", job.name, type(error).__name__, error)
