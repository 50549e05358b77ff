"""Plot a benchmark by matplotlib, which is imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipyproc.job.plot import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ipyproc.bench.findings import Findings

__all__ = ["plot"]


def plot(findings: Findings) -> Figure:
    """Plot throughput and latency, or the cost of forking, over the number of workers.

    Raises:
        MissingPackageError: matplotlib is not installed (an `ImportError`).
    """
    figure = new_figure((9, 3.2))
    left, right = figure.subplots(1, 2)
    draw = _costs if findings.statement is None else _throughput
    draw(findings, left, right)
    for axes in (left, right):
        axes.set_xlabel("workers")
        axes.set_xticks([row.workers for row in findings.rows or findings.costs])
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _throughput(findings: Findings, left: Axes, right: Axes) -> None:
    rows = findings.rows
    workers = [row.workers for row in rows]
    left.plot(workers, [row.rate for row in rows], "o-", label="measured")
    left.plot(workers, [rows[0].rate_each * n for n in workers] if rows else [], ":", label="at best")
    left.set_ylabel("operations a second")
    right.plot(workers, [row.p50 * 1e6 for row in rows], "o-", label="p50")
    right.plot(workers, [row.p99 * 1e6 for row in rows], "s--", label="p99")
    right.set_ylabel("one operation, µs")


def _costs(findings: Findings, left: Axes, right: Axes) -> None:
    costs = findings.costs
    workers = [cost.workers for cost in costs]
    left.plot(workers, [cost.running_p50 * 1e3 for cost in costs], "o-", label="until all run")
    left.plot(workers, [cost.replaced_p50 * 1e3 for cost in costs], "s--", label="a replacement")
    left.set_ylabel("ms")
    right.plot(workers, [cost.memory_total / 1e6 for cost in costs], "o-", label="all workers")
    right.plot(workers, [cost.memory / 1e6 for cost in costs], "s--", label="each")
    right.set_ylabel("private memory, MB")
