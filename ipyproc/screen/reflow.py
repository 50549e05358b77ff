"""Change the size of a grid: lines are wrapped anew."""

from __future__ import annotations

from ipyproc.screen.grid import Grid
from ipyproc.screen.row import Row

__all__ = ["resized"]


def resized(grid: Grid, rows: int, columns: int) -> None:
    """Change the size of a grid.

    On the main screen, lines that wrap are wrapped anew. Rows that find no room scroll off at the top; rows
    that scrolled off before come back if there is room and the screen was full. An alternate screen is cut or
    filled.
    """
    if grid.alternate:
        _cut(grid, rows, columns)
    else:
        _wrap_anew(grid, rows, columns)
    grid.rows, grid.columns = rows, columns
    grid.top, grid.bottom = 0, rows - 1
    grid.history = grid.history_of(grid.history, rows)


def _cut(grid: Grid, rows: int, columns: int) -> None:
    while len(grid.screen) > rows:
        if grid.y < len(grid.screen) - 1:
            grid.screen.pop()
        else:
            del grid.screen[0]
            grid.y -= 1
    for row in grid.screen:
        row.cut(columns)
    grid.screen += [Row() for _ in range(rows - len(grid.screen))]
    grid.x = min(grid.x, columns - 1)


def _wrap_anew(grid: Grid, rows: int, columns: int) -> None:
    finished = grid.finished
    begun, finished.begun = finished.begun, []
    history = list(grid.history)
    if begun:
        if grid.scrollback is not None:
            grid.scrollback.drop_rows(len(begun) - len(history))
        del history[max(0, len(history) - len(begun)) :]
    above = len(history) + len(begun)
    content = max(grid.seen_rows(), grid.y + 1, grid.taken)
    was_full = content == grid.rows
    old = history + begun + grid.screen[:content]
    if grid.scrollback is not None and columns != grid.columns:
        # The beginning of its line, in the scrollback, need not end where a row does now.
        old[0].wrapped = False
    marks = [above, above + grid.y, len(history) + grid.taken]
    new, starts, (column, row) = _wrapped(old, grid.columns, columns, (above + grid.y, grid.x))
    top, _, taken = (starts[mark] if mark < len(starts) else len(new) for mark in marks)
    most = max(0, len(new) - rows)
    top = most if was_full else max(top, most)
    top = min(top, row)
    goes_on = top < len(new) and new[top].wrapped
    if top > taken and not finished.give(new[taken:top], columns, goes_on):
        new[top].wrapped = False
    grid.history = grid.history_of(new[:top], rows)
    if grid.scrollback is not None:
        for at in range(top - len(grid.history)):
            grid.scrollback.add_row(new[at], new[at + 1], columns)
    grid.screen = new[top : top + rows]
    grid.screen += [Row() for _ in range(rows - len(grid.screen))]
    grid.taken = min(max(0, taken - top), rows)
    grid.x, grid.y = column, row - top


def _wrapped(
    old: list[Row], before: int, columns: int, cursor: tuple[int, int]
) -> tuple[list[Row], list[int], tuple[int, int]]:
    """Wrap rows anew.

    Returns:
        The new rows; for each old row, the new row that has its beginning; the column and row of the cursor.
    """
    new: list[Row] = []
    starts: list[int] = []
    place = (0, 0)
    first = 0
    while first < len(old):
        last = first + 1
        while last < len(old) and old[last].wrapped:
            last += 1
        if first <= cursor[0] < last and not all(row.straight for row in old[first:last]):
            # A program that rewrites its row will do so again: another row would be left over.
            for row in old[first:last]:
                row.cut(columns)
            starts += range(len(new), len(new) + last - first)
            place = (min(cursor[1], columns), len(new) + cursor[0] - first)
            new += old[first:last]
            first = last
            continue
        line, offsets = _joined(old[first:last], before)
        cuts = _cuts(line, columns)
        for number, cut in enumerate(cuts):
            end = cuts[number + 1] if number + 1 < len(cuts) else len(line.cells)
            row = Row(wrapped=number > 0 or line.wrapped)
            row.cells, row.styles = line.cells[cut:end], line.styles[cut:end]
            row.straight, row.has_wide = line.straight, line.has_wide
            new.append(row)
        base = len(new) - len(cuts)
        for index, offset in enumerate(offsets, first):
            at = max(number for number, cut in enumerate(cuts) if cut <= offset)
            starts.append(base + at)
            if index == cursor[0]:
                target = offset + cursor[1]
                at = max(number for number, cut in enumerate(cuts) if cut <= target)
                place = (min(target - cuts[at], columns), base + at)
        first = last
    return new, starts, place


def _joined(rows: list[Row], columns: int) -> tuple[Row, list[int]]:
    """Return the rows of one line as one long row, and where each begins in it."""
    line = Row(wrapped=rows[0].wrapped)
    line.straight = all(row.straight for row in rows)
    line.has_wide = any(row.has_wide for row in rows)
    offsets = []
    for number, row in enumerate(rows):
        offsets.append(len(line.cells))
        if number + 1 < len(rows):
            row.fill_for(rows[number + 1], columns)
        line.cells += row.cells
        line.styles += row.styles
    return line, offsets


def _cuts(line: Row, columns: int) -> list[int]:
    """Return where each row of a line begins; a wide character is not cut."""
    cuts = [0]
    while len(line.cells) - cuts[-1] > columns:
        cut = cuts[-1] + columns
        if not line.cells[cut]:
            if columns > 1:
                cut -= 1
            else:
                line.cells[cut] = " "
        cuts.append(cut)
    return cuts
