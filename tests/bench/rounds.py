"""Rounds in turn, each measurement in an interpreter of its own, and how steady the machine was."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from tests.bench.table import OURS, Bar, Row

__all__ = ["Measured", "Unavailable", "fresh", "in_turn", "spin"]

ROOT = Path(__file__).parents[2]

T = TypeVar("T")
_SPIN_TURNS = 1_000_000


class Unavailable(Exception):
    """What is to be measured does not exist (yet)."""


@dataclass
class Measured(Generic[T]):
    """What the rounds gave: results and failures by contender."""

    results: dict[str, list[T]] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    spins: list[float] = field(default_factory=list)

    @property
    def shaken(self) -> float:
        """How much slower the machine was in its slowest round than in its fastest."""
        return max(self.spins) / min(self.spins)

    def row(
        self,
        name: str,
        what: str,
        unit: str,
        bar: Bar,
        figure: Callable[[T], float] = lambda result: result,
        limits: tuple[str, ...] = (),
    ) -> Row:
        """A row of the table, of the one number that ``figure`` takes from each result."""
        failure = self.failures.get(OURS)
        figures = {who: [figure(result) for result in results] for who, results in self.results.items()}
        return self.row_of(name, what, unit, bar, figures, failure, limits)

    def row_of(
        self,
        name: str,
        what: str,
        unit: str,
        bar: Bar,
        figures: Mapping[str, list[float]],
        failure: Exception | None = None,
        limits: tuple[str, ...] = (),
    ) -> Row:
        """A row of figures that were picked elsewhere."""
        missing = "" if failure is None else _line(failure)
        failed = failure is not None and not isinstance(failure, Unavailable)
        lost = {f"{who}": _line(error) for who, error in self.failures.items() if error is not failure}
        return Row(name, what, unit, figures, bar, self.shaken, missing, failed, lost, limits)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def spin() -> float:
    """Seconds that a fixed piece of work takes on this machine now."""
    begun = time.perf_counter()
    for _ in range(_SPIN_TURNS):
        pass
    return time.perf_counter() - begun


def in_turn(contenders: Mapping[str, Callable[[], T]], rounds: int) -> Measured[T]:
    """Runs every contender once a round, so that a slow minute of the machine falls on all.

    A contender that raises is out, with what it has done by then, and the others go on.
    """
    measured: Measured[T] = Measured()
    for _ in range(rounds):
        for who, measure in contenders.items():
            if who in measured.failures:
                continue
            measured.spins.append(spin())
            try:
                result = measure()
                measured.results.setdefault(who, []).append(result)
            except Exception as error:
                measured.failures[who] = error
    measured.spins.append(spin())
    return measured


def fresh(function: Callable[..., T], *args: object, timeout: float = 120) -> T:
    """Runs a module's function in a new interpreter, and returns what it returns there (as JSON).

    Memory, file descriptors and signal handlers are its own.

    Raises:
        Unavailable: it could not be imported there, or a name in it does not exist.
        RuntimeError: anything else that it raised, in one line.
    """
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__, json.dumps(args)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    lines = done.stdout.splitlines()
    if not lines:
        raise RuntimeError(f"{function.__name__} gave nothing: {done.stderr.strip()[-300:]}")
    answer = json.loads(lines[-1])
    if "error" in answer:
        raise Unavailable(answer["error"]) if answer["unavailable"] else RuntimeError(answer["error"])
    return answer["result"]


def _run(module: str, function: str, arguments: str) -> None:
    try:
        answer = {"result": getattr(importlib.import_module(module), function)(*json.loads(arguments))}
    except Exception as error:
        answer = {
            "error": f"{type(error).__name__}: {error}",
            "unavailable": isinstance(error, (ImportError, AttributeError)),
        }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _run(*sys.argv[1:])
