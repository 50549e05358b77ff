"""What goes over the wire comes out as it was, and what does not belong there has a name."""

from __future__ import annotations

import re
from dataclasses import replace
from signal import SIGTERM
from typing import Any

import pytest

from ipyproc.errors import IpyprocError, JobSpecError, JobStateError, NoLoopError, WireError
from ipyproc.hosts.wire.frames import BODY_LIMIT, Decoder, Fields, Frame, agree, encode
from ipyproc.hosts.wire.values import (
    error_from,
    event_from,
    fields_of_error,
    fields_of_event,
    fields_of_spec,
    fields_of_status,
    need_command,
    spec_from,
    status_from,
)
from ipyproc.model.event import Event, EventKind
from ipyproc.model.group import GroupSpec, GroupStatus, WorkerSnapshot, WorkerState
from ipyproc.model.input import Input
from ipyproc.model.limits import Limits
from ipyproc.model.shell import ShellChoice
from ipyproc.model.spec import Endpoint, JobSpec
from ipyproc.model.state import Ending, Exit, JobState, Status


def over(values: dict[str, object], body: bytes = b"") -> tuple[Fields, bytes]:
    """What comes out at the other end."""
    data = b"".join(encode("start", {"it": values}, body))
    (frame,) = Decoder().feed(data)
    return frame.fields.inner("it"), frame.body


SPECS = [
    JobSpec("true", "a"),
    JobSpec(("ls", "-la", "caf\udce9"), "b", cwd="/tmp/\udcff", env={"A": "1", "B": None, "": "x"}),
    JobSpec(
        "make",
        "c",
        timeout=30,
        restart="on-failure",
        max_restarts=3,
        max_output=1 << 40,
        quiet=True,
        backoff=0,
        factor=1.5,
        cap=1e9,
        healthy=0.5,
        stop_signal=SIGTERM,
        alive="curl",
        alive_every=2,
        silence=1.5,
        max_memory=1 << 33,
        clean_env=True,
        kernel_path=False,
        encoding="latin-1",
    ),
    JobSpec("serve", "d", ready=re.compile("^up \\d+$", re.MULTILINE | re.IGNORECASE)),
    JobSpec("serve", "e", ready=Endpoint("::1", 8000), shell=ShellChoice("bash -x", login=True, strict=True)),
    JobSpec("nice", "f", limits=Limits(nice=5, user=0, umask=0o077, affinity=frozenset({0}))),
    JobSpec("a\nscript " * 100_000, "ü"),
    JobSpec("top", "g", tty=True, rows=50, columns=132),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_spec_comes_out_as_it_was(spec: JobSpec) -> None:
    assert spec_from(*over(fields_of_spec(spec))) == spec


def test_the_input_of_a_spec_travels_as_it_is() -> None:
    data = bytes(range(256)) * 100
    spec = spec_from(*over(fields_of_spec(JobSpec("cat", "a", stdin=Input(data))), data))
    assert spec.stdin is not None and spec.stdin.data == data


def test_the_input_of_a_job_elsewhere_is_known_by_its_size() -> None:
    spec = spec_from(over(fields_of_spec(JobSpec("cat", "a", stdin=Input(b"abc"))))[0], None)
    assert spec.stdin is not None and spec.stdin.size == 3
    with pytest.raises(JobStateError, match="3 bytes, was"):
        spec.stdin.need("a")


def test_what_a_host_does_not_know_of_a_spec_is_refused_and_not_left_out() -> None:
    with pytest.raises(JobSpecError, match="does not know 'gpus', 'queue', which the job asks for"):
        spec_from(Fields({"command": "true", "name": "a", "queue": "long", "gpus": 2}, "it"), b"")


def test_a_group_comes_out_as_it_was_without_the_bytes_of_its_start() -> None:
    spec = GroupSpec(
        ("helper", "0"), "group", workers=3, start=Input(b"abc"), gives_up=False, shown="fork -n 3"
    )
    taken = spec_from(over(fields_of_spec(spec))[0], None)
    assert isinstance(taken, GroupSpec) and taken.start.size == 3
    assert replace(taken, start=spec.start) == spec
    idle = WorkerSnapshot(0, None, WorkerState.STARTING, None, (), 0, None, None, None, None)
    busy = WorkerSnapshot(1, 7, WorkerState.RUNNING, -9, ((-9, 2), (1, 1)), 3, 1.5, 2.5, 1 << 20, 0.5)
    for workers, helper in (((idle, busy), 12), ((busy,), None)):
        status = GroupStatus(JobState.RUNNING, 5, workers=workers, helper_pid=helper)
        assert status_from(over(fields_of_status(status))[0]) == status


def test_a_host_that_runs_commands_refuses_a_group() -> None:
    with pytest.raises(JobSpecError, match="runs commands only, and this is a GroupSpec"):
        need_command(GroupSpec("helper", "group"))


STATUSES = [
    Status(JobState.RUNNING),
    Status(JobState.BACKOFF, 12, 1.5, None, 3, (Exit(11, -9, 1.0, 2.5),), 2, 10, False, ("a", "b c")),
    Status(
        JobState.GAVE_UP,
        12,
        3.0,
        0.5,
        -15,
        (Exit(11, 0, 1.0, 2.0), Exit(12, -15, 2.0, 3.0)),
        ending=Ending(-15, 3.0, "SIGTERM", True, ("timed out",)),
        left=2,
        lives=4,
        again=True,
    ),
]


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.state.name)
def test_a_status_comes_out_as_it_was(status: Status) -> None:
    assert status_from(over(fields_of_status(status))[0]) == status


