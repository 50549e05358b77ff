"""The restart policy: which exits are followed by a restart, how often, and after what delay. Values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from math import isfinite

from ipyproc.errors import JobSpecError, signal_name
from ipyproc.model.spec import is_number
from ipyproc.model.value import value

__all__ = ["NO_STREAK", "RestartMode", "RestartPolicy", "Streak", "describe_crash_loop"]

_EXITS_KEPT = 10


class RestartMode(Enum):
    """Which exits are followed by a restart."""

    NO = "no"
    ON_FAILURE = "on-failure"
    """Exit statuses other than 0, and signals."""
    ALWAYS = "always"

    @classmethod
    def _missing_(cls, value: object) -> RestartMode:
        raise JobSpecError(f"The restart policy {value!r} is unknown; give 'no', 'on-failure' or 'always'.")


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a job is restarted, how often, and after what delay.

    Attributes:
        mode: which exits are followed by a restart.
        max_restarts: how many restarts there may be without a healthy while between.
        backoff: seconds before the first restart; 0 for at once.
        factor: what each further delay is, in the one before.
        cap: seconds that no delay exceeds.
        healthy: seconds of uptime after which all that went before is forgiven: the next exit has
            the whole budget, and the first delay, before it.

    Raises:
        JobSpecError: one of them cannot be.
    """

    mode: RestartMode = RestartMode.NO
    max_restarts: int = 10
    backoff: float = 0.25
    factor: float = 2.0
    cap: float = 30.0
    healthy: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("max_restarts", 0), ("backoff", 0), ("factor", 1), ("cap", 0), ("healthy", 0)):
            value = getattr(self, name)
            if not (is_number(value) and isfinite(value) and value >= least):
                raise JobSpecError(f"{name} is {value!r}; give {least} or more.")

    def follows(self, failed: bool) -> bool:
        """Return whether a restart follows an exit, as far as the budget allows."""
        return self.mode is RestartMode.ALWAYS or (self.mode is RestartMode.ON_FAILURE and failed)

    def delay_after(self, streak: Streak) -> float:
        """Return the seconds between the last exit of a streak and the restart."""
        return min(self.cap, streak.delay * self.factor if streak.delay else self.backoff)


@value
class Streak:
    """The exits since the last healthy while that a restart was to follow, and what they cost.

    Attributes:
        restarts: restarts since then; what `RestartPolicy.max_restarts` limits.
        total_restarts: restarts in all.
        delay: seconds of the last backoff; 0 before the first.
        exits: the exit statuses, the last ten.
    """

    restarts: int = 0
    total_restarts: int = 0
    delay: float = 0.0
    exits: tuple[int, ...] = ()

    def counted(self, status: int, *, healthy: bool) -> Streak:
        """Return it with one more exit, which after a healthy while is the first of a new streak."""
        if healthy:
            return Streak(total_restarts=self.total_restarts, exits=(status,))
        exits = (*self.exits, status)[-_EXITS_KEPT:]
        return Streak(self.restarts, self.total_restarts, self.delay, exits)

    def delayed(self, delay: float) -> Streak:
        """Return it with another delay."""
        return Streak(self.restarts, self.total_restarts, delay, self.exits)

    def restarted(self) -> Streak:
        """Return it with one more restart."""
        return Streak(self.restarts + 1, self.total_restarts + 1, self.delay, self.exits)


NO_STREAK = Streak()
"""That of every job which has not failed yet."""


def describe_crash_loop(exits: Sequence[int]) -> str:
    """Return a short text on exits in a row: ``exited 3, 3, SIGSEGV, 3``, or ``exited 1 (10 times)``.

    Args:
        exits: exit statuses in their order, negative for signals.
    """
    runs = [(status, len(list(same))) for status, same in groupby(exits)]
    texts = []
    for status, times in runs:
        text = signal_name(-status) if status < 0 else str(status)
        texts += [f"{text} ({times} times)"] if times > 2 else [text] * times
    return f"exited {', '.join(texts)}" if texts else "never exited"
