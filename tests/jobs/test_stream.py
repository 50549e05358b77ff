from __future__ import annotations

import array
import asyncio
import gc
import os
import select
import threading
import time
import warnings

import pytest
from tornado.ioloop import IOLoop
from tornado.iostream import PipeIOStream

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.pipes import Pipes
from ipyproc.hosts.local.stream import SpoolStream
from ipyproc.job.table import JobTable
from ipyproc.spool.output import Output
from tests.jobs.looped import PYTHON, looped
from tests.support import loop_in_a_thread, open_fds, until, wait_until


class Pipe:
    """A pipe with a stream at its end."""

    def __init__(self, io_loop: IOLoop | None = None, pipe: tuple[int, int] | None = None) -> None:
        self.output = Output(1 << 30)
        self.events: list[str] = []
        self.pipes = Pipes()
        self.driver = Driver(io_loop or IOLoop.current())
        read_end, self.write_end = pipe or os.pipe()
        self.stream = SpoolStream(
            read_end,
            "stdout",
            self.output,
            self.driver,
            self.pipes,
            lambda: self.events.append("read"),
            lambda stream: self.events.append("end") if stream.take_end() else None,
        )
        self.pipes.add(self.stream)

    def close(self) -> None:
        os.close(self.write_end)


@looped
async def test_a_stream_reads_until_the_end_of_its_pipe_and_closes_it() -> None:
    pipe = Pipe()
    pipe.stream.start()
    os.write(pipe.write_end, b"hello")
    await until(lambda: pipe.output.text() == "hello")
    pipe.close()
    await until(lambda: pipe.events[-1] == "end")
    assert pipe.events == ["read", "end"]
    assert pipe.stream.closed()
    assert not pipe.stream.read()
    assert pipe.pipes.all() == []


@looped
async def test_a_cut_takes_what_is_there_and_closes_though_a_writer_lives_on() -> None:
    pipe = Pipe()
    pipe.stream.start()
    os.write(pipe.write_end, b"x" * 60_000)
    pipe.stream.cut()
    assert pipe.output.end == 60_000
    assert pipe.events[-1] == "end"
    with pytest.raises(BrokenPipeError):
        os.write(pipe.write_end, b"more")
    pipe.close()


@looped
async def test_a_dropped_stream_tells_nobody() -> None:
    for started in (True, False):
        pipe = Pipe()
        if started:
            pipe.stream.start()
        pipe.stream.drop()
        assert pipe.stream.closed()
        pipe.stream.start()
        assert not pipe.stream.read()
        pipe.close()
        await asyncio.sleep(0)
        assert pipe.events == []


@looped
async def test_a_stream_made_in_another_thread_is_read_by_the_loop_it_was_made_for() -> None:
    with loop_in_a_thread() as io_loop:
        pipe = Pipe(io_loop)
        assert pipe.stream.io_loop is io_loop
        assert asyncio.get_running_loop() is not io_loop.asyncio_loop
        io_loop.add_callback(pipe.stream.start)
        os.write(pipe.write_end, b"hello")
        await until(lambda: pipe.output.text() == "hello")
        pipe.close()
        await until(lambda: pipe.stream.closed())
    assert pipe.events == ["read", "end"]


@looped
async def test_a_stream_keeps_no_byte_itself_and_its_pending_read_gives_none() -> None:
    pipe = Pipe()
    pipe.stream.start()
    assert pipe.stream.reading()
    writer = threading.Thread(target=os.write, args=(pipe.write_end, b"x" * 300_000))
    writer.start()
    await until(lambda: pipe.output.end == 300_000)
    writer.join()
    assert pipe.stream.reading()
    pipe.close()
    await until(lambda: pipe.stream.closed())
    assert await pipe.stream.read_until_close() == b""
    assert pipe.stream.error is None


