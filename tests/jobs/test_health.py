"""A process that is not well is ended as one that failed, and the restart policy says what follows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from ipyproc.errors import JobFailed, JobSpecError
from ipyproc.job.table import JobTable
from ipyproc.model.state import JobState
from tests.jobs.looped import looped
from tests.support import until


@looped
async def test_a_silent_job_is_ended_as_a_failure_and_restarted(table: JobTable) -> None:
    job = table.spawn("echo up; exec sleep 60", silence=0.3, restart="on-failure", max_restarts=1, backoff=0)
    result = await asyncio.wait_for(job.wait(raise_error=False), 30)
    assert job.output == "up\nup\n"
    assert (job.state, job.snapshot().restarts) == (JobState.GAVE_UP, 1)
    assert result.notes[0] == "it was silent for 0.3 s, and was ended"


@looped
async def test_a_job_that_writes_now_and_then_is_not_silent(table: JobTable) -> None:
    job = table.spawn("for n in 1 2 3 4 5 6; do echo $n; sleep 0.2; done", silence=1.5)
    assert (await job).notes == ()


@looped
async def test_a_job_whose_question_goes_unanswered_is_ended_and_one_that_answers_is_left(
    table: JobTable, tmp_path: Path
) -> None:
    sign = tmp_path / "well"
    sign.touch()
    job = table.spawn(["sleep", "60"], name="asked", alive=f"test -e {sign}", alive_every=0.1)
    await asyncio.sleep(0.5)
    assert job.state is JobState.RUNNING
    sign.unlink()
    with pytest.raises(JobFailed, match=r"'test -e .*' exited with 1, and it was ended"):
        await asyncio.wait_for(asyncio.shield(job.wait()), 30)
    deaf = table.spawn(["sleep", "60"], name="deaf", alive="sleep 60", alive_every=0.2)
    result = await asyncio.wait_for(deaf.wait(raise_error=False), 30)
    assert result.notes == ("'sleep 60' did not answer within 0.2 s, and it was ended",)


@looped
async def test_a_job_that_uses_too_much_memory_is_ended_with_its_children(table: JobTable) -> None:
    program = "data = bytearray(200 << 20); import time; time.sleep(60)"
    job = table.spawn(f"{sys.executable} -I -S -c '{program}' & wait", max_memory="100M")
    result = await asyncio.wait_for(job.wait(raise_error=False), 30)
    assert result.returncode != 0
    assert "bytes of memory, more than 104,857,600, and was ended" in result.notes[0]
    await until(lambda: not job.left)


@looped
async def test_a_process_that_ignores_its_end_is_killed(table: JobTable) -> None:
    job = table.spawn("trap '' TERM; echo set; while :; do sleep 0.05; done", silence=0.3)
    result = await asyncio.wait_for(job.wait(raise_error=False), 30)
    assert result.returncode == -9


def test_what_cannot_be_is_refused_in_one_sentence(table: JobTable) -> None:
    for given, sentence in (
        ({"silence": 0}, "The value of silence is 0; give a number of seconds above 0, such as 30."),
        (
            {"alive": "true", "alive_every": "often"},
            "The value of alive_every is 'often'; give a number of seconds",
        ),
        ({"max_memory": "much"}, "max_memory is 'much'; give a number of bytes, or one such as '2G'."),
        ({"max_memory": 0}, "max_memory is 0; give a number of bytes, or one such as '2G'."),
        ({"backoff": -1}, "backoff is -1; give 0 or more."),
        ({"stop_signal": "TERM"}, "'TERM' is not a signal number; give one such as signal.SIGTERM"),
    ):

        @looped
        async def refused() -> None:
            with pytest.raises(JobSpecError) as error:
                table.spawn("true", **given)
            assert str(error.value).startswith(sentence)

        refused()
    assert not [*table]
