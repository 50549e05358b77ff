"""Render a benchmark by rich: its progress, and a row per number of workers. No IPython, no jobs."""

from __future__ import annotations

from statistics import median

from rich.console import Group, RenderableType
from rich.text import Text

from ipyproc import safe
from ipyproc.bench.findings import Findings, ForkCost, Throughput
from ipyproc.bench.model import BenchResult, BenchSnapshot
from ipyproc.views.columns import Column, fitted
from ipyproc.views.palette import AMBER, BLUE, GREEN, GREY
from ipyproc.views.render import human_bytes, human_rate, human_seconds, status_line

__all__ = ["bench_result", "bench_status", "human_latency"]

_BAR = 24

_RATES = (
    Column("workers", number=True),
    Column("ops/s", number=True),
    Column("each", 5, number=True),
    Column("speed-up", number=True),
    Column("efficiency", 4, number=True),
    Column("p50", 1, number=True),
    Column("p99", number=True),
    Column("CPU", 3, number=True),
    Column("memory", 2, number=True),
    Column("in all", 6, number=True),
)
_OF_SWEEPS = ("speed-up", "efficiency")
_COSTS = (
    Column("workers", number=True),
    Column("all run after", number=True),
    Column("replaced after", number=True),
    Column("memory", 1, number=True),
    Column("in all", 2, number=True),
)


def bench_status(snapshot: BenchSnapshot, width: int) -> RenderableType:
    """Return a benchmark's status line, its progress while it runs, and its findings so far.

    Args:
        snapshot: the benchmark.
        width: the width of the screen in characters; a narrow one has fewer columns.
    """
    parts = [status_line(snapshot)]
    if not snapshot.state.done and not snapshot.ends_with_kernel:
        parts.append(_progress(snapshot))
    return Group(*parts, *_found(snapshot.findings, width))


def bench_result(result: BenchResult, width: int) -> RenderableType:
    """Return the findings of a benchmark.

    Args:
        result: the result of the benchmark.
        width: the width of the screen in characters; a narrow one has fewer columns.
    """
    headline = Text(safe.line(result.findings.statement or "What forking costs here"), "bold", no_wrap=True)
    headline.truncate(width, overflow="ellipsis")
    return Group(headline, *_found(result.findings, width))


def human_latency(seconds: float) -> str:
    """Return a short time as text of three digits: ``52.3 ns``, ``1.24 ms``, ``2.00 s``."""
    for unit, scale in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{_digits(seconds * scale)} {unit}"
    return f"{_digits(seconds)} s"


def _progress(snapshot: BenchSnapshot) -> Text:
    filled = round(snapshot.progress * _BAR)
    line = Text.assemble(
        ("━" * filled, BLUE), ("─" * (_BAR - filled), GREY), f" {snapshot.progress * 100:.0f} %"
    )
    if snapshot.left is not None:
        line.append(f" · {human_seconds(snapshot.left)} left", GREY)
    if snapshot.active is not None:
        line.append(f" · {_workers(snapshot.active)}", GREY)
        if snapshot.rate is not None:
            line.append(f", {human_rate(snapshot.rate)} ops/s now", GREY)
    return line


def _found(findings: Findings, width: int) -> list[RenderableType]:
    if findings.rows:
        absent = _OF_SWEEPS if len(findings.rows) == 1 else ()
        columns = [column for column in _RATES if column.name not in absent]
        notes = [_replacements(row) for row in findings.rows if row.replaced]
        if findings.limit:
            notes.append(Text(findings.limit, GREEN if findings.limit.startswith("Nothing") else AMBER))
        return [fitted(columns, [_rates(row) for row in findings.rows], width), *notes]
    if findings.costs:
        return [fitted(_COSTS, [_costs(cost) for cost in findings.costs], width), _basis(findings)]
    return []


def _rates(row: Throughput) -> dict[str, Text]:
    return {
        "workers": Text(str(row.workers), "bold"),
        "ops/s": Text(human_rate(row.rate)),
        "each": Text(human_rate(row.rate_each)),
        "speed-up": Text(f"{row.speedup:.2f} x"),
        "efficiency": Text(f"{row.efficiency * 100:.0f} %"),
        "p50": Text(human_latency(row.p50)),
        "p99": Text(human_latency(row.p99)),
        "CPU": Text(f"{row.cpu:.0f} %"),
        "memory": Text(human_bytes(row.memory)),
        "in all": Text(human_bytes(row.memory_total)),
    }


def _costs(cost: ForkCost) -> dict[str, Text]:
    return {
        "workers": Text(str(cost.workers), "bold"),
        "all run after": Text(human_latency(cost.running_p50)),
        "replaced after": Text(human_latency(cost.replaced_p50)),
        "memory": Text(human_bytes(cost.memory)),
        "in all": Text(human_bytes(cost.memory_total)),
    }


def _replacements(row: Throughput) -> Text:
    times = row.replaced
    text = f"{_workers(row.workers)}, {len(times)} killed"
    text += f": a replacement ran after {human_latency(median(times))}"
    if len(times) > 1:
        text += f" (p50; {human_latency(min(times))} to {human_latency(max(times))})"
    return Text(text, GREY)


def _basis(findings: Findings) -> Text:
    cost = findings.costs[-1]
    text = f"Medians of {len(cost.running)} forks and {len(cost.replaced)} deaths; memory is private."
    if findings.helper is not None:
        text += f" The helper's start took {human_latency(findings.helper)}."
    return Text(text, GREY)


def _workers(number: int) -> str:
    return "1 worker" if number == 1 else f"{number} workers"


def _digits(number: float) -> str:
    """Return a number in three digits."""
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:.0f}"
