"""`spawn(..., on=host)`: a job of any host is a job of the table like every other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from ipyproc.errors import JobFailed
from ipyproc.hosts.base import Host
from ipyproc.hosts.wire.launch import launch
from ipyproc.job.table import JobTable
from ipyproc.model.event import EventKind
from ipyproc.model.state import JobState
from ipyproc.process.loops import asyncio_loop
from ipyproc.views.render import jobs_table
from tests.hosts.toy import Say, ToyHost
from tests.jobs.looped import looped
from tests.support import loop_in_a_thread, until


async def _says(say: Say) -> int:
    say("stdout", b"one\n")
    await asyncio.sleep(0)
    say("stderr", b"two\n")
    return 0


async def _fails(say: Say) -> int:
    say("stderr", b"no room\n")
    return 3


async def _stays(say: Say) -> int:
    say("stdout", b"up\n")
    await asyncio.Event().wait()
    return 0


PROGRAMS = {"says": _says, "fails": _fails, "stays": _stays}


@pytest.fixture
def host() -> Iterator[Host]:
    with loop_in_a_thread() as io_loop:
        yield ToyHost(PROGRAMS, asyncio_loop(io_loop))


@looped
async def test_a_job_on_a_terminal_elsewhere_is_talked_to() -> None:
    table, host = JobTable(), launch()
    try:
        job = table.spawn(
            "read -sp 'Secret: ' x; stty size; cat; echo ${#x}", tty=True, shell="bash", on=host
        )
        await job.expect("Secret: ", timeout=60)
        assert job.hides_input
        job.resize(7, 70)
        job.send("abc\n")
        await job.expect("7 70\n", timeout=60)
        await until(lambda: not job.hides_input)
        job.send("line\n")
        assert await job.read_until(b"line\r\nline\r\n") and job.hosted.spec.columns == 70
        job.close_stdin()
        assert (await job).output == "Secret: 7 70\nline\nline\n3\n"
        late = table.spawn("cat", tty=True, on=host)
        late.send("x\n")
        assert late.expect("x", timeout=60).join()[0] == "x"
        late.kill()
        await late.wait(raise_error=False)
    finally:
        table.end_all()


@pytest.fixture
def table(host: Host) -> Iterator[JobTable]:
    """A table that has run nothing: the local host has nothing to do with the jobs of another."""
    table = JobTable()
    yield table
    table.end_all()


def row_of(table: JobTable) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(jobs_table([job.snapshot() for job in table], {}, 100))
    return capture.get()


@looped
async def test_a_job_of_another_host_is_in_the_table_awaited_and_shown(table: JobTable, host: Host) -> None:
    job = table.spawn("says", name="said", on=host)
    assert table["said"] is job and list(table) == [job]
    result = await job
    assert (result.returncode, result.stdout, result.stderr) == (0, "one\n", "two\n")
    assert "said" in row_of(table) and "exited" in row_of(table)
    assert [line async for line in job] == ["one", "two"]


@looped
async def test_one_that_fails_raises_with_the_end_of_its_stderr(table: JobTable, host: Host) -> None:
    with pytest.raises(JobFailed, match="no room") as caught:
        await table.spawn("fails", on=host)
    assert caught.value.returncode == 3


@looped
async def test_one_that_cannot_be_started_is_not_in_the_table(table: JobTable, host: Host) -> None:
    with pytest.raises(FileNotFoundError):
        table.spawn("nosuch", on=host)
    assert list(table) == []


@looped
async def test_it_is_stopped_and_its_name_is_free_again(table: JobTable, host: Host) -> None:
    job = table.spawn("stays", name="it", on=host)
    await until(lambda: job.output)
    assert (await job.stop()).ended_by == "SIGINT"
    assert table.spawn("says", name="it", on=host) is table["it"]
    await table["it"]


@looped
async def test_it_is_forgotten_and_its_watchers_are_told(table: JobTable, host: Host) -> None:
    job = table.spawn("says", name="it", on=host)
    await job
    kinds: list[EventKind] = []
    job.subscribe(lambda event: kinds.append(event.kind))
    table.forget("it")
    assert list(table) == [] and job.output == ""
    assert kinds == [EventKind.RELEASED]


@pytest.mark.parametrize("end", [JobTable.end_all, JobTable.clear])
def test_the_tables_end_ends_it_and_clearing_does_not(
    table: JobTable, host: Host, end: Callable[[JobTable], None]
) -> None:
    @looped
    async def ends() -> None:
        job = table.spawn("stays", name="it", on=host)
        assert "it" in row_of(table) and "running" in row_of(table)
        end(table)
        if end is JobTable.clear:
            assert job.state is JobState.RUNNING and job in table
            table.end_all()
        result = await job.wait(raise_error=False)
        assert (result.returncode, result.ended_by) == (-9, "SIGKILL")

    ends()


@looped
async def test_a_host_that_cannot_end_its_jobs_does_not_keep_those_of_others(
    table: JobTable, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ToyHost):
        errors = [OSError("It is out of reach.")]

        def close(self) -> None:
            super().close()
            if self.errors:
                raise self.errors.pop()

    broken = Broken(PROGRAMS, asyncio.get_running_loop())
    both = [table.spawn("stays", on=broken), table.spawn("stays", on=host)]
    table.end_all()
    assert [(await job.wait(raise_error=False)).ended_by for job in both] == ["SIGKILL", "SIGKILL"]
    assert "failed to end its jobs" in caplog.text
