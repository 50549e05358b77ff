from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import pytest
from tornado.ioloop import IOLoop

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.pump import Pipes, Pump
from ipyproc.job.table import JobTable
from ipyproc.spool.output import Output
from tests.jobs.looped import PYTHON, looped
from tests.support import open_fds, until, wait_until


class Pipe:
    """A pipe with a pump at its end."""

    def __init__(self) -> None:
        self.output = Output(1 << 30)
        self.events: list[str] = []
        self.pipes = Pipes()
        read_end, self.write_end = os.pipe()
        os.set_blocking(read_end, False)
        self.pump = Pump(
            read_end,
            "stdout",
            self.output,
            Driver(IOLoop.current()),
            self.pipes,
            lambda: self.events.append("read"),
            lambda: self.events.append("end"),
        )
        self.pipes.add(self.pump)

    def close(self) -> None:
        os.close(self.write_end)


@looped
async def test_a_pump_reads_until_the_end_of_its_pipe_and_closes_it() -> None:
    pipe = Pipe()
    pipe.pump.start()
    os.write(pipe.write_end, b"hello")
    await until(lambda: pipe.output.text() == "hello")
    pipe.close()
    await until(lambda: pipe.events[-1] == "end")
    assert pipe.events == ["read", "end"]
    assert pipe.pump.fd is None
    assert not pipe.pump.read()
    assert pipe.pipes.all() == []


@looped
async def test_a_cut_takes_what_is_there_and_closes_though_a_writer_lives_on() -> None:
    pipe = Pipe()
    pipe.pump.start()
    os.write(pipe.write_end, b"x" * 60_000)
    pipe.pump.cut()
    assert pipe.output.end == 60_000
    assert pipe.events[-1] == "end"
    with pytest.raises(BrokenPipeError):
        os.write(pipe.write_end, b"more")
    pipe.close()


def test_a_pump_goes_with_the_loop_that_held_it() -> None:
    async def start() -> Pipe:
        pipe = Pipe()
        pipe.pump.start()
        del pipe.pump
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
    pipe.pump.start()
    assert pipe.pipes.wait(0) == []
    os.write(pipe.write_end, b"hello")
    assert pipe.pipes.wait(10) == [pipe.pump]
    assert pipe.pipes.wait(0) == []
    pipe.pipes.rearm(pipe.pump)
    assert pipe.pipes.wait(10) == [pipe.pump]
    assert pipe.pump.read()
    assert not pipe.pump.read()
    assert pipe.output.text() == "hello"
    thread = threading.Timer(0.05, pipe.pipes.wake)
    thread.start()
    assert pipe.pipes.wait(None) == []
    thread.join()
    pipe.close()
    await until(lambda: pipe.pump.fd is None)
    pipe.pipes.rearm(pipe.pump)


def test_pipes_give_back_what_they_hold() -> None:
    before = len(open_fds())
    pipes = Pipes()
    pipes.open()
    assert len(open_fds()) == before + 3
    del pipes
    gc.collect()
    assert len(open_fds()) == before


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
            for pump in table.local.resources.pipes.all():
                pump.read()

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


async def _numbers(job: object) -> list[int]:
    return [int(line) async for line in job]


@looped
async def test_a_job_that_ends_while_the_loop_is_held_is_done_when_it_comes_round(table: JobTable) -> None:
    job = table.spawn("seq 1 1000; exit 3", ready="^1000$")
    wait_until(lambda: any(pump.read() for pump in table.local.resources.pipes.all()))
    time.sleep(0.1)
    assert not job.done
    await job.ready(timeout=30)
    assert (await job.wait(raise_error=False)).returncode == 3
