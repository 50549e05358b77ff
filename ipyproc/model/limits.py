"""The user and the limits of a job: niceness, umask, CPU affinity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipyproc.errors import JobSpecError

__all__ = ["NICEST", "Limits", "cpus_of", "is_whole"]

NICEST = 19
"""The highest niceness that a process may have."""


@dataclass(frozen=True)
class Limits:
    """The user and the limits of a job; None leaves each as the kernel has it.

    Attributes:
        nice: the increment to the kernel's niceness, from -20 to 19, as for ``nice -n``.
        user: the user, by name or number, whose groups and HOME the job gets too.
        umask: the permissions that its new files do not have, such as ``0o077``.
        affinity: the CPUs on which it may run.

    Raises:
        JobSpecError: a value is invalid. Whether this machine has the user and the CPUs its host says.
    """

    nice: int | None = None
    user: str | int | None = None
    umask: int | None = None
    affinity: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if self.nice is not None and not (is_whole(self.nice) and -20 <= self.nice <= NICEST):
            raise JobSpecError(f"The niceness {self.nice!r} is invalid; give a whole number from -20 to 19.")
        if self.umask is not None and not (is_whole(self.umask) and 0 <= self.umask <= 0o777):
            raise JobSpecError(
                f"The umask {self.umask!r} is invalid; give one from 0 to 0o777, such as 0o077."
            )
        if self.user is not None and not (isinstance(self.user, str) or is_whole(self.user)):
            raise JobSpecError(f"There is no user {self.user!r}; give the name or the number of one.")


def cpus_of(given: Iterable[int] | None) -> frozenset[int] | None:
    """Return CPUs as `Limits` has them.

    Raises:
        JobSpecError: they are not iterable.
    """
    try:
        return None if given is None else frozenset(given)
    except TypeError:
        raise JobSpecError(f"The CPUs {given!r} are not a set of numbers; give some as {{0, 1}}.") from None


def is_whole(value: object) -> bool:
    """Return True for a whole number that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)
