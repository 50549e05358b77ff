"""A host behind a socket: lost connections, lost servers, several clients, and strangers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from tornado.ioloop import IOLoop

from ipyproc.errors import JobStateError, WireError
from ipyproc.hosts.base import Host
from ipyproc.hosts.wire import client as wire_client
from ipyproc.hosts.wire.address import connect, listen
from ipyproc.hosts.wire.client import WireHost
from ipyproc.hosts.wire.frames import Decoder, Frame, encode
from ipyproc.hosts.wire.launch import launch
from ipyproc.model.event import EventKind
from ipyproc.model.input import Input
from ipyproc.model.life import LADDER
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import JobState
from ipyproc.process.loops import asyncio_loop
from tests.hosts.contract import Core, Heard, Spec, ended, said, seq
from tests.hosts.programs import COROUTINES
from tests.hosts.served import HELLO, FalseServer, cutting, private_directory, serving
from tests.hosts.toy import ToyHost
from tests.support import ROOT, lives, run_program, wait_until

PROGRAM = [sys.executable, "-m", "ipyproc.hosts.wire"]


def run(command: str, name: str = "job", **fields: Any) -> JobSpec:
    return JobSpec(command, name, **fields)


@pytest.fixture
def host() -> Iterator[WireHost]:
    """A host of commands in another process."""
    host = launch()
    try:
        yield host
    finally:
        host.close()


def server_of(host: WireHost) -> psutil.Process:
    return psutil.Process(host._process.pid)


def toy_host(io_loop: IOLoop) -> Host:
    return ToyHost(COROUTINES, asyncio_loop(io_loop))


@pytest.fixture
def toys() -> Iterator[str]:
    """The path of a server of coroutines, in this process."""
    with serving(toy_host) as path:
        yield path


class TestToyBehindTheWire(Core):
    """Any host is served."""

    @pytest.fixture
    def host(self, toys: str) -> Iterator[Host]:
        host = WireHost(toys)
        try:
            yield host
        finally:
            host.close()

    @pytest.fixture
    def spec(self) -> Spec:
        return lambda word, name="job": JobSpec(word, name)


# Lost connections


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_and_nothing_comes_twice_however_the_connection_is_cut(
    host: WireHost, seed: int
) -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(cutting(host.link.path, seed))
        client = WireHost(relay.path)
        stack.callback(client.close)
        data = os.urandom(3 << 20)
        script = "for n in $(seq 300); do echo line $n; echo error $n >&2; done; seq 400000"
        jobs = [client.start(run(f"{script}; exit {number}")) for number in range(3)]
        heard = [Heard(job) for job in jobs]
        reader = client.start(run("sha256sum", stdin=Input(data)))
        writer = client.start(run("sha256sum"))
        again = client.start(
            run("echo once; exit 1", restart="on-failure", max_restarts=20, backoff=0.01, factor=1)
        )
        of_again = Heard(again)
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
        writer.write(b"", close=True)
        for number, job in enumerate(jobs):
            ended(job, 60)
            assert job.status().returncode == number
            output = {"stdout": b"", "stderr": b""}
            for piece in job.output.pieces():
                output[piece.stream] += job.output.read(piece.start, piece.stop)
            lines = b"".join(b"line %d\n" % line for line in range(1, 301))
            assert output["stdout"] == lines + seq(400000)
            assert output["stderr"] == b"".join(b"error %d\n" % line for line in range(1, 301))
        for job in (reader, writer):
            assert ended(job).output.text().split()[0] == hashlib.sha256(data).hexdigest()
        assert ended(again).output.read() == b"once\n" * 21
        wait_until(lambda: all(one.has(EventKind.DONE) for one in (*heard, of_again)))
        for one in (*heard, of_again):
            assert one.are_whole() and one.kinds.count(EventKind.DONE) == 1
        assert of_again.kinds.count(EventKind.STARTED) == 21
        assert relay.cuts >= 5


def test_what_was_asked_is_done_once_though_its_answer_was_lost(toys: str) -> None:
    with private_directory() as directory:
        # Takes what a client sends, and lets it hear nothing: the server has done it by then.
        client = connect(toys)
        greet(client, "ab" * 8)
        start = {"id": 1, "seen": 1, "ticket": "t1", "spec": {"command": "wait", "name": "a"}}
        send(client, "start", start)
        wait_until(lambda: len(WireHostOnce(toys).tickets()) == 1)
        client.close()
        again = connect(toys)
        frames = greet(again, "ab" * 8)
        send(again, "start", start)
        answer = next_frame(again, frames, "answer")
        assert not answer.fields.has("error") and answer.fields.inner("status").text("state") == "running"
        assert WireHostOnce(toys).tickets() == {"t1": "a"}
        again.close()
        assert directory


class WireHostOnce:
    """A client for one question."""

    def __init__(self, path: str) -> None:
        self._path = path

    def tickets(self) -> dict[str, str]:
        client = WireHost(self._path)
        try:
            return client.tickets()
        finally:
            client.close()


def send(connection: socket.socket, kind: str, fields: dict[str, object]) -> None:
    connection.sendall(b"".join(encode(kind, fields)))


def greet(connection: socket.socket, client: str) -> Iterator[Frame]:
    """Greets a server, and returns what it says."""
    connection.settimeout(10)

    def frames() -> Iterator[Frame]:
        decoder = Decoder()
        while data := connection.recv(65536):
            yield from decoder.feed(data)

    send(connection, "hello", {"versions": [1, 1], "client": client})
    coming = frames()
    assert next(coming).kind == "hello"
    return coming


def next_frame(connection: socket.socket, frames: Iterator[Frame], kind: str) -> Frame:
    return next(frame for frame in frames if frame.kind == kind)


# Lost servers, and lost clients


def test_a_killed_server_takes_its_jobs_along_and_the_client_says_so(host: WireHost) -> None:
    jobs = [said(host.start(run("echo up; sleep 600")), b"up\n") for _ in range(2)]
    gone = ended(host.start(run("exit 3")))
    heard = [Heard(job) for job in jobs]
    pids = [job.pid for job in jobs]
    server_of(host).kill()
    for job, one in zip(jobs, heard, strict=True):
        ending = ended(job).ending
        assert job.state is JobState.EXITED and ending is not None and ending.status == -signal.SIGKILL
        assert any("its host is gone, and how it ended is not known" in note for note in job.status().notes)
        assert ending.notes == job.status().notes
        wait_until(lambda: one.has(EventKind.DONE))
        assert one.are_whole() and job.output.read() == b"up\n"
        assert not job.signal(signal.SIGTERM) and not job.takes_input
        job.stop(0.0, LADDER)
        job.write(b"x")
    assert gone.status().returncode == 3 and not gone.status().notes
    wait_until(lambda: not any(map(lives, pids)))
    with pytest.raises(FileNotFoundError, match="No host listens at"):
        host.start(run("true"))
    with pytest.raises(JobStateError, match="has it no more"):
        jobs[0].restart(0.0, LADDER)
    jobs[0].release()


def test_another_server_at_the_same_place_has_not_the_jobs_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipyproc.hosts.wire.link._PATIENCE", 30.0)
    with private_directory() as directory:
        with serving(toy_host, below=directory) as path:
            client = WireHost(path)
            job = said(client.start(run("wait")), b"up\n")
        with serving(toy_host, below=directory):
            ended(job)
            assert "was replaced by another one" in job.status().notes[-1]
            assert ended(client.start(run("fail"))).status().returncode == 3
            client.close()


def test_a_killed_client_takes_its_server_and_its_jobs_along() -> None:
    program = (
        "import os, signal; from ipyproc.hosts.wire.launch import launch\n"
        "from ipyproc.model.spec import JobSpec\n"
        "host = launch(); job = host.start(JobSpec('echo $$; sleep 600', 'a'))\n"
        "assert job.block_until(lambda: job.output.end, 60)\n"
        "print(host._process.pid, job.output.text().strip(), host.link.path, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    server, job, path = done.stdout.split()
    wait_until(lambda: not lives(int(server)) and not lives(int(job)))
    wait_until(lambda: not os.path.exists(os.path.dirname(path)))


def test_a_forked_client_leaves_the_jobs_alone() -> None:
    run_program("wire_forked.py")


def test_jobs_of_a_client_that_is_gone_end_where_the_server_does_not_stay(
    toys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipyproc.hosts.wire.server._GONE_SECONDS", 0.1)
    client = WireHost(toys)
    said(client.start(run("wait")), b"up\n")
    client.link.close()
    wait_until(lambda: not WireHostOnce(toys).tickets())
    client.close()


def test_a_server_that_stays_keeps_jobs_for_whoever_comes(tmp_path: Path) -> None:
    with private_directory() as directory:
        path = os.path.join(directory, "host")
        server = subprocess.Popen(
            [*PROGRAM, "--stays", path], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None and server.stdout.readline() == b"ready\n"
            first = WireHost(path)
            job = said(
                first.start(run("seq 1000; echo up; read line; echo got $line; exit 4", "kept")), b"up\n"
            )
            first.link.close()
            second = WireHost(path)
            assert second.tickets() == {job.ticket: "kept"}
            same = said(second.attach(job.ticket), b"up\n")
            assert same.spec == job.spec and same.output.read() == seq(1000) + b"up\n"
            assert second.attach(job.ticket) is same
            same.write(b"word\n")
            assert ended(same).status().returncode == 4
            assert same.output.read().endswith(b"up\ngot word\n")
            with pytest.raises(JobStateError, match="The host has no job 'bogus' any more"):
                second.attach("bogus")
            same.release()
            assert second.tickets() == {}
            second.close()
            first.close()
        finally:
            server.terminate()
            assert server.wait(60) == 0
            assert server.stdout is not None
            server.stdout.close()
        assert os.listdir(directory) == []


def test_a_server_that_cannot_listen_says_why(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, str(tmp_path / ("x" * 200))],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "has more than 107 bytes" in done.stdout
    done = subprocess.run(PROGRAM, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("usage: ")


def test_a_host_that_cannot_be_launched_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipyproc.hosts.wire.launch._PROGRAM", "print('It is broken.')")
    with pytest.raises(OSError, match=r"The host's process could not be started \(It is broken\)"):
        launch()


def test_a_server_that_does_not_answer_does_not_hold_the_caller(
    host: WireHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(host.start(run("true"))).release()
    monkeypatch.setattr(wire_client, "_START_SECONDS", 0.3)
    server = server_of(host)
    server.suspend()
    try:
        with pytest.raises(TimeoutError, match="has not answered within 0.3 s"):
            host.start(run("sleep 600"))
    finally:
        server.resume()
    wait_until(lambda: host.tickets() == {})


# Several clients


def test_several_clients_see_one_job(toys: str) -> None:
    first, second = WireHost(toys), WireHost(toys)
    try:
        mine = said(first.start(run("tick", "shared")), b"tick\ntick\n")
        theirs = said(second.attach(mine.ticket), b"tick\ntick\n")
        heard = Heard(theirs)
        theirs.stop(1.0, LADDER)
        assert ended(mine).ending == ended(theirs).ending
        wait_until(lambda: heard.has(EventKind.DONE))
        assert heard.are_whole() and mine.output.read() == theirs.output.read()
        other = said(second.start(run("wait", "other")), b"up\n")
        first.close()
        assert theirs.status().returncode == -signal.SIGINT and theirs.output.end
        assert other.state is JobState.RUNNING and second.tickets() == {other.ticket: "other"}
    finally:
        first.close()
        second.close()


def test_a_job_that_is_given_back_is_kept_nowhere(toys: str) -> None:
    client = WireHost(toys)
    try:
        job = ended(client.start(run("talk")))
        job.release()
        wait_until(lambda: client.tickets() == {})
        with pytest.raises(JobStateError):
            client.attach(job.ticket)
        running = client.start(run("wait"))
        running.abandon()
        wait_until(lambda: client.tickets() == {})
    finally:
        client.close()


# Flow


def test_a_job_that_does_not_read_costs_the_server_no_memory(host: WireHost) -> None:
    job = said(host.start(run("echo up; exec sleep 600")), b"up\n")
    before = server_of(host).memory_info().rss
    for _ in range(64):
        job.write(bytes(1 << 20))
    assert host.tickets() and job.unread_input > 60 << 20
    assert server_of(host).memory_info().rss - before < 16 << 20
    job.kill()
    ended(job)
    wait_until(lambda: not job.unread_input)


def test_a_client_that_does_not_read_costs_the_server_no_memory(host: WireHost) -> None:
    jobs = [host.start(run("head -c 300000 /dev/zero")) for _ in range(100)]
    for job in jobs:
        ended(job)
    before = server_of(host).memory_info().rss
    deaf = connect(host.link.path)
    greet(deaf, "deaf")
    for job in jobs:
        send(deaf, "watch", {"ticket": job.ticket, "since": 0})
        send(deaf, "pull", {"ticket": job.ticket, "from": 0})
    assert host.tickets().keys() == {job.ticket for job in jobs}
    assert server_of(host).memory_info().rss - before < 12 << 20
    deaf.close()


def test_a_held_loop_does_not_hold_the_jobs(host: WireHost) -> None:
    async def cell() -> None:
        job = host.start(
            run("echo one; sleep 0.1; echo two; exit 1", restart="on-failure", max_restarts=1, backoff=0.01)
        )
        assert job.block_until(lambda: job.state.done, 60)
        assert job.output.read() == b"one\ntwo\n" * 2

    asyncio.run(cell())


def test_who_listens_to_a_job_may_ask_for_others(host: WireHost) -> None:
    jobs: list[Any] = []
    heard: list[bool] = []
    other = said(host.start(run("trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done")), b"up\n")
    job = host.start(run("sleep 0.1"))

    def listener(event: Any) -> None:
        if event.kind is EventKind.EXITED:
            heard.append(other.signal(signal.SIGTERM))
            jobs.append(host.start(run("echo next")))

    job.listen(listener)
    assert other.block_until(lambda: bool(jobs), 60)
    assert heard == [True] and ended(other).status().returncode == 5
    assert ended(jobs[0]).output.read() == b"next\n"


def test_output_that_the_server_dropped_is_skipped_and_counted(host: WireHost) -> None:
    job = ended(host.start(run("seq 1000000", max_output=1_000_000)))
    late = WireHost(host.link.path)
    try:
        same = ended(late.attach(job.ticket))
        assert same.output.end == 6_888_896 and same.output.dropped == same.output.start >= 5_888_896
        assert same.output.read() == seq(1000000)[same.output.start :]
    finally:
        late.close()


# Strangers


def test_a_socket_is_its_owners_alone() -> None:
    with private_directory() as directory:
        path = os.path.join(directory, "host")
        with listen(path):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            with pytest.raises(OSError, match="Address already in use"):
                listen(path)
        # Whoever listened there was killed.
        listen(path).close()
        os.unlink(path)
        with pytest.raises(OSError, match="has more than 107 bytes"):
            listen(os.path.join(directory, "x" * 200))
        os.chmod(directory, 0o750)
        with pytest.raises(PermissionError, match="is not yours alone"):
            listen(path)
        os.chmod(directory, 0o700)


def test_another_user_is_turned_away() -> None:
    run_program("wire_stranger.py")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"".join(encode("start", {})),
        b"".join(encode("hello", {"versions": [9, 9], "client": "x"})),
        b"".join(encode("hello", {"versions": "x"})),
        b"".join(encode("hello", {"versions": [1, 1], "client": "x"}) + encode("pull", {"ticket": 5})),
        b"".join(encode("hello", {"versions": [1, 1], "client": "x"}) + encode("start", {"id": "x"})),
    ],
)
def test_a_client_that_speaks_otherwise_is_refused_in_a_sentence_and_nobody_else_is(
    toys: str, data: bytes
) -> None:
    connection = connect(toys)
    connection.settimeout(10)
    connection.sendall(data)
    decoder, frames = Decoder(), []
    while data := connection.recv(65536):
        frames += decoder.feed(data)
    connection.close()
    why = frames[-1].fields.text("why")
    assert frames[-1].kind == "refused" and why.endswith(".") and "\n" not in why
    client = WireHost(toys)
    ended(client.start(run("talk")))
    client.close()


@pytest.mark.parametrize(
    ("kind", "fields", "kind_of_error"),
    [
        ("start", {"ticket": "a", "spec": {"command": 5, "name": "a"}}, "WireError"),
        ("start", {"ticket": "../a", "spec": {"command": "talk", "name": "a"}}, "WireError"),
        ("start", {"ticket": "a", "spec": {"command": "talk", "name": "a", "nosuch": 1}}, "JobSpecError"),
        ("bogus", {}, "JobStateError"),
        ("stop", {}, "WireError"),
        ("stop", {"ticket": "gone"}, "JobStateError"),
        ("stop", {"ticket": "known", "ladder": [99999]}, "JobSpecError"),
        ("signal", {"ticket": "known", "signum": "x"}, "WireError"),
        ("resize", {"ticket": "known", "rows": 0, "columns": 80}, "JobSpecError"),
        ("resize", {"ticket": "known", "rows": 24, "columns": 80}, "JobStateError"),
        ("look", {"ticket": "gone"}, "JobStateError"),
        ("restart", {"ticket": "known", "ladder": [2], "grace": 1}, "JobStateError"),
    ],
)
def test_what_cannot_be_done_is_answered_by_an_error(
    toys: str, kind: str, fields: dict[str, object], kind_of_error: str
) -> None:
    connection = connect(toys)
    frames = greet(connection, "x")
    send(
        connection, "start", {"id": 1, "seen": 1, "ticket": "known", "spec": {"command": "wait", "name": "a"}}
    )
    send(connection, kind, {"id": 2, "seen": 1, **fields})
    answers = [next_frame(connection, frames, "answer") for _ in range(2)]
    assert not answers[0].fields.has("error")
    error = answers[1].fields.inner("error")
    assert error.text("class") == kind_of_error and error.text("text").endswith(".")
    connection.close()


RUNNING = {"status": {"state": "running"}, "end": 0}


@pytest.mark.parametrize(
    "says",
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (b"".join(encode("hello", {"versions": [5, 6], "server": "s"})),),
        (b"".join(encode("refused", {"why": "It is full."})),),
        (HELLO, b"".join(encode("answer", {"id": "x"}))),
        (HELLO, b"".join(encode("answer", {"id": 1}))),
        (HELLO, b"\0" * 100),
    ],
)
def test_a_server_that_speaks_otherwise_is_an_error_of_start(
    says: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_client, "_CLOSE_SECONDS", 0.1)
    with private_directory() as directory:
        path = os.path.join(directory, "host")
        server = FalseServer(path, *says)
        client = WireHost(path)
        with pytest.raises(WireError) as caught:
            client.start(run("true"))
        assert str(caught.value).endswith(".")
        client.close()
        server.close()


@pytest.mark.parametrize(
    "says",
    [
        encode("news", {}),
        encode("news", {"status": {"state": "bogus"}, "end": 0}),
        encode("piece", {"at": 0, "to": 5, "pieces": [[1, 0.5, 5]]}, b"four"),
        encode("piece", {"at": 0, "to": 4, "pieces": [[7, 0.5, 4]]}, b"four"),
        encode("piece", {"at": 0, "to": 2, "pieces": [[1, 0.5, 4]]}, b"four"),
        encode("piece", {"at": 0, "to": 4, "pieces": [[1, "x", 4]]}, b"four"),
        encode("piece", {"at": 0, "to": 4, "pieces": 5}, b"four"),
        [b"garbage" * 10],
    ],
)
def test_a_server_that_turns_false_is_taken_for_gone(says: list[bytes]) -> None:
    with private_directory() as directory:
        path = os.path.join(directory, "host")
        listening = listen(path)
        listening.setblocking(True)
        client = WireHost(path)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                frames = greet_client(connection)
                asked = next(frames)
                connection.sendall(b"".join(encode("answer", {"id": asked.fields.number("id"), **RUNNING})))
                ticket = asked.fields.text("ticket")
                assert any(frame.kind == "pull" for frame in frames)
                parts = [part.replace(b"{", b'{"ticket":"%s",' % ticket.encode(), 1) for part in says]
                head = struct.unpack("!BII", parts[0][:9]) if parts[0][0] == 0xF6 else None
                if head:
                    parts[0] = struct.pack("!BII", head[0], len(parts[0]) - 9, head[2]) + parts[0][9:]
                connection.sendall(b"".join(parts))
                for _ in frames:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        job = ended(client.start(run("true")))
        assert "its host is gone" in job.status().notes[-1]
        client.close()
        thread.join(10)
        listening.close()


def greet_client(connection: socket.socket) -> Iterator[Frame]:
    """What a client says after the greetings."""
    connection.settimeout(10)
    decoder = Decoder()
    connection.sendall(HELLO)
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            return
        if not data:
            return
        yield from (frame for frame in decoder.feed(data) if frame.kind != "hello")


def test_output_of_which_the_file_was_removed_is_a_hole(host: WireHost) -> None:
    job = said(host.start(run("seq 1000000; echo up; read line; echo more", max_output=1 << 30)), b"up\n")
    late = WireHost(host.link.path)
    directories = [Path(file.path).parent for file in server_of(host).open_files() if "ipyproc-" in file.path]
    for file in directories[0].iterdir():
        file.unlink()
    job.write(b"x\n")
    ended(job)
    try:
        same = ended(late.attach(job.ticket))
        assert same.output.lost >= 6_888_896 and same.output.lost_because == "its file was removed"
        assert same.status().returncode == 0 and job.output.read().startswith(seq(1000000) + b"up\n")
        assert job.output.end + job.output.lost == 6_888_896 + len("up\nmore\n")
    finally:
        late.close()
