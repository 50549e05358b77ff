"""The table of jobs is that of the jobs' own tests."""

from tests.jobs.conftest import table, warm_table

__all__ = ["table", "warm_table"]
