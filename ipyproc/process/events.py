"""What happens to workers, as a `Supervisor` tells it."""

from __future__ import annotations

__all__ = ["Event", "Exited", "GaveUp", "Restarting", "Started"]

# Neither dataclasses nor named tuples: to make those takes longer than the rest of a helper's imports.


class _Fact:
    __slots__: tuple[str, ...] = ()

    def __init__(self, *values: int) -> None:
        for name, value in zip(self.__slots__, values, strict=True):
            setattr(self, name, value)

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"{type(self).__name__}({', '.join(values)})"


class Started(_Fact):
    """A worker runs."""

    __slots__ = ("task_id", "pid")  # noqa: RUF023
    task_id: int
    pid: int


class Exited(_Fact):
    """A worker has ended; ``returncode`` is negative for the signal that ended it."""

    __slots__ = ("task_id", "pid", "returncode")  # noqa: RUF023
    task_id: int
    pid: int
    returncode: int


class Restarting(_Fact):
    """A worker is being replaced; ``restarts`` have been charged to the budget so far."""

    __slots__ = ("task_id", "restarts")  # noqa: RUF023
    task_id: int
    restarts: int


class GaveUp(_Fact):
    """One restart more than the budget was needed; the workers still alive are being ended."""

    __slots__ = ("max_restarts",)
    max_restarts: int


Event = Started | Exited | Restarting | GaveUp
