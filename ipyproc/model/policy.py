"""The restart policy: which exits a restart follows, how often, and after what delay. Values."""

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
    """The exits that a restart follows."""

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
        mode: the exits that a restart follows.
        max_restarts: the number of restarts allowed in a row, without a healthy process between.
        backoff: the seconds before the first restart; 0 for at once.
        factor: the ratio of each further delay to the one before.
        cap: the largest delay in seconds.
        healthy: the seconds of uptime after which a process counts as healthy: the next exit has the
            whole number of restarts, and the first delay, again.

    Raises:
        JobSpecError: a value is invalid.
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
        """Return True if a restart follows an exit, as long as `max_restarts` allows it."""
        return self.mode is RestartMode.ALWAYS or (self.mode is RestartMode.ON_FAILURE and failed)

    def delay_after(self, streak: Streak) -> float:
        """Return the seconds between the last exit of a streak and the restart."""
        return min(self.cap, streak.delay * self.factor if streak.delay else self.backoff)


@value
class Streak:
    """The exits in a row since the last healthy process, and their restarts.

    Attributes:
        restarts: the restarts in this row, which `RestartPolicy.max_restarts` limits.
        total_restarts: all restarts of the job.
        delay: the last backoff in seconds; 0 before the first.
        exits: the last ten exit statuses.
    """

    restarts: int = 0
    total_restarts: int = 0
    delay: float = 0.0
    exits: tuple[int, ...] = ()

    def counted(self, status: int, *, healthy: bool) -> Streak:
        """Return the streak with one more exit, which is the first of a new one if ``healthy``."""
        if healthy:
            return Streak(total_restarts=self.total_restarts, exits=(status,))
        exits = (*self.exits, status)[-_EXITS_KEPT:]
        return Streak(self.restarts, self.total_restarts, self.delay, exits)

    def delayed(self, delay: float) -> Streak:
        """Return the streak with another delay."""
        return Streak(self.restarts, self.total_restarts, delay, self.exits)

    def restarted(self) -> Streak:
        """Return the streak with one more restart."""
        return Streak(self.restarts + 1, self.total_restarts + 1, self.delay, self.exits)


NO_STREAK = Streak()
"""The streak of a job without exits, shared by all jobs."""


def describe_crash_loop(exits: Sequence[int]) -> str:
    """Return exits in a row as text: ``exited 3, 3, SIGSEGV, 3``, or ``exited 1 (10 times)``.

    Args:
        exits: the exit statuses in order, negative for signals.
    """
    runs = [(status, len(list(same))) for status, same in groupby(exits)]
    texts = []
    for status, times in runs:
        text = signal_name(-status) if status < 0 else str(status)
        texts += [f"{text} ({times} times)"] if times > 2 else [text] * times
    return f"exited {', '.join(texts)}" if texts else "never exited"
