"""What a measurement says: figures, the bar they are held to, the verdict, and the printed table."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.table import Table
from rich.text import Text

__all__ = ["OURS", "Bar", "Row", "Verdict", "as_markdown", "as_table"]

OURS = "ours"

SURE = 0.9
"""How often the interval that a verdict rests on holds the true median."""

FINE = 0.05
"""A bar inside an interval narrower than this share of it has been met as exactly as we can tell."""


class Verdict(enum.Enum):
    """How the figures stand to the bar."""

    REACHED = "reached"
    AT_THE_BAR = "at the bar"
    MISSED = "NOT reached"
    BEYOND = "NOT reached, nor by the limit"
    NOISY = "too noisy"
    MISSING = "not available yet"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Bar:
    """A limit on our figure, or on its ratio to one of the peers.

    Attributes:
        limit: in the row's unit, or a ratio when there is a peer.
        against: the peer's name; None for a limit on the figure itself.
        at_least: whether more is better.
    """

    limit: float
    against: str | None = None
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        """Whether ``value`` is on the good side."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: the subject, as ``--only`` takes it.
        what: what is measured, for somebody who does not know the source.
        unit: ``s``, ``B``, ``B/s`` or nothing, for a count.
        figures: for each contender, ours among them, one figure a round.
        bar: what ours is held to.
        shaken: how much slower the machine itself was in its slowest round than in its fastest.
        missing: why there is no figure of ours.
        failed: whether it is missing because it failed, not because it does not exist yet.
        lost: the contenders that failed, and why.
        limits: contenders that do only what none of the kind can do without: who misses the bar with
            them cannot reach it.
    """

    name: str
    what: str
    unit: str
    figures: Mapping[str, Sequence[float]]
    bar: Bar
    shaken: float = 1.0
    missing: str = ""
    failed: bool = False
    lost: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    def judged(self, who: str = OURS) -> list[float]:
        """What the bar is laid against: our figures, or their ratios to the peer's, round by round."""
        ours = list(self.figures.get(who, ()))
        if self.bar.against is None:
            return ours
        peer = list(self.figures.get(self.bar.against, ()))
        if len(peer) != len(ours):
            return [mine / median(peer) for mine in ours] if peer else []
        return [mine / other for mine, other in zip(ours, peer, strict=True)]

    @property
    def verdict(self) -> Verdict:
        """Reached or not, when the rounds agree well enough to say so."""
        values = self.judged()
        if self.failed:
            return Verdict.FAILED
        if not values:
            return Verdict.MISSING
        low, high = interval(values)
        if self.bar.met_by(low) == self.bar.met_by(high):
            if self.bar.met_by(low):
                return Verdict.REACHED
            # Not a ratio, whose sides were measured in turn, and not a count, which slowness leaves alone.
            slowed = self.unit == "s" and self.bar.against is None
            if slowed and self.bar.met_by(low / self.shaken):
                return Verdict.NOISY
            beyond = any(not self.bar.met_by(median(self.judged(who))) for who in self.limits)
            return Verdict.BEYOND if beyond else Verdict.MISSED
        return Verdict.AT_THE_BAR if high - low <= FINE * self.bar.limit else Verdict.NOISY

    def as_data(self) -> dict[str, object]:
        """For ``--json``: every figure of every round, and what was made of them."""
        values = self.judged()
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "figures": {name: list(figures) for name, figures in self.figures.items()},
            "bar": {"limit": self.bar.limit, "against": self.bar.against, "at_least": self.bar.at_least},
            "judged": median(values) if values else None,
            "interval": interval(values) if values else None,
            "machine_slowdown": self.shaken,
            "verdict": self.verdict.value,
            "missing": self.missing,
            "lost": dict(self.lost),
            "limits": list(self.limits),
        }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the true median lies, from the order of the samples alone; their range if they are few."""
    ordered, count = sorted(values), len(values)
    cut, outside = 0, 0.0
    while cut < (count - 1) // 2:
        outside += 2 * math.comb(count, cut) / 2**count
        if outside > 1 - SURE:
            break
        cut += 1
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[count - 1 - cut]


def written(value: float, unit: str) -> str:
    """A figure with its unit, in three digits."""
    if unit == "s":
        for size, name in ((1, "s"), (1e-3, "ms")):
            if value >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1e6:.3g} µs"
    if unit in ("B", "B/s"):
        for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}{unit}"
    if unit == "%":
        return f"{value:.2g} %"
    return f"{value:,.0f}"


_STYLES = {
    Verdict.REACHED: "green",
    Verdict.AT_THE_BAR: "green",
    Verdict.MISSED: "bold red",
    Verdict.BEYOND: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.NOISY: "yellow",
    Verdict.MISSING: "dim",
}


def _bar(row: Row) -> str:
    sign = "≥" if row.bar.at_least else "≤"
    if row.bar.against is None:
        return f"{sign} {written(row.bar.limit, row.unit)}"
    return f"{sign} {row.bar.limit:.3g} x {row.bar.against}"


def _ratio(row: Row) -> str:
    values = row.judged()
    if not values or row.bar.against is None:
        return ""
    low, high = interval(values)
    return f"{median(values):.3g}\n({low:.3g} to {high:.3g})"


def _peers(row: Row) -> str:
    return "\n".join(
        f"{name} {written(median(figures), row.unit)}"
        for name, figures in row.figures.items()
        if name != OURS and figures
    )


def _outcome(row: Row) -> Text:
    text = Text(row.verdict.value, _STYLES[row.verdict])
    for who in row.limits if row.verdict is Verdict.BEYOND else ():
        text.append(f"\n{who}: {median(row.judged(who)):.3g} x", "dim")
    if row.missing:
        text.append(f"\n{row.missing}", "dim")
    elif row.verdict is Verdict.NOISY:
        text.append(f"\nmachine up to {row.shaken:.2f} x slower", "dim")
    for who, why in row.lost.items():
        text.append(f"\n{who}: {why}", "dim")
    return text


def as_table(rows: Sequence[Row]) -> Table:
    """All rows as one rich table."""
    table = Table(title="ipyproc beside others, medians of one run", show_lines=True)
    for heading in ("name", "what", "ours", "peers", "ratio", "bar", ""):
        table.add_column(heading, overflow="fold")
    for row in rows:
        ours = row.figures.get(OURS)
        table.add_row(
            row.name,
            row.what,
            written(median(ours), row.unit) if ours else "",
            _peers(row),
            _ratio(row),
            _bar(row),
            _outcome(row),
        )
    return table


def as_markdown(rows: Sequence[Row]) -> str:
    """All rows as a table for a README: one line a row, without intervals."""
    lines = ["| what | ipyproc | beside | ratio | to reach | |", "|---|---|---|---|---|---|"]
    for row in rows:
        ours, ratio = row.figures.get(OURS), _ratio(row).partition("\n")[0]
        cells = [
            row.what,
            written(median(ours), row.unit) if ours else "",
            ", ".join(_peers(row).split("\n")),
            f"{ratio} x" if ratio else "",
            _bar(row),
            ": ".join(_outcome(row).plain.split("\n", 1)).replace("\n", ", "),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