@looped
async def test_a_stream_that_ends_while_the_loop_is_held_keeps_its_number_until_the_loop_forgets_it() -> None:
    pipe = Pipe()
    pipe.stream.start()
    os.write(pipe.write_end, b"last")
    pipe.close()
    pipe.driver.soon(lambda: pipe.stream.read() and pipe.stream.read())
    stand_in = threading.Thread(target=pipe.driver.stand_in)
    stand_in.start()
    stand_in.join()  # The loop is held.
    assert pipe.output.text() == "last"
    assert pipe.events == ["read", "end"]
    os.fstat(pipe.stream.fileno())
    await until(lambda: pipe.stream.closed())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe.stream.fileno())
    assert pipe.events == ["read", "end"]


@looped
async def test_a_stream_whose_end_another_thread_reads_first_is_closed_on_the_loop() -> None:
    pipe = Pipe()
    pipe.close()
    reader = threading.Thread(target=pipe.stream.read)
    reader.start()
    reader.join()
    # The thread has handed in that the pipe is at its end, and the loop has not come round yet.
    assert pipe.stream.at_end
    assert pipe.events == []
    os.fstat(pipe.stream.fileno())
    pipe.stream.start()
    pipe.stream.drain()
    assert pipe.events == ["end"]
    assert pipe.stream.closed()
    await asyncio.sleep(0.01)
    assert pipe.events == ["end"]


@looped
async def test_a_terminal_that_nobody_has_open_any_more_is_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipe = Pipe(pipe=os.openpty())
    pipe.stream.start()
    os.write(pipe.write_end, b"hello\n")
    await until(lambda: pipe.output.text() == "hello\r\n")
    pipe.close()
    await until(lambda: pipe.events[-1] == "end")
    assert pipe.stream.closed()
    assert pipe.stream.error is None
    assert not caplog.records


@pytest.mark.parametrize("by_the_loop", [True, False])
def test_a_read_that_fails_ends_the_stream_and_says_why(
    caplog: pytest.LogCaptureFixture, by_the_loop: bool
) -> None:
    @looped
    async def main() -> None:
        pipe = Pipe()
        pipe.stream.start()
        directory = os.open("/", os.O_RDONLY)
        os.dup2(directory, pipe.stream.fileno(), inheritable=False)
        os.close(directory)
        if by_the_loop:
            pipe.stream._handle_events(pipe.stream.fileno(), IOLoop.READ)
        else:
            await asyncio.to_thread(pipe.stream.read)
        await until(lambda: pipe.stream.closed())
        assert pipe.events == ["end"]
        assert isinstance(pipe.stream.error, IsADirectoryError)
        pipe.close()

    main()
    assert [record.message for record in caplog.records] == [
        "Reading a job's output failed: [Errno 21] Is a directory"
    ]
    caplog.clear()


