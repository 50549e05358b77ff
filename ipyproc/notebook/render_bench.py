"""A benchmark's picture to rich: how far it is, and a row a number of workers. No IPython, no jobs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ipyproc.notebook.render import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    human_bytes,
    human_rate,
    human_seconds,
    status_line,
)
from ipyproc.workers.bench_model import BenchResult, BenchSnapshot, Findings, ForkCost, Throughput

__all__ = ["bench_result", "bench_status", "human_latency"]

_BAR = 24

# name, the screen's width from which on it is shown
_RATES = (
    ("workers", 0),
    ("ops/s", 0),
    ("each", 84),
    ("speed-up", 0),
    ("efficiency", 70),
    ("p50", 50),
    ("p99", 0),
    ("CPU", 60),
    ("memory", 60),
    ("in all", 84),
)
_OF_SWEEPS = ("speed-up", "efficiency")
_COSTS = (("workers", 0), ("all run after", 0), ("replaced after", 0), ("memory", 0), ("in all", 60))


def bench_status(snapshot: BenchSnapshot, width: int) -> RenderableType:
    """How a benchmark is: its state, how far it is while it runs, and what it has found so far.

    Args:
        snapshot: the benchmark.
        width: of the screen, in characters; a narrow one has fewer columns.
    """
    parts = [status_line(snapshot)]
    if not snapshot.state.done:
        parts.append(_progress(snapshot))
    return Group(*parts, *_found(snapshot.findings, width))


def bench_result(result: BenchResult, width: int) -> RenderableType:
    """What a benchmark found.

    Args:
        result: the benchmark's.
        width: of the screen, in characters; a narrow one has fewer columns.
    """
    headline = Text(result.findings.statement or "What forking costs here", "bold", no_wrap=True)
    headline.truncate(width, overflow="ellipsis")
    return Group(headline, *_found(result.findings, width))


def human_latency(seconds: float) -> str:
    """A short time for people, in three digits, such as ``52.3 ns``, ``1.24 ms`` or ``2.00 s``."""
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
        columns = [name for name, least in _RATES if width >= least and name not in absent]
        notes = [_replacements(row) for row in findings.rows if row.replaced]
        if findings.limit:
            notes.append(Text(findings.limit, GREEN if findings.limit.startswith("Nothing") else AMBER))
        return [_table(columns, [_rates(row) for row in findings.rows], width), *notes]
    if findings.costs:
        columns = [name for name, least in _COSTS if width >= least]
        return [_table(columns, [_costs(cost) for cost in findings.costs], width), _basis(findings)]
    return []


def _table(columns: Sequence[str], rows: Sequence[dict[str, str]], width: int) -> Table:
    # A column of figures that is cut short says nothing.
    widest = [max(cell_len(name), *(cell_len(row[name]) for row in rows)) for name in columns]
    pad = 2 if sum(widest) + 2 * len(widest) <= width else 1
    table = Table(box=None, pad_edge=False, header_style=f"bold {GREY}", padding=(0, pad, 0, 0))
    for name, least in zip(columns, widest, strict=True):
        table.add_column(name, justify="right", no_wrap=True, min_width=least)
    for row in rows:
        table.add_row(*(Text(row[name], "bold" if name == "workers" else "") for name in columns))
    return table


def _rates(row: Throughput) -> dict[str, str]:
    return {
        "workers": str(row.workers),
        "ops/s": human_rate(row.rate),
        "each": human_rate(row.rate_each),
        "speed-up": f"{row.speedup:.2f} x",
        "efficiency": f"{row.efficiency * 100:.0f} %",
        "p50": human_latency(row.p50),
        "p99": human_latency(row.p99),
        "CPU": f"{row.cpu:.0f} %",
        "memory": human_bytes(row.memory),
        "in all": human_bytes(row.memory_total),
    }


def _costs(cost: ForkCost) -> dict[str, str]:
    return {
        "workers": str(cost.workers),
        "all run after": human_latency(cost.running_p50),
        "replaced after": human_latency(cost.replaced_p50),
        "memory": human_bytes(cost.memory),
        "in all": human_bytes(cost.memory_total),
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
    """Three digits."""
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:.0f}"
