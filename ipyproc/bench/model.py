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
    """An immutable picture of a benchmark at one moment.

    Attributes:
        findings: what has been measured so far.
        active: how many workers work now; None when nothing is being measured.
        rate: operations a second of those, as of now; None when that is not known.
        progress: how much is done, from 0 to 1.
        left: seconds until it is all done; None when nobody knows.
    """

    findings: Findings = field(default_factory=lambda: Findings(None, 1))
    active: int | None = None
    rate: float | None = None
    progress: float = 0.0
    left: float | None = None


@dataclass(frozen=True)
class BenchResult(Result):
    """What a benchmark found out, and how it ended; ``await`` gives it.

    Attributes:
        findings: what was measured.
    """

    findings: Findings

    @property
    def rows(self) -> tuple[Throughput, ...] | tuple[ForkCost, ...]:
        """What was measured, one a number of workers."""
        return self.findings.costs if self.findings.statement is None else self.findings.rows

    @property
    def limit(self) -> str:
        """What limits, in a sentence; empty without a sweep."""
        return self.findings.limit

    def __repr__(self) -> str:
        what = self.findings.statement or "forking"
        counts = ", ".join(str(row.workers) for row in self.rows) or "no"
        return f"<BenchResult of {what!r} with {counts} workers>"

    def to_dict(self) -> dict[str, object]:
        """Everything in numbers, texts, lists and dicts, such as for JSON.

        Times are in seconds, memory in bytes, shares of the processor in percent of a core.
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
        """A picture of it by matplotlib, over the number of workers.

        Raises:
            MissingPackageError: matplotlib is not installed (an `ImportError`).
        """
        return plot(self.findings)
