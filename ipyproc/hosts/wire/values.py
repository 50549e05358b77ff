"""Specs, statuses, events and errors as fields of a frame, and back. Nothing that comes is trusted."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from typing import cast

from ipyproc import errors
from ipyproc.errors import IpyprocError, JobSpecError, WireError
from ipyproc.hosts.wire.frames import Fields
from ipyproc.model.event import Event, EventKind
from ipyproc.model.group import GroupSpec, GroupStatus, WorkerSnapshot, WorkerState
from ipyproc.model.input import Input
from ipyproc.model.limits import Limits
from ipyproc.model.shell import ShellChoice
from ipyproc.model.spec import Endpoint, JobSpec
from ipyproc.model.state import Ending, Exit, JobState, Status

__all__ = [
    "error_from",
    "event_from",
    "fields_of_error",
    "fields_of_event",
    "fields_of_spec",
    "fields_of_status",
    "need_command",
    "spec_from",
    "status_from",
]

Values = dict[str, object]

_GROUP = "group"
# What a pattern can be compiled with here too; DEBUG would print.
_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.ASCII | re.UNICODE | re.LOCALE


# Specs


def fields_of_spec(spec: JobSpec) -> Values:
    """Return a spec as fields, without the bytes of its input; what is as by default is left out."""
    usual = JobSpec("true", "usual")
    values: Values = {}
    if isinstance(spec, GroupSpec):
        values[_GROUP] = {
            "workers": spec.workers,
            "start": spec.start.size,
            "gives_up": spec.gives_up,
            "shown": spec.shown,
        }
    for field in fields_of(JobSpec):
        value = getattr(spec, field.name)
        if field.name in ("command", "name") or value != getattr(usual, field.name):
            values[field.name] = _spec_value(value)
    return values


def need_command(spec: JobSpec) -> None:
    """See to it that a spec asks for no more than a command.

    Raises:
        JobSpecError: it does.
    """
    if type(spec) is not JobSpec:
        raise JobSpecError(
            f"The host of {spec.name!r} runs commands only, and this is a {type(spec).__name__}; "
            "start it in this kernel."
        )


def spec_from(given: Fields, body: bytes | None) -> JobSpec:
    """Return a spec that came as fields.

    Args:
        given: the fields.
        body: the bytes of its input; None where they stay at the other end.

    Raises:
        JobSpecError: it cannot be, or asks for what this version does not know: to leave that out would run
            something else.
        WireError: it is no spec.
    """
    if unknown := given.names() - {_GROUP, *_SPEC_FIELDS}:
        raise JobSpecError(
            f"The host does not know {', '.join(map(repr, sorted(unknown)))}, which the job asks for; "
            "leave it out, or restart the host with the ipyproc of this kernel."
        )
    values = {name: take(given, name) for name, take in _SPEC_FIELDS.items() if given.has(name)}
    if "command" not in values or "name" not in values:
        raise WireError("A job came to a host without a command or a name; restart the host.")
    if given.has("stdin"):
        size = given.number("stdin")
        if body is not None and len(body) != size:
            raise WireError(
                f"A job's input of {size:,} bytes came to a host as {len(body):,}; start its command again."
            )
        values["stdin"] = Input.gone(size) if body is None else Input(body)
    if given.has(_GROUP):
        return GroupSpec(**values, **_group(given.inner(_GROUP)))  # type: ignore[arg-type]
    return JobSpec(**values)  # type: ignore[arg-type]


def _group(given: Fields) -> Values:
    workers = given.number("workers")
    if workers < 1:
        raise WireError(f"A host says that a group has {workers} workers, which cannot be; restart the host.")
    return {
        "workers": workers,
        "start": Input.gone(given.number("start")),
        "gives_up": given.flag("gives_up", True),
        "shown": given.text("shown"),
    }


def _spec_value(value: object) -> object:
    if isinstance(value, Input):
        return value.size
    if isinstance(value, re.Pattern):
        return {"pattern": value.pattern, "flags": value.flags}
    if isinstance(value, Endpoint):
        return {"host": value.host, "port": value.port}
    if isinstance(value, ShellChoice):
        return {"program": value.program, "login": value.login, "strict": value.strict}
    if isinstance(value, Limits):
        cpus = value.affinity
        return {
            "nice": value.nice,
            "user": value.user,
            "umask": value.umask,
            "affinity": None if cpus is None else sorted(cpus),
        }
    return dict(value) if isinstance(value, Mapping) else value


def _command(given: Fields, name: str) -> str | tuple[str, ...]:
    return given.text(name) if isinstance(given.value(name), str) else tuple(given.texts(name))


def _environment(given: Fields, name: str) -> dict[str, str | None]:
    inner = given.inner(name)
    return {key: inner.text(key) if inner.has(key) else None for key in inner.names()}


def _ready(given: Fields, name: str) -> re.Pattern[str] | Endpoint:
    inner = given.inner(name)
    if inner.has("port"):
        return Endpoint(inner.text("host"), inner.number("port"))
    pattern = inner.text("pattern")
    try:
        return re.compile(pattern, inner.number("flags", 0) & _FLAGS)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise JobSpecError(
            f"The readiness {pattern!r} is not a regular expression to the host ({error}); give another one."
        ) from None


def _shell(given: Fields, name: str) -> ShellChoice:
    inner = given.inner(name)
    program = inner.text("program") if inner.has("program") else None
    return ShellChoice(program, inner.flag("login", False), inner.flag("strict", False))


def _limits(given: Fields, name: str) -> Limits:
    inner = given.inner(name)
    user: str | int | None = None
    if inner.has("user"):
        user = inner.text("user") if isinstance(inner.value("user"), str) else inner.number("user")
    return Limits(
        inner.number("nice") if inner.has("nice") else None,
        user,
        inner.number("umask") if inner.has("umask") else None,
        frozenset(inner.numbers("affinity")) if inner.has("affinity") else None,
    )


_SPEC_FIELDS: dict[str, Callable[[Fields, str], object]] = {
    "command": _command,
    "name": Fields.text,
    "cwd": Fields.text,
    "env": _environment,
    "stdin": Fields.number,
    "timeout": Fields.seconds,
    "restart": Fields.text,
    "max_restarts": Fields.number,
    "ready": _ready,
    "max_output": Fields.number,
    "quiet": Fields.flag,
    "backoff": Fields.seconds,
    "factor": Fields.seconds,
    "cap": Fields.seconds,
    "healthy": Fields.seconds,
    "stop_signal": Fields.number,
    "alive": Fields.text,
    "alive_every": Fields.seconds,
    "silence": Fields.seconds,
    "max_memory": Fields.number,
    "shell": _shell,
    "clean_env": Fields.flag,
    "kernel_path": Fields.flag,
    "limits": _limits,
    "encoding": Fields.text,
    "tty": Fields.flag,
    "rows": Fields.number,
    "columns": Fields.number,
}


# Statuses


def fields_of_status(status: Status) -> Values:
    """Return a status as fields."""
    ending = status.ending
    of_group: Values = {}
    if isinstance(status, GroupStatus):
        workers = [_fields_of_worker(worker) for worker in status.workers]
        of_group = {"workers": workers, "helper_pid": status.helper_pid}
    return {
        **of_group,
        "state": status.state.value,
        "pid": status.pid,
        "elapsed": status.elapsed,
        "uptime": status.uptime,
        "returncode": status.returncode,
        "exits": [
            {"pid": one.pid, "status": one.status, "started": one.started, "ended": one.ended}
            for one in status.exits
        ],
        "restarts": status.restarts,
        "max_restarts": status.max_restarts,
        "ready": status.ready,
        "notes": list(status.notes),
        "ending": None
        if ending is None
        else {
            "status": ending.status,
            "elapsed": ending.elapsed,
            "ended_by": ending.ended_by,
            "timed_out": ending.timed_out,
            "notes": list(ending.notes),
        },
        "left": status.left,
        "lives": status.lives,
        "again": status.again,
        "error": None if status.error is None else fields_of_error(status.error),
    }


def status_from(given: Fields) -> Status:
    """Return a status that came as fields.

    Raises:
        WireError: it is none.
    """
    state = given.text("state")
    try:
        known = JobState(state)
    except ValueError:
        raise WireError(
            f"A host says that a job is {state[:40]!r}, which this version does not know; upgrade ipyproc."
        ) from None
    of_job = Status(
        state=known,
        pid=given.number("pid", 0),
        elapsed=given.seconds("elapsed", 0.0),
        uptime=given.seconds("uptime") if given.has("uptime") else None,
        returncode=given.number("returncode") if given.has("returncode") else None,
        exits=tuple(
            Exit(one.number("pid"), one.number("status"), one.seconds("started"), one.seconds("ended"))
            for one in given.inners("exits")
        ),
        restarts=given.number("restarts", 0),
        max_restarts=given.number("max_restarts") if given.has("max_restarts") else None,
        ready=given.flag("ready", True),
        notes=tuple(given.texts("notes")),
        ending=_ending_from(given.inner("ending")) if given.has("ending") else None,
        left=given.number("left", 0),
        lives=given.number("lives", 0),
        again=given.flag("again", False),
        error=error_from(given.inner("error")) if given.has("error") else None,
    )
    if not given.has("workers"):
        return of_job
    return GroupStatus(
        **vars(of_job),
        workers=tuple(_worker_from(one) for one in given.inners("workers")),
        helper_pid=given.number("helper_pid") if given.has("helper_pid") else None,
    )


def _fields_of_worker(worker: WorkerSnapshot) -> Values:
    exits = [list(one) for one in worker.exits]
    return {**vars(worker), "state": worker.state.value, "exits": exits}


def _worker_from(given: Fields) -> WorkerSnapshot:
    exits: list[tuple[int, int]] = []
    for item in given.items("exits"):
        match item:
            case [int(status), int(times)]:
                exits.append((status, times))
    name = given.text("state")
    try:
        state = WorkerState(name)
    except ValueError:
        raise WireError(
            f"A host says that a worker is {name[:40]!r}, which this version does not know; upgrade ipyproc."
        ) from None

    def number(name: str) -> int | None:
        return given.number(name) if given.has(name) else None

    def seconds(name: str) -> float | None:
        return given.seconds(name) if given.has(name) else None

    return WorkerSnapshot(
        task_id=given.number("task_id"),
        pid=number("pid"),
        state=state,
        last_exit=number("last_exit"),
        exits=tuple(exits),
        restarts=given.number("restarts", 0),
        uptime=seconds("uptime"),
        cpu=seconds("cpu"),
        memory=number("memory"),
        operations=seconds("operations"),
    )


def _ending_from(given: Fields) -> Ending:
    return Ending(
        given.number("status"),
        given.seconds("elapsed"),
        given.text("ended_by") if given.has("ended_by") else None,
        given.flag("timed_out", False),
        tuple(given.texts("notes")),
    )


# Events


def fields_of_event(event: Event) -> Values:
    """Return an event as fields."""
    return {
        "kind": event.kind.value,
        "at": event.at,
        "detail": event.detail,
        "worker": event.worker,
        "number": event.number,
    }


def event_from(given: Fields) -> Event | None:
    """Return an event that came as fields; None where it is of a kind that this version does not know.

    Raises:
        WireError: it is none.
    """
    kind = given.text("kind")
    worker = given.number("worker") if given.has("worker") else None
    at, detail, number = given.seconds("at"), given.text("detail", ""), given.number("number")
    try:
        return Event(EventKind(kind), at, detail, worker, number)
    except ValueError:
        return None


# Errors


def fields_of_error(error: BaseException) -> Values:
    """Return an error as fields: its class by name, and what it says."""
    values: Values = {"class": type(error).__name__}
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename
        shown = name if name is None or isinstance(name, str) else repr(name)
        return {**values, "errno": error.errno, "text": str(error.strerror), "filename": shown}
    return {**values, "text": str(error.args[0] if error.args else error)}


def error_from(given: Fields) -> Exception:
    """Return an error that came as fields: an `OSError`, one of ipyproc's, or else a `RuntimeError`.

    Raises:
        WireError: it is none.
    """
    name, text = given.text("class"), given.text("text", "")
    if given.has("errno"):
        return OSError(given.number("errno"), text, given.text("filename") if given.has("filename") else None)
    ours = getattr(errors, name, None) if name in errors.__all__ else None
    if isinstance(ours, type) and issubclass(ours, IpyprocError) and ours is not errors.JobFailed:
        return ours(text)
    found = getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, (OSError, ValueError)) and found not in _MANY_ARGUMENTS:
        return cast(Exception, found(text))
    return RuntimeError(text)


_MANY_ARGUMENTS = (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError)
