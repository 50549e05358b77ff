"""A kernel that is killed in the midst of starting a job leaves nothing of it."""

from __future__ import annotations

import random
import uuid

import pytest

from tests.jobs.trees import marked
from tests.support import run_program, wait_until


@pytest.mark.parametrize("times", [10, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("on", [[], ["tty"]], ids=["pipes", "terminals"])
def test_kernels_killed_in_a_tight_spawn_loop_leave_nothing(on: list[str], times: int) -> None:
    mark, seed = uuid.uuid4().hex, random.randrange(10**6)
    done = run_program("spawning_kernels.py", mark, str(seed), str(times), *on)
    running = [int(line) for line in done.stdout.split()]
    assert len(running) == times and all(running[4::5]), running
    try:
        wait_until(lambda: not marked(mark))
    except AssertionError:
        raise AssertionError(f"seed {seed}: {len(marked(mark))} processes live on") from None
