"""Tables that fit a screen: a narrow one drops the least important columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ipyproc.views.palette import GREY

__all__ = ["Column", "fitted"]

_GAPS = (2, 1)


@dataclass(frozen=True)
class Column:
    """A column, and how it gives way on a narrow screen.

    Attributes:
        name: its heading.
        rank: 0 for a column that is never dropped; of the others the highest is dropped first. Empty columns
            are dropped before those, and before any column is shortened.
        number: whether to align it to the right.
        least: the number of characters to which its cells may be shortened; None if they may not, since a
            figure that is cut short is useless.
    """

    name: str
    rank: int = 0
    number: bool = False
    least: int | None = None


def fitted(columns: Sequence[Column], rows: Sequence[Mapping[str, Text]], width: int) -> Table:
    """Return a table of ``rows``, at most ``width`` characters wide if the columns of rank 0 fit in that."""
    widest = {
        column.name: max([cell_len(column.name), *(row[column.name].cell_len for row in rows)])
        for column in columns
    }
    chosen, gap = _choose(columns, rows, widest, width)
    spare = width - _least_width(chosen, widest, gap)
    table = Table(box=None, pad_edge=False, header_style=f"bold {GREY}", padding=(0, gap, 0, 0))
    for column in chosen:
        least = _least_of(column, widest)
        given = max(0, min(spare, widest[column.name] - least))
        spare -= given
        table.add_column(
            column.name,
            justify="right" if column.number else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=least + given,
        )
    for row in rows:
        table.add_row(*(row[column.name] for column in chosen))
    return table


def _choose(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Text]], widest: Mapping[str, int], width: int
) -> tuple[list[Column], int]:
    """Return the columns that fit, and the gap between them."""
    chosen = list(columns)
    empty = [column for column in columns if column.rank and not any(row[column.name].plain for row in rows)]
    empty.sort(key=lambda column: column.rank)
    while empty and sum(widest[column.name] + _GAPS[0] for column in chosen) > width:
        chosen.remove(empty.pop())
    while True:
        for gap in _GAPS:
            if _least_width(chosen, widest, gap) <= width:
                return chosen, gap
        droppable = [column for column in chosen if column.rank]
        if not droppable:
            return chosen, _GAPS[-1]
        chosen.remove(max(droppable, key=lambda column: column.rank))


def _least_width(columns: Sequence[Column], widest: Mapping[str, int], gap: int) -> int:
    # rich 13.0 gives the gap after the last column to that column, so it counts as well.
    return sum(_least_of(column, widest) + gap for column in columns)


def _least_of(column: Column, widest: Mapping[str, int]) -> int:
    whole = widest[column.name]
    return whole if column.least is None else min(whole, max(column.least, cell_len(column.name)))
