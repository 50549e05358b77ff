"""What is written of a kept job: a JSON file that says all there is to know, also when nobody runs any more.

``record.json`` is replaced whole whenever something changes. ``spec``, ``status`` and ``events`` are as they
go over the wire, and are for everybody, later versions too. ``going`` is for the next runner: the state of
`ipyproc.model.decide` and the process, by which it goes on where the one before was killed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from signal import Signals
from typing import Any, cast

from ipyproc.errors import JobStateError, WireError
from ipyproc.hosts.keeper.places import Place
from ipyproc.hosts.wire.frames import Fields
from ipyproc.hosts.wire.values import event_from, fields_of_event, fields_of_status, spec_from, status_from
from ipyproc.model.event import Event
from ipyproc.model.group import GroupSpec
from ipyproc.model.input import Input
from ipyproc.model.life import (
    Alive,
    Backoff,
    Clearing,
    Climb,
    Ended,
    Gone,
    Hold,
    Life,
    Rest,
    Rules,
    Running,
    Starting,
    Stopping,
)
from ipyproc.model.policy import RestartMode, RestartPolicy, Streak
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import Status
from ipyproc.model.stimulus import StopAsked
from ipyproc.process.platform.processes import start_time

__all__ = ["FileInput", "Going", "Record", "RunFacts", "boot_id", "read_record", "write_record", "write_spec"]

VERSION = 1
_RECORD = "record.json"
_INPUT = "input"
_BOOT = "/proc/sys/kernel/random/boot_id"

_TYPES: dict[str, type] = {
    one.__name__: one
    for one in (
        *(Alive, Backoff, Clearing, Climb, Ended, Gone, Hold, Life, Rest, Rules, Running, Starting, Stopping),
        *(RestartMode, RestartPolicy, Signals, StopAsked, Streak),
    )
}


class FileInput(Input):
    """The standard input of a kept job, which is a file in its directory.

    Args:
        size: the bytes that it has.
    """

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(b"")
        self.size = size

    def need(self, name: str) -> None:
        """Do nothing: the file is there as long as the job is kept."""

    def let_go(self) -> None:
        """Do nothing, likewise."""


class RunFacts:
    """What the next runner has to know of a process.

    Attributes:
        pid: its pid.
        start_time: when it was started, in the system's own units; with the pid it names it for good.
        started: when it was started, in seconds since the epoch.
        began: likewise, on the monotonic clock.
        offset: where its output begins.
        status: its exit status; None while it runs.
        takes_input: whether it takes more on its standard input.
    """

    __slots__ = ("began", "offset", "pid", "start_time", "started", "status", "takes_input")

    def __init__(
        self,
        pid: int,
        start_time: int,
        started: float,
        began: float,
        offset: int,
        status: int | None,
        takes_input: bool,
    ) -> None:
        self.pid = pid
        self.start_time = start_time
        self.started = started
        self.began = began
        self.offset = offset
        self.status = status
        self.takes_input = takes_input

    @property
    def lives(self) -> bool:
        """Whether that very process is there, as a zombie at least."""
        return start_time(self.pid) == self.start_time


class Going:
    """Where the life of a job is.

    Attributes:
        life: the state; None before its first start.
        run: its current or last process; None where it has had none.
        again: whether it is to be started anew.
    """

    __slots__ = ("again", "life", "run")

    def __init__(self, life: Life | None, run: RunFacts | None, again: bool) -> None:
        self.life = life
        self.run = run
        self.again = again


class Record:
    """What is written of a job.

    Attributes:
        spec: what runs.
        status: what was known of it.
        events: what has happened.
        born: when it was first started, in seconds since the epoch.
        written: when this was written, likewise.
        boot: the boot of the machine in which it was written.
        holder: the pid of its holder.
        lost: the bytes of output that could not be kept.
        because: why.
        warning: what ends it anyway.
        group: of a worker group, what its next runner has to know; None for other jobs.
        going: where its life is; None where nothing goes on.
    """

    def __init__(self, given: Fields) -> None:
        version = given.number("version")
        if version > VERSION:
            raise JobStateError(
                f"This kept job was written by a later ipyproc (version {version} of the record, here "
                f"{VERSION}); upgrade ipyproc."
            )
        spec = given.inner("spec")
        self.spec = _with_input(spec_from(spec, None))
        self.status: Status = status_from(given.inner("status"))
        self.events = [one for each in given.inners("events") if (one := event_from(each)) is not None]
        self.born = given.seconds("born", 0.0)
        self.written = given.seconds("written", 0.0)
        self.boot = given.text("boot", "")
        self.holder = given.number("holder", 0)
        self.lost = given.number("lost", 0)
        self.because = given.text("because", "")
        self.warning = given.text("warning", "")
        group = given.value("group")
        self.group: dict[str, Any] | None = group if isinstance(group, dict) else None
        self._going = given.value("going")

    @property
    def going(self) -> Going | None:
        """Where its life is; None where nothing goes on, or another version has written it.

        Raises:
            WireError: it is none.
        """
        if self._going is None:
            return None
        given = Fields(self._going, "a record")
        life, run = _value_of(given.value("life")), None
        if given.has("run"):
            one = given.inner("run")
            run = RunFacts(
                one.number("pid"),
                one.number("start_time"),
                one.seconds("started"),
                one.seconds("began"),
                one.number("offset"),
                one.number("status") if one.has("status") else None,
                one.flag("takes_input"),
            )
        return Going(life if isinstance(life, Life) else None, run, given.flag("again", False))


def write_spec(place: Place, values: dict[str, object], data: bytes | None, warning: str) -> None:
    """Write the record of a job that is about to be started.

    Args:
        place: its directory.
        values: its spec, as it goes over the wire.
        data: the bytes for its standard input, or for the helper of a group; None for none.
        warning: what ends it anyway; may be empty.

    Raises:
        OSError: it cannot be written.
    """
    if data is not None:
        _write(place.file(_INPUT), data)
    now = time.time()
    first = {"version": VERSION, "spec": values, "status": {"state": "running"}, "born": now, "written": now}
    _write(place.file(_RECORD), json.dumps({**first, "boot": boot_id(), "warning": warning}).encode())


def write_record(
    place: Place,
    *,
    spec: dict[str, object],
    status: Status,
    events: Sequence[Event],
    born: float,
    holder: int,
    lost: int,
    because: str,
    warning: str,
    group: dict[str, object] | None,
    going: Going | None,
) -> None:
    """Replace the record of a job; `Record` says what the arguments are.

    Raises:
        OSError: it cannot be written; the one before is still there.
    """
    values: dict[str, object] = {
        "version": VERSION,
        "spec": spec,
        "status": fields_of_status(status),
        "events": [fields_of_event(event) for event in events],
        "born": born,
        "written": time.time(),
        "boot": boot_id(),
        "holder": holder,
        "lost": lost,
        "because": because,
        "warning": warning,
    }
    if group is not None:
        values["group"] = group
    if going is not None:
        run = going.run
        values["going"] = {
            "life": _plain(going.life),
            "run": None if run is None else {name: getattr(run, name) for name in RunFacts.__slots__},
            "again": going.again,
        }
    _write(place.file(_RECORD), json.dumps(values).encode())


def read_record(place: Place) -> Record:
    """Return the record of a job.

    Raises:
        JobStateError: there is none that can be read.
    """
    try:
        with open(place.file(_RECORD), "rb") as file:
            return Record(Fields(json.loads(file.read()), "a record"))
    except (OSError, ValueError, WireError) as error:
        raise JobStateError(
            f"The record of the kept job {place.id!r} cannot be read ({error}); "
            f"see what is in {place.path!r}, or remove that directory."
        ) from None


def input_path(place: Place) -> str:
    """Return the path of the file with a job's standard input."""
    return place.file(_INPUT)