def test_fields_of_a_newer_end_are_ignored_and_those_of_an_older_one_not_missed() -> None:
    given = fields_of_status(STATUSES[1]) | {"gpu": [1, 2], "mood": None}
    assert status_from(over(given)[0]) == STATUSES[1]
    assert status_from(Fields({"state": "running"}, "it")) == Status(JobState.RUNNING)


@pytest.mark.parametrize("kind", EventKind)
def test_an_event_comes_out_as_it_was(kind: EventKind) -> None:
    for event in (Event(kind, 1.5), Event(kind, 1e9, "pid 4", 3, 12)):
        assert event_from(over(fields_of_event(event))[0]) == event


def test_an_event_of_a_newer_end_is_none() -> None:
    assert event_from(Fields({"kind": "moved", "at": 1.0, "number": 1}, "it")) is None


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory", "nosuch"),
        PermissionError(13, "Permission denied"),
        OSError("The shell is none."),
        BlockingIOError("again"),
        JobSpecError("It cannot be."),
        NoLoopError("There is none."),
        ValueError("It is none."),
    ],
    ids=repr,
)
def test_an_error_comes_out_as_it_was(error: Exception) -> None:
    came = error_from(over(fields_of_error(error))[0])
    assert type(came) is type(error) and str(came) == str(error)


def test_any_other_error_keeps_its_words() -> None:
    class Odd(Exception):
        pass

    came = error_from(over(fields_of_error(Odd("very odd")))[0])
    assert type(came) is RuntimeError and str(came) == "very odd"
    assert type(error_from(Fields({"class": "KeyboardInterrupt", "text": "x"}, "it"))) is RuntimeError
    assert type(error_from(Fields({"class": "UnicodeDecodeError", "text": "x"}, "it"))) is RuntimeError


