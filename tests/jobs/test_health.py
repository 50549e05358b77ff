"""A process that is not well is ended as one that failed, and the restart policy says what follows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipyproc.errors import JobFailed, JobSpecError
from ipyproc.hosts.local.health import Health
from ipyproc.job.table import JobTable
from ipyproc.model.state import JobState
from tests.jobs.looped import looped
from tests.support import until


class Checks:
    """The health checks of jobs, each made when the test says that its time has come."""

    def __init__(self) -> None:
        self.asked_for: list[tuple[str, float]] = []
        self._due: list[Callable[[], None]] = []

    def later(self, health: Health, name: str, seconds: float, work: Callable[[], None]) -> None:
        turn = health._turn
        self.asked_for.append((name, seconds))
        self._due.append(lambda: health._settled(turn, work))

    def make(self) -> None:
        """Makes those that are due, on the loop."""
        due, self._due = self._due, []
        for check in due:
            check()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    checks = Checks()
    monkeypatch.setattr(Health, "_later", lambda health, *given: checks.later(health, *given))
    return checks


@looped
async def test_a_silent_job_is_ended_as_a_failure_and_restarted(table: JobTable, checks: Checks) -> None:
    job = table.spawn("echo up; exec sleep 60", silence=0.3, restart="on-failure", max_restarts=1, backoff=0)
    for life in (1, 2):
        await until(lambda: job.output == "up\n" * life)  # noqa: B023
        # Something was written since the look before, or it was written before the first.
        checks.make()
        checks.make()
    result = await asyncio.wait_for(job.wait(raise_error=False), 30)
    assert job.output == "up\nup\n" and set(checks.asked_for) == {("silence", 0.3)}
    assert (job.state, job.snapshot().restarts) == (JobState.GAVE_UP, 1)
    assert result.notes[0] == "it was silent for 0.3 s, and was ended"


@looped
async def test_a_job_that_writes_now_and_then_is_not_silent(table: JobTable, checks: Checks) -> None:
    job = table.spawn("while read n; do echo $n; done", silence=1.5)
    for number in range(6):
        job.send(f"{number}\n")
        await until(lambda: job.tail(1) == f"{number}\n")  # noqa: B023
        checks.make()
    job.close_stdin()
    assert (await job).notes == () and checks.asked_for == [("silence", 1.5)] * 7


@looped
async def test_silence_is_looked_for_by_the_clock(table: JobTable) -> None:
    job = table.spawn(["sleep", "60"], silence=0.05)
    result = await asyncio.wait_for(job.wait(raise_error=False), 30)
    assert result.notes == ("it was silent for 0.05 s, and was ended",)


@looped
async def test_a_job_whose_question_goes_unanswered_is_ended_and_one_that_answers_is_left(
    table: JobTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign, asked = tmp_path / "well", tmp_path / "asked"
    sign.touch()
    # It is asked at once, and may take its time for the answer.
    later = Health._later
    with monkeypatch.context() as patch:
        patch.setattr(Health, "_later", lambda health, name, _, work: later(health, name, 0.01, work))
        question = f"echo >> {asked}; test -e {sign}"
        job = table.spawn(["sleep", "60"], name="asked", alive=question, alive_every=60)
        # By the third, the first was answered.
        await until(lambda: asked.exists() and asked.stat().st_size >= 3)
        assert job.state is JobState.RUNNING
        sign.unlink()
        with pytest.raises(JobFailed, match=r"test -e .*' exited with 1, and it was ended"):
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
async def test_a_process_that_ignores_its_end_is_killed(table: JobTable, checks: Checks) -> None:
    job = table.spawn("trap '' TERM; echo set; while :; do sleep 0.05; done", silence=0.3)
    await until(lambda: job.output == "set\n")
    checks.make()
    checks.make()
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
