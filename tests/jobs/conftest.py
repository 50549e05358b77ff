"""The table of jobs that tests start theirs in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ipyproc.job.table import JobTable
from tests.jobs.clock import clock, killed_are_waited_for

__all__ = ["clock", "killed_are_waited_for", "table", "warm_table"]


@pytest.fixture(scope="session")
def warm_table() -> Iterator[JobTable]:
    """A table that holds already what it keeps for good: its warden, its poll."""

    async def warm_up() -> None:
        await table.spawn("true")

    table = JobTable()
    asyncio.run(warm_up())
    yield table
    table.end_all()


@pytest.fixture
def table(warm_table: JobTable, killed_are_waited_for: None) -> Iterator[JobTable]:
    """An empty table; what a test has left in it must have ended."""
    warm_table.clear()
    yield warm_table
    running = [job for job in warm_table if not job.done]
    warm_table.clear()
    assert not running
