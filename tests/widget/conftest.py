"""The table of jobs that tests start theirs in."""

from __future__ import annotations

from tests.jobs.conftest import table, warm_table

__all__ = ["table", "warm_table"]
