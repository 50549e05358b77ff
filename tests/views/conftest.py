"""The table of jobs is that of the jobs' own tests."""

from tests.jobs.conftest import killed_are_waited_for, table, warm_table

__all__ = ["killed_are_waited_for", "table", "warm_table"]
