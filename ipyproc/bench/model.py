"""Pictures and results of a benchmark: frozen data, no I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ipyproc.bench.findings import Findings, ForkCost, Throughput
from ipyproc.bench.plot import plot
from ipyproc.job.result import Result
from ipyproc.model.group import GroupSnapshot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BenchResult", "BenchSnapshot"]


@dataclass(frozen=True)
class BenchSnapshot(GroupSnapshot):
    """A benchmark at one moment.

    Attributes:
        findings: the findings so far.
        active: the number of workers being measured; None if none are.
        rate: their operations per second now; None if not known.
        progress: the part that is done, from 0 to 1.
        left: the seconds until its end; None if not known.
    """

    findings: Findings = field(default_factory=lambda: Findings(None, 1))
    active: int | None = None
    rate: float | None = None
    progress: float = 0.0
    left: float | None = None


@dataclass(frozen=True)
class BenchResult(Result):
    """The result of a benchmark.

    Attributes:
        findings: its findings.
    """

    findings: Findings

    @property
    def rows(self) -> tuple[Throughput, ...] | tuple[ForkCost, ...]:
        """The figures of each number of workers."""
        return self.findings.costs if self.findings.statement is None else self.findings.rows

    @property
    def limit(self) -> str:
        """A sentence on what limits the speed-up; empty for fewer than two numbers of workers."""
        return self.findings.limit

    def __repr__(self) -> str:
        what = self.findings.statement or "forking"
        counts = ", ".join(str(row.workers) for row in self.rows) or "no"
        return f"<BenchResult of {what!r} with {counts} workers>"

    def to_dict(self) -> dict[str, object]:
        """Return all figures as numbers, strings, lists and dicts, for example for JSON.

        Times are in seconds, memory in bytes, processor time in percent of a core.
        """
        computed = {
            Throughput: ("rate_each", "cpu", "delay", "memory", "memory_total"),
            ForkCost: ("running_p50", "replaced_p50", "memory", "memory_total"),
        }
        rows = [asdict(row) | {name: getattr(row, name) for name in computed[type(row)]} for row in self.rows]
        return {
            "statement": self.findings.statement,
            "cores": self.findings.cores,
            "helper": self.findings.helper,
            "rows": rows,
            "limit": self.limit,
            "returncode": self.returncode,
            "elapsed": self.elapsed,
        }

    def plot(self) -> Figure:
        """Return a matplotlib figure of the result over the number of workers.

        Raises:
            MissingPackageError: matplotlib is not installed (an `ImportError`).
        """
        return plot(self.findings)
