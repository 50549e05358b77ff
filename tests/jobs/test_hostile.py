"""Want of everything, and too much of it: in processes of their own, which are measured."""

from __future__ import annotations

import json
import os

import pytest

from tests.support import run_program


def test_a_job_that_cannot_be_started_for_want_of_fds_is_an_oserror_and_leaves_nothing() -> None:
    told = json.loads(run_program("job_without_fds.py").stdout)
    outcomes = {start["free"]: start["outcome"] for start in told["starts"]}
    assert outcomes[0] == "EMFILE"
    assert outcomes[max(outcomes)] == "hello"
    assert set(outcomes.values()) == {"EMFILE", "hello"}
    for start in told["starts"]:
        assert start["fds are as before"], start
        if start["outcome"] == "EMFILE":
            assert start["sentence"].startswith(
                "No more files may be opened, so the job was not started; end"
            )
            assert start["listed"] == 0
    assert not told["children"]
    for first in told["firsts"]:
        assert first["outcome"] in ("EMFILE", "hello"), first
        assert not first["children"], first
    assert first["outcome"] == "hello"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user of whom nothing runs")
def test_a_job_that_cannot_be_started_for_want_of_processes_is_an_oserror_and_leaves_nothing() -> None:
    told = json.loads(run_program("job_without_processes.py").stdout)
    assert 0 < told["started"] <= 6
    assert told["listed"] == told["started"] + 1
    assert told["errno"] == "EAGAIN"
    assert told["sentence"] == "The system has no room for one more process; end other jobs first."
    assert told["again"] == "again\n"
    assert (told["fds"], told["children"]) == ([], [])


def test_a_thousand_jobs_at_once_end_as_they_should_and_leave_nothing() -> None:
    told = json.loads(run_program("job_thousand.py", "1000").stdout)
    assert (told["right"], told["at once"], told["listed"]) == (1000, 1000, 1000)
    assert (told["fds"], told["threads"], told["children"]) == (0, 0, False)
    # A thousand before them have left what the allocator keeps for good.
    assert told["memory"] <= 8 << 20