GARBAGE: list[Any] = [
    None,
    [],
    "x",
    {},
    {"command": "true"},
    {"command": 5, "name": "a"},
    {"command": ["ls", 5], "name": "a"},
    {"command": "ls", "name": ["a"]},
    {"command": "ls", "name": "a", "env": 5},
    {"command": "ls", "name": "a", "env": {"A": 5}},
    {"command": "ls", "name": "a", "timeout": "x"},
    {"command": "ls", "name": "a", "timeout": True},
    {"command": "ls", "name": "a", "timeout": 10**400},
    {"command": "ls", "name": "a", "timeout": float("nan")},
    {"command": "ls", "name": "a", "max_restarts": 1.5},
    {"command": "ls", "name": "a", "ready": "x"},
    {"command": "ls", "name": "a", "ready": {"pattern": "("}},
    {"command": "ls", "name": "a", "ready": {"pattern": "a", "flags": "x"}},
    {"command": "ls", "name": "a", "ready": {"port": 80}},
    {"command": "ls", "name": "a", "quiet": 1},
    {"command": "ls", "name": "a", "shell": {"program": 5}},
    {"command": "ls", "name": "a", "limits": {"affinity": ["x"]}},
    {"command": "ls", "name": "a", "limits": {"user": []}},
    {"command": "ls", "name": "a", "stop_signal": 99999},
    {"command": "ls", "name": "a", "encoding": "bogus"},
    {"command": "ls", "name": "a", "stdin": 5},
]


@pytest.mark.parametrize("given", GARBAGE, ids=repr)
def test_what_is_no_spec_is_refused_in_one_sentence(given: Any) -> None:
    with pytest.raises(IpyprocError) as caught:
        spec_from(Fields(given, "the job"), b"")
    said = str(caught.value)
    assert said.endswith(".") and "\n" not in said


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_frames_arrive_whole_however_the_bytes_are_cut(step: int) -> None:
    data = b"".join(encode("a", {"n": 1}) + encode("b", {}, b"\xf6\0" * 500) + encode("c", {"t": "ü\udcff"}))
    decoder = Decoder()
    frames = [frame for at in range(0, len(data), step) for frame in decoder.feed(data[at : at + step])]
    assert [frame.kind for frame in frames] == ["a", "b", "c"]
    assert frames[0].fields.number("n") == 1 and frames[1].body == b"\xf6\0" * 500
    assert frames[2].fields.text("t") == "ü\udcff"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 64,
        b"\xf6\xff\xff\xff\xff\0\0\0\0",  # fields longer than any
        b"\xf6\0\0\0\2\xff\xff\xff\xff{}",  # a body of 4 GiB
        b"\xf6\0\0\0\2\0\0\0\0{}",
        b"\xf6\0\0\0\2\0\0\0\0[]",
        b"\xf6\0\0\0\5\0\0\0\0bogus",
        b'\xf6\0\0\0\x0a\0\0\0\0{"kind":5}',
        b"\xf6\0\1\x86\xa0\0\0\0\0" + b"[" * 100_000,
        b"\xf6\0\0\0\4\0\0\0\0\xff\xfe\xfd\xfc",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_frame_is_a_named_error_at_once(data: bytes) -> None:
    frames = Decoder().feed(b"".join(encode("good", {})) + data)
    assert next(frames).kind == "good"
    with pytest.raises(WireError, match="Unexpected bytes between a host and its client"):
        next(frames)


def test_what_cannot_be_sent_is_refused_where_it_is_made() -> None:
    with pytest.raises(WireError, match="is too long for a host"):
        encode("piece", {}, b"x" * (BODY_LIMIT + 1))
    with pytest.raises(WireError, match="has a value that cannot be sent to a host"):
        encode("start", {"x": object()})


@pytest.mark.parametrize(
    ("versions", "agreed"), [([1, 1], 1), ([1, 7], 1), ([2, 3], None), ([], None), ([0, 0], None)]
)
def test_both_ends_speak_a_version_that_both_know(versions: list[int], agreed: int | None) -> None:
    greeting = Frame("hello", Fields({"versions": versions}, "it"))
    if agreed is not None:
        assert agree(greeting) == agreed
        return
    with pytest.raises(WireError, match="do not understand each other: one end speaks the versions"):
        agree(greeting)


def test_who_does_not_greet_is_refused() -> None:
    with pytest.raises(WireError, match="the message 'start' came before the greeting"):
        agree(Frame("start", Fields({}, "it")))
