"""Write a screen as the text that rebuilds it in a new terminal."""

from __future__ import annotations

from itertools import pairwise

from ipyproc.screen.grid import Grid
from ipyproc.screen.row import Row
from ipyproc.screen.state import Cursor, State
from ipyproc.screen.style import background_of, codes_in, link_of, sgr

__all__ = ["snapshot_of"]

_BLANK = Cursor()


def snapshot_of(state: State, max_lines: int, printed: str) -> str:
    """Return the text that makes a new terminal of the same size show a state, and go on from it.

    Args:
        state: the state.
        max_lines: the number of lines above the screen.
        printed: the character that came last; empty if a control character or a sequence did.
    """
    main, grid = state.main, state.grid
    parts = [*_above(main, max_lines), *_screen(main), *_kept(state, main)]
    if grid is not main:
        parts += ["\x1b[?47h\x1b[H", *_screen(grid), *_kept(state, grid)]
    parts += [_charsets(state.graphics, state.shifted), "\x1b[?6h" if grid.origin else ""]
    parts += _cursor(state, grid, printed)
    return "".join(parts)


def _above(grid: Grid, max_lines: int) -> list[str]:
    """Return what scrolled off a screen, up to where its first row begins."""
    if grid.scrollback is None or max_lines <= 0:
        return []
    rows = list(grid.history)
    begins = [number for number, row in enumerate(rows) if not row.wrapped]
    if len(begins) > max_lines:
        rows = rows[begins[-max_lines] :]
    lines = grid.scrollback.last(max_lines - len(begins))
    parts = []
    if lines is not None:
        parts += [lines.replace("\n", "\r\n"), "" if [*rows, grid.screen[0]][0].wrapped else "\r\n"]
    for row, below in pairwise([*rows, grid.screen[0]]):
        parts += [*_row(row, below, grid.columns), "" if below.wrapped else "\r\n"]
    return parts


def _screen(grid: Grid) -> list[str]:
    """Return the rows of a screen. All of them, since they push what is above off the screen."""
    parts: list[str] = []
    for row, below in pairwise(grid.screen):
        parts += [*_row(row, below, grid.columns), "" if below.wrapped else "\r\n"]
    return [*parts, *_row(grid.screen[-1], None, grid.columns)]


def _row(row: Row, below: Row | None, columns: int) -> list[str]:
    """Return the cells of one row, which begins and ends in the default style.

    Args:
        row: the row.
        below: the row below it; None if it is the last.
        columns: the width of the screen.
    """
    cells, styles = row.cells, row.styles
    if below is not None and below.wrapped:
        row.fill_for(below, columns)
    if row.wrapped and not cells:
        # The wrap needs a character.
        cells, styles = [" "], [row.back]
    parts: list[str] = []
    before = ""
    for cell, style in zip(cells, styles, strict=True):
        if style != before:
            parts.append(_pen(before, style))
            before = style
        parts.append(cell)
    parts.append(_pen(before, ""))
    # A row that scrolled in has the background of the character that wrapped.
    if len(cells) < columns and (row.back or (row.wrapped and background_of(styles[0]))):
        parts += [sgr("", row.back), "\x1b[K", sgr(row.back, "")]
    return parts


def _kept(state: State, grid: Grid) -> list[str]:
    """Return the margins, the tab stops and the saved cursor of one of the screens."""
    parts: list[str] = []
    if (grid.top, grid.bottom) != (0, grid.rows - 1):
        parts.append(f"\x1b[{grid.top + 1};{grid.bottom + 1}r")
    if state.tabs is not None:
        parts.append("\x1b[3g")
        parts += [f"\x1b[{column + 1}G\x1bH" for column in sorted(state.tabs) if column < grid.columns]
    saved = state.saved[grid.alternate]
    if saved != _BLANK:
        parts += [
            _place(saved.x, saved.y),
            _pen("", saved.style),
            _charsets(saved.graphics, saved.shift),
            "\x1b7",
            _pen(saved.style, ""),
        ]
        if saved.graphics != _BLANK.graphics or saved.shift:
            parts.append("\x1b(B\x1b)B\x0f")
    return parts


def _cursor(state: State, grid: Grid, printed: str) -> list[str]:
    """Return the cursor and the pen, and the modes that may be set last."""
    row, x, y = grid.screen[grid.y], grid.x, grid.y - (grid.top if grid.origin else 0)
    modes = [
        "\x1b[4h" if grid.inserts else "",
        "" if grid.wraps else "\x1b[?7l",
        "\x1b[?25l" if state.hidden else "",
        state.modes.sequences(),
    ]
    pen = _pen("", grid.style)
    before = x - 1 - (row.cells[x - 1 : x] == [""])
    if before < 0:
        return [*modes, _place(x, y), pen]
    if printed and not grid.inserts:
        # Written anew, so that a combining character that follows joins it, and REP repeats it.
        return [*modes, _place(before, y), pen, printed if state.writes_graphics else row.cells[before]]
    if x < grid.columns:
        return [*modes, _place(x, y), pen]
    # Only a character that fills the row leaves the cursor past its end.
    cell, style = (row.cells[before], row.styles[before]) if before < len(row.cells) else (" ", row.back)
    shift = ("\x0f", "\x0e") if state.writes_graphics else ("", "")
    return [_place(before, y), shift[0], _pen("", style), cell, _pen(style, ""), shift[1], *modes, pen]


def _place(x: int, y: int) -> str:
    return f"\x1b[{y + 1};{x + 1}H"


def _pen(before: str, style: str) -> str:
    """Return the sequences that change the colours and the link of what is written."""
    link = link_of(style)
    change = f"\x1b]8;;{link}\x1b\\" if link != link_of(before) else ""
    return change + sgr(codes_in(before), codes_in(style))


def _charsets(graphics: tuple[bool, bool], shift: int) -> str:
    first, second = graphics
    return ("\x1b(0" if first else "") + ("\x1b)0" if second else "") + ("\x0e" if shift else "")
