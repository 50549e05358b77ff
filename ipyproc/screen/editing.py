"""Erase, insert, delete and scroll on a grid, as the sequences of a terminal do."""

from __future__ import annotations

from ipyproc.screen.grid import Grid
from ipyproc.screen.style import background_of

__all__ = [
    "delete_cells",
    "delete_lines",
    "erase_cells",
    "erase_line",
    "erase_screen",
    "fill",
    "insert_cells",
    "insert_lines",
    "scroll_down",
    "scroll_up",
    "set_margins",
]


def erase_line(grid: Grid, how: int) -> None:
    """Erase the row from the cursor on (0), from its beginning to the cursor (1), or all of it (2)."""
    row, background = grid.screen[grid.y], background_of(grid.style)
    if how == 0:
        if grid.x < len(row.cells) or (row.back != background and grid.x < grid.columns):
            grid.edit()
            row.erase(grid.x, grid.columns, background, grid.columns)
        if grid.x == 0:
            row.wrapped = False
    elif how == 1:
        grid.edit()
        row.erase(0, min(grid.x + 1, grid.columns), background, grid.columns)
    elif how == 2:
        grid.edit()
        row.erase(0, grid.columns, background, grid.columns)
        row.wrapped = False


def erase_screen(grid: Grid, how: int) -> None:
    """Erase the screen from the cursor on (0), to the cursor (1), all of it (2), or the scrollback (3)."""
    if how == 0:
        erase_line(grid, 0)
        _blank(grid, grid.y + 1, grid.rows)
    elif how == 1:
        erase_line(grid, 1)
        _blank(grid, 0, grid.y)
        if grid.x + 1 >= grid.columns and grid.y + 1 < grid.rows:
            grid.screen[grid.y + 1].wrapped = False
    elif how == 2:
        _blank(grid, 0, grid.rows)
    elif how == 3 and not grid.alternate:
        grid.forget()


def _blank(grid: Grid, start: int, end: int) -> None:
    changed = next((y for y in range(start, end) if grid.screen[y].cells or grid.screen[y].back), None)
    if changed is not None:
        grid.touch(changed)
    for y in range(start, end):
        grid.screen[y] = grid.new_row()


def erase_cells(grid: Grid, count: int) -> None:
    """Erase cells from the cursor on."""
    grid.clamp()
    grid.edit()
    end = min(grid.x + count, grid.columns)
    grid.screen[grid.y].erase(grid.x, end, background_of(grid.style), grid.columns)


def insert_cells(grid: Grid, count: int) -> None:
    """Insert blanks at the cursor."""
    grid.clamp()
    grid.edit()
    row = grid.screen[grid.y]
    if grid.x < len(row.cells):
        row.insert(grid.x, min(count, grid.columns), background_of(grid.style), grid.columns)


def delete_cells(grid: Grid, count: int) -> None:
    """Delete cells at the cursor."""
    grid.clamp()
    grid.edit()
    grid.screen[grid.y].delete(grid.x, min(count, grid.columns), background_of(grid.style), grid.columns)


def insert_lines(grid: Grid, count: int) -> None:
    """Insert blank rows at the cursor."""
    if grid.top <= grid.y <= grid.bottom:
        scroll_down(grid, grid.y, count)
        grid.x = 0


def delete_lines(grid: Grid, count: int) -> None:
    """Delete rows at the cursor."""
    if grid.top <= grid.y <= grid.bottom:
        scroll_up(grid, grid.y, count)
        grid.x = 0


def scroll_down(grid: Grid, first: int, count: int) -> None:
    """Move the rows from ``first`` to the bottom margin down; blank rows come above them."""
    grid.touch(first)
    count = min(count, grid.bottom - first + 1)
    del grid.screen[grid.bottom - count + 1 : grid.bottom + 1]
    grid.screen[first:first] = [grid.new_row() for _ in range(count)]


def scroll_up(grid: Grid, first: int, count: int) -> None:
    """Move the rows from ``first`` to the bottom margin up; the first ones are lost."""
    grid.touch(first)
    count = min(count, grid.bottom - first + 1)
    del grid.screen[first : first + count]
    after = grid.bottom - count + 1
    grid.screen[after:after] = [grid.new_row() for _ in range(count)]


def fill(grid: Grid, character: str) -> None:
    """Fill the whole screen with a character (DECALN)."""
    grid.touch(0)
    for row in grid.screen:
        row.cells, row.styles, row.back = [character] * grid.columns, [""] * grid.columns, ""
        row.wrapped = row.straight = False
    grid.x = grid.y = 0


def set_margins(grid: Grid, top: int, bottom: int) -> None:
    """Set the first and last row that scroll, if they are two at least; move the cursor to the first cell."""
    bottom = min(bottom, grid.rows - 1)
    if top < bottom:
        grid.top, grid.bottom = top, bottom
        grid.x = 0
        grid.to_row(0)
