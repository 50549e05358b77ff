"""The table of jobs is that of the jobs' own tests."""

from tests.jobs.conftest import clock, killed_are_waited_for, table, warm_table

__all__ = ["clock", "killed_are_waited_for", "table", "warm_table"]
