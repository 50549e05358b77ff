"""Forks of the kernel, such as the workers of a pool, harm no job."""

from __future__ import annotations

import pytest

from tests.support import run_program


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("pool", id="the end of the input arrives while a pool lives"),
        pytest.param("refused", id="a job in a fork is refused in one sentence"),
        pytest.param("exits", id="a fork that exits disturbs nothing"),
    ],
)
def test_a_fork_of_the_kernel_harms_no_job(case: str) -> None:
    assert run_program("forked_kernel.py", case, timeout=200).stderr == ""
