"""What is done at a job's end: once for each end, in time, and with one line where it fails."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from ipyproc.errors import JobSpecError
from ipyproc.job import at_end
from ipyproc.job.job import Job
from ipyproc.job.table import JobTable
from tests.jobs.looped import looped
from tests.support import until


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ipyproc"]


@looped
async def test_a_function_is_called_on_the_loop_once_for_each_end_but_for_no_restart(
    table: JobTable, tmp_path: Path
) -> None:
    called: list[tuple[Job, int | None, object]] = []

    def note(job: Job) -> None:
        called.append((job, job.returncode, asyncio.get_running_loop()))

    async def later(job: Job) -> None:
        await asyncio.sleep(0)
        note(job)

    loop = asyncio.get_running_loop()
    failing = table.spawn("exit 3", on_end=note, restart="on-failure", max_restarts=2, backoff=0.0)
    await until(lambda: called)
    assert called == [(failing, 3, loop)] and len(failing.snapshot().exits) == 3
    called.clear()
    # A restart of a job that runs is no end.
    job = table.spawn("read line; exit $line", on_end=later, notify=True)
    assert job.notifies and not failing.notifies
    await job.restart()
    job.send("0\n")
    await job
    await until(lambda: called)
    await job.restart()
    await job.stop()
    await until(lambda: len(called) == 2)
    assert called == [(job, 0, loop), (job, job.returncode, loop)]


@looped
async def test_a_command_is_told_how_it_ended_and_is_ended_where_it_takes_too_long(
    table: JobTable, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    command = f"echo $IPYPROC_NAME $IPYPROC_STATUS $IPYPROC_RESULT $MINE $PWD >> '{told}'"
    for body, how in (("exit 0", "0 ok"), ("exit 7", "7 failed")):
        told.write_text("")
        table.spawn(body, name=how[2:], on_end=command, env={"MINE": "mine"}, cwd=tmp_path)
        await until(lambda: told.read_text() == f"{how[2:]} {how} mine {os.path.realpath(tmp_path)}\n")
    told.write_text("")
    write = "import os; open('told', 'w').write(os.environ['IPYPROC_RESULT'])"
    slow = table.spawn(["sleep", "60"], on_end=[sys.executable, "-c", write], cwd=tmp_path)
    await slow.stop()
    await until(lambda: told.read_text() == "stopped")
    with caplog.at_level(logging.WARNING, "ipyproc"):
        for what, seconds in (("exec sleep 60", 0.1), ("exit 5", 60.0), (["/nosuch/program"], 60.0)):
            monkeypatch.setattr(at_end, "_COMMAND_SECONDS", seconds)
            before = len(caplog.records)
            table.spawn("true", name="job", on_end=what)
            await until(lambda: len(caplog.records) > before)
    assert [record.getMessage() for record in caplog.records] == [
        "The on_end of job 'job' took more than 0.1 s and was ended.",
        "The on_end of job 'job' failed: it exited with 5.",
        "The on_end of job 'job' failed: FileNotFoundError: [Errno 2] No such file or directory: "
        "'/nosuch/program'",
    ]


@looped
async def test_a_server_gets_how_it_ended(table: JobTable, caplog: pytest.LogCaptureFixture) -> None:
    posted = []

    class Handler(RequestHandler):
        def post(self) -> None:
            posted.append((self.request.headers["Content-Type"], json.loads(self.request.body)))

    socket, port = bind_unused_port()
    server = HTTPServer(Application([("/done", Handler)]))
    server.add_socket(socket)
    try:
        job = table.spawn("exit 2", name="told", on_end=f"http://127.0.0.1:{port}/done")
        await until(lambda: posted)
        (kind, told), seconds = posted[0], posted[0][1].pop("seconds")
        assert kind == "application/json" and 0 < seconds <= job.hosted.status().elapsed + 0.001
        assert told == {"name": "told", "command": "exit 2", "status": 2, "result": "failed"}
        with caplog.at_level(logging.WARNING, "ipyproc"):
            table.spawn("true", name="lost", on_end=f"http://127.0.0.1:{port}/nosuch")
            await until(lambda: ours(caplog))
        assert ours(caplog) == ["The on_end of job 'lost' failed: HTTPClientError: HTTP 404: Not Found"]
    finally:
        server.stop()
        await server.close_all_connections()


@looped
async def test_a_function_that_fails_is_told_in_one_line(
    table: JobTable, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(job: Job) -> None:
        raise KeyError(job.name)

    async def broken_later(job: Job) -> None:
        broken(job)

    for fails in (broken, broken_later):
        caplog.clear()
        result = await table.spawn("true", name="fine", on_end=fails)
        await until(lambda: caplog.records)
        (record,) = caplog.records
        assert record.getMessage() == "The on_end of job 'fine' failed: KeyError: 'fine'"
        assert record.exc_info is None and result.returncode == 0


@looped
async def test_what_cannot_be_done_is_refused_before_the_start(table: JobTable) -> None:
    for wrong in ("", "  ", [], [1], 5, ["ls", ""], "a\0b"):
        with pytest.raises(JobSpecError, match="on_end is"):
            table.spawn("true", on_end=wrong)  # type: ignore[arg-type]
    assert len(table) == 0
