"""The jobs of this process: ``ipyproc.jobs`` is their table, as well as the package of its parts.

::

    for job in ipyproc.jobs:
        print(job)
    ipyproc.jobs["build"]
    ipyproc.jobs[4211]

The public methods of `ipyproc.jobs.table.JobTable` can be called on it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipyproc.jobs.job import Job
    from ipyproc.jobs.table import JobTable


_METHODS = frozenset({"clear", "end_all", "forget", "spawn"})


class _Jobs(ModuleType):
    # `ipyproc.jobs` is the package's name, so an import would hide a table of that name: the
    # package itself answers for the table.

    @property
    def _table(self) -> JobTable:
        from ipyproc.jobs.table import jobs

        return jobs

    def __iter__(self) -> Iterator[Job]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, key: object) -> bool:
        return key in self._table

    def __getitem__(self, key: str | int) -> Job:
        return self._table[key]

    def __getattr__(self, name: str) -> object:
        if name not in _METHODS:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._table, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_METHODS})

    def __repr__(self) -> str:
        return repr(self._table)


sys.modules[__name__].__class__ = _Jobs
