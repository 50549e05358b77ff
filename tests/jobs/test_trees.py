"""Random process trees, each ended at a random moment: nothing of them lives on, and no bystander is hit.

A failure names the seed: ``python -c "from tests.jobs.trees import script; print(script(SEED))"`` shows the
tree. Which seed ends how, and when, follows from the seed as well.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ipyproc.job.table import JobTable
from tests.jobs.looped import looped
from tests.jobs.trees import MARK, WITNESS, marked, script, sessions_alive
from tests.support import PROGRAMS, PYTHONPATH, until, wait_until

_AT_ONCE = 8
_BOUND = 40.0
_LATEST = 0.8


@contextmanager
def bystanders() -> Iterator[None]:
    """Strangers in sessions of their own, some with a tree's command lines; they have to be left alone."""
    commands = [["sleep", "90"], ["timeout", "90", "sleep", "90"], ["perl", "-e", WITNESS]]
    with ExitStack() as stack:
        before = [stack.enter_context(_stranger(command)) for command in commands]
        assert before[-1].stdout is not None
        assert before[-1].stdout.readline() == "up\n"
        yield
        assert [stranger.poll() for stranger in before] == [None] * len(before)
        before[-1].kill()
        assert before[-1].stdout.read() == ""


@contextmanager
def _stranger(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True) as stranger:
        try:
            yield stranger
        finally:
            os.killpg(stranger.pid, 9)


# Ten in the default suite, two hundred in all; of each batch two kernels abandon two each.
batches = pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(10, 200, 10))]
)
_ENDED, _ABANDONED = 6, 2


@batches
def test_a_tree_that_is_stopped_killed_or_timed_out_leaves_nothing(table: JobTable, first: int) -> None:
    @looped
    async def ends_all() -> None:
        room = asyncio.Semaphore(_AT_ONCE)

        async def in_its_turn(seed: int) -> None:
            async with room:
                await end_one(table, seed)

        await asyncio.gather(*(in_its_turn(seed) for seed in range(first, first + _ENDED)))

    with bystanders():
        ends_all()


@batches
@pytest.mark.parametrize("half", [0, 1])
def test_trees_whose_kernel_is_killed_leave_nothing(first: int, half: int) -> None:
    with bystanders():
        abandon(range(first + _ENDED + half * _ABANDONED, first + _ENDED + (half + 1) * _ABANDONED))


async def end_one(table: JobTable, seed: int) -> None:
    """Start a tree; stop, kill or time it out at a moment of the seed's; see that nothing is left."""
    rng = random.Random(~seed)
    how, moment, grace = rng.choice(["stop", "kill", "timeout"]), rng.random() * _LATEST, rng.random() * 0.3
    mark = uuid.uuid4().hex
    job = table.spawn(
        script(seed),
        name=f"tree-{seed}",
        shell="bash",
        env={MARK: mark},
        timeout=moment if how == "timeout" else None,
    )
    told = f"seed {seed}, {how} after {moment:.3f} s, grace {grace:.3f} s, session {job.pid}"
    with _explained(told, mark, [job.pid]):
        if how != "timeout":
            await asyncio.sleep(moment)
        if how == "kill":
            job.kill()
        if how != "stop":
            result = await asyncio.wait_for(job.wait(raise_error=False), _BOUND)
            # One that has ended by itself is not timed out, nor is what it left.
            assert result.timed_out or result.ended_by or not marked(mark) or job.left
        if how == "stop" or (how == "timeout" and job.left):
            await asyncio.wait_for(job.stop(grace), _BOUND)
        await until(lambda: not job.left and not marked(mark) and not sessions_alive([job.pid]), _BOUND)
    assert not [note for note in job.snapshot().notes if "could not be ended" in note], told


def abandon(seeds: range) -> None:
    """Kill a kernel at a moment of the seeds', while it starts trees or after; see that nothing is left."""
    moment = random.Random(~seeds[0]).random() * _LATEST
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "trees_kernel.py", mark, *map(str, seeds)],
        # The kernel, its warden and all that they start have the mark.
        env={**os.environ, "PYTHONPATH": PYTHONPATH, MARK: mark},
        stdout=subprocess.PIPE,
        text=True,
    ) as kernel:
        try:
            assert kernel.stdout is not None
            assert kernel.stdout.readline() == "up\n"
            time.sleep(moment)
        finally:
            kernel.kill()
        # A tree does not inherit it: all that were told can be read.
        sids = [int(line) for line in kernel.stdout if line.strip()]
    with _explained(f"seeds {seeds}, killed after {moment:.3f} s, sessions {sids}", mark, sids):
        wait_until(lambda: not marked(mark) and not sessions_alive(sids), _BOUND)


@contextmanager
def _explained(told: str, mark: str, sids: list[int]) -> Iterator[None]:
    try:
        yield
    except (AssertionError, asyncio.TimeoutError) as error:
        left = {pid: _command_line(pid) for pid in {*marked(mark), *sessions_alive(sids)}}
        raise AssertionError(f"{told}: {error!r}; alive: {left}") from error


def _command_line(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as words:
            return f"{stat.read()[:60]!r} {words.read()[:120]!r}"
    except OSError:
        return "gone"
