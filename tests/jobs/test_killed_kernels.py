"""A kernel that is killed in the midst of starting a job leaves nothing of it."""

from __future__ import annotations

import random
import uuid

import pytest

from tests.jobs.trees import marked
from tests.support import run_program, wait_until


@pytest.mark.parametrize(("on", "times"), [([], 60), (["tty"], 20)], ids=["pipes", "terminals"])
def test_a_kernel_killed_in_a_tight_spawn_loop_leaves_nothing(on: list[str], times: int) -> None:
    mark, seed = uuid.uuid4().hex, random.randrange(10**6)
    done = run_program("spawning_kernels.py", mark, str(seed), str(times), *on, timeout=100)
    running = [int(line) for line in done.stdout.split()]
    assert len(running) == times and any(running), running
    try:
        wait_until(lambda: not marked(mark))
    except AssertionError:
        raise AssertionError(f"seed {seed}: {len(marked(mark))} processes live on") from None
