"""The table of jobs that tests start theirs in."""

from __future__ import annotations

from tests.jobs.conftest import killed_are_waited_for, table, warm_table

__all__ = ["killed_are_waited_for", "table", "warm_table"]