def boot_id() -> str:
    """Return what names this boot of the machine; empty where the system does not tell."""
    try:
        with open(_BOOT, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _with_input(spec: JobSpec) -> JobSpec:
    if isinstance(spec, GroupSpec):
        return replace(spec, start=FileInput(spec.start.size))
    return spec if spec.stdin is None else replace(spec, stdin=FileInput(spec.stdin.size))


def _write(path: str, data: bytes) -> None:
    beside = f"{path}.new"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
    os.rename(beside, path)


def _plain(value: object) -> object:
    """Return a value of the model as JSON has it."""
    if isinstance(value, Enum):
        return {"is": type(value).__name__, "value": value.value}
    if is_dataclass(value):
        plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"is": type(value).__name__, **plain}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _value_of(plain: object) -> object:
    """Return the value that `_plain` has made; what is not known of it is left out.

    Raises:
        WireError: it is of no known type.
    """
    if isinstance(plain, list):
        return tuple(_value_of(one) for one in plain)
    if not isinstance(plain, dict):
        return plain
    kind = _TYPES.get(str(plain.get("is")))
    try:
        if kind is None:
            raise ValueError(plain.get("is"))
        if issubclass(kind, Enum):
            return kind(plain["value"])
        known = {field.name for field in fields(cast("Any", kind))}
        return kind(**{name: _value_of(one) for name, one in plain.items() if name in known})
    except (ValueError, TypeError, KeyError) as error:
        raise WireError(f"The state of a kept job cannot be understood ({error}); upgrade ipyproc.") from None