@looped
async def test_who_is_told_of_a_read_and_fails_does_not_stop_the_reading(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipe = Pipe()
    failing = pipe.stream
    failing._on_read = lambda: pipe.events.append("read") or 1 / 0
    failing.start()
    for number in range(1, 4):
        os.write(pipe.write_end, b"x")
        await until(lambda: pipe.output.end == number)
    pipe.close()
    await until(lambda: pipe.events[-1] == "end")
    assert pipe.events == ["read"] * 3 + ["end"]
    assert {record.message for record in caplog.records} == {"Output of a job could not be passed on."}
    caplog.clear()


@looped
async def test_a_fork_takes_nothing_out_of_a_stream_and_tells_nobody() -> None:
    pipe = Pipe()
    pipe.stream.start()
    with warnings.catch_warnings():
        # Python's own, that a process with threads forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        pipe.stream.lose()
        os.write(pipe.write_end, b"of the fork ")
        quiet = not pipe.stream.read() and pipe.stream.read_from_fd(bytearray(1)) == 0
        pipe.stream.close()
        os._exit(0 if quiet and pipe.events == [] and pipe.output.end == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.write(pipe.write_end, b"and of the parent")
    await until(lambda: pipe.output.text() == "of the fork and of the parent")
    pipe.close()
    await until(lambda: pipe.stream.closed())
    assert pipe.events[-1] == "end"


def test_a_stream_goes_with_the_loop_that_held_it() -> None:
    async def start() -> Pipe:
        pipe = Pipe()
        pipe.stream.start()
        del pipe.stream
        await asyncio.sleep(0)
        return pipe

    pipe = asyncio.run(start())
    gc.collect()
    assert pipe.pipes.all() == []
    with pytest.raises(BrokenPipeError):
        os.write(pipe.write_end, b"more")
    pipe.close()


@looped
async def test_pipes_wait_for_what_can_be_read_once_until_they_are_rearmed() -> None:
    pipe = Pipe()
    pipe.stream.start()
    assert pipe.pipes.wait(0) == []
    os.write(pipe.write_end, b"hello")
    assert pipe.pipes.wait(10) == [pipe.stream]
    assert pipe.pipes.wait(0) == []
    pipe.pipes.rearm(pipe.stream)
    assert pipe.pipes.wait(10) == [pipe.stream]
    assert pipe.stream.read()
    assert not pipe.stream.read()
    assert pipe.output.text() == "hello"
    thread = threading.Timer(0.05, pipe.pipes.wake)
    thread.start()
    assert pipe.pipes.wait(None) == []
    thread.join()
    pipe.close()
    await until(lambda: pipe.stream.closed())
    pipe.pipes.rearm(pipe.stream)


@looped
@pytest.mark.parametrize("epoll", [True, False])
async def test_a_pipe_at_its_end_wakes_nobody_while_the_loop_is_held(
    monkeypatch: pytest.MonkeyPatch, epoll: bool
) -> None:
    if not epoll:
        # As on macOS.
        monkeypatch.delattr(select, "epoll")
    pipe = Pipe()
    pipe.stream.start()
    os.write(pipe.write_end, b"last")
    pipe.close()
    found = []

    def stand_in() -> None:
        while not pipe.stream.at_end:
            found.extend(pipe.pipes.wait(10))
            pipe.stream.read()
            pipe.pipes.rearm(pipe.stream)

    thread = threading.Thread(target=stand_in)
    thread.start()
    thread.join()  # The loop is held, and cannot close it.
    assert found == [pipe.stream] * 2
    assert pipe.pipes.wait(0) == [] and not pipe.stream.closed()
    await until(lambda: pipe.stream.closed())


def test_pipes_give_back_what_they_hold() -> None:
    before = len(open_fds())
    pipes = Pipes()
    pipes.open()
    assert len(open_fds()) == before + 3
    del pipes
    gc.collect()
    assert len(open_fds()) == before


@pytest.mark.parametrize("all_fds", [False, True])
def test_a_job_whose_loop_tornado_closes_gives_its_pipes_back(
    table: JobTable, caplog: pytest.LogCaptureFixture, all_fds: bool
) -> None:
    async def begin() -> object:
        job = table.spawn("echo said; exec sleep 60")
        await until(lambda: job.output)
        return job

    io_loop = IOLoop(make_current=False)
    job = io_loop.asyncio_loop.run_until_complete(begin())
    ends = table.local.resources.pipes.all()
    assert len(ends) == 2
    io_loop.close(all_fds=all_fds)
    assert job.done
    assert job.output == "said\n"
    assert all(end.closed() for end in ends)
    assert table.local.resources.pipes.all() == []
    assert not caplog.records


@looped
async def test_a_job_is_read_by_pipe_streams_on_its_own_loop(table: JobTable) -> None:
    with loop_in_a_thread() as elsewhere:
        jobs, ends = [], []
        for io_loop, spawning in (
            (IOLoop.current(), _spawned(table)),
            (IOLoop.current(), asyncio.to_thread(table.spawn, "cat")),
            (elsewhere, _spawned_on(elsewhere, table)),
        ):
            jobs.append(await spawning)
            new = [end for end in table.local.resources.pipes.all() if end not in ends]
            ends += new
            assert len(new) == 2
            assert all(isinstance(end, PipeIOStream) and end.io_loop is io_loop for end in new)
        await until(lambda: all(end.reading() for end in ends))
        for job in jobs:
            job.send("hello\n")
            job.close_stdin()
            assert (await job).output == "hello\n"
        await until(lambda: all(end.closed() for end in ends))


async def _spawned(table: JobTable) -> object:
    return table.spawn("cat")


async def _spawned_on(io_loop: IOLoop, table: JobTable) -> object:
    started = asyncio.run_coroutine_threadsafe(_spawned(table), io_loop.asyncio_loop)
    return await asyncio.wrap_future(started)


COUNTS = 25_000_000

COUNT = f"""
import array, os
for first in range(0, {COUNTS}, 500_000):
    data = memoryview(array.array("I", range(first, first + 500_000))).cast("B")
    while data:
        data = data[os.write(1, data):]
"""


@looped
async def test_a_hundred_megabytes_read_by_the_loop_and_two_threads_are_whole_and_in_order(
    table: JobTable,
) -> None:
    job = table.spawn([*PYTHON, COUNT])
    (end,) = [end for end in table.local.resources.pipes.all() if end._name == "stdout"]
    stop = threading.Event()
    reads = [0, 0]

    def stand_in(number: int) -> None:
        while not stop.is_set():
            # Whoever has read waits until all have, the loop with them: the child waits for them, too.
            if not reads[number] or (all(reads) and end.reads > sum(reads)):
                reads[number] += end.read()
            time.sleep(0.0005)

    threads = [threading.Thread(target=stand_in, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(reads))  # The loop is held.
        while not job.done:
            await asyncio.sleep(0.005)
            time.sleep(0.005)  # And again.
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (await job).returncode == 0
    assert all(reads) and sum(reads) < end.reads
    for first in range(0, COUNTS, 500_000):
        block = job.read(4 * first, 4 * (first + 500_000))
        assert block == array.array("I", range(first, first + 500_000)).tobytes()
    assert job.read(4 * COUNTS) == b""


@looped
async def test_a_thread_that_reads_while_the_loop_is_held_neither_loses_nor_doubles_a_byte(
    table: JobTable,
) -> None:
    program = """
import os
for number in range(200000):
    os.write(1 + number % 2, b"%07d\\n" % number)
"""
    job = table.spawn([*PYTHON, program])
    lines = asyncio.ensure_future(_numbers(job))
    stop = threading.Event()

    def stand_in() -> None:
        while not stop.is_set():
            for end in table.local.resources.pipes.all():
                end.read()

    threads = [threading.Thread(target=stand_in) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        while not job.done:
            time.sleep(0.02)  # The loop is held.
            await asyncio.sleep(0.001)
        await job
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [int(n) for n in job.stdout.split()] == [*range(0, 200_000, 2)]
    assert [int(n) for n in job.stderr.split()] == [*range(1, 200_000, 2)]
    assert sorted(await lines) == [*range(200_000)]


@looped
async def test_quick_jobs_that_another_thread_reads_first_end_without_a_note(table: JobTable) -> None:
    stop = threading.Event()

    def read_first() -> None:
        while not stop.is_set():
            for end in table.local.resources.pipes.all():
                end.read()

    thread = threading.Thread(target=read_first)
    thread.start()
    try:
        for number in range(150):
            result = await table.spawn(["/bin/echo", str(number)])
            assert (result.stdout, result.notes) == (f"{number}\n", ())
        jobs = [table.spawn(["/bin/echo", str(number)]) for number in range(50)]
        for number, job in enumerate(jobs):
            assert ((await job).stdout, job.snapshot().notes) == (f"{number}\n", ())
    finally:
        stop.set()
        thread.join()


async def _numbers(job: object) -> list[int]:
    return [int(line) async for line in job]


@looped
async def test_a_job_that_ends_while_the_loop_is_held_is_done_when_it_comes_round(table: JobTable) -> None:
    job = table.spawn("seq 1 1000; exit 3", ready="^1000$")
    wait_until(lambda: any(end.read() for end in table.local.resources.pipes.all()))
    time.sleep(0.1)
    assert not job.done
    await job.ready(timeout=60)
    assert (await job.wait(raise_error=False)).returncode == 3
