"""What a terminal remembers besides rows: two screens, saved cursors, character sets, tab stops, modes."""

from __future__ import annotations

from dataclasses import dataclass

from ipyproc.screen.grid import Grid
from ipyproc.screen.modes import Modes
from ipyproc.screen.reflow import resized

__all__ = ["State"]

_TAB = 8
_GRAPHICS = str.maketrans("`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")


@dataclass
class Cursor:
    """A saved cursor."""

    x: int = 0
    y: int = 0
    style: str = ""
    graphics: tuple[bool, bool] = (False, False)
    shift: int = 0


class State:
    """Two screens, of which one is shown, and what a program has set.

    Args:
        rows: the height.
        columns: the width.
        links: keep links in lines.
        keep: keep so many lines that scrolled off the main screen; None keeps none.

    Attributes:
        main: the main screen.
        grid: the screen that is shown.
        hidden: the cursor is hidden.
        modes: what a program has told of keys, the mouse and the cursor.
        tabs: the columns of the tab stops; None for those of a new screen.
        saved: the saved cursor of the main screen, and of the alternate one, by whether it is that.
        graphics: the character sets G0 and G1 are the graphics of DEC.
        shifted: the number of the character set that is used.
        calm: how many newlines came since the last sequence that a plain text does not have.
    """

    def __init__(self, rows: int, columns: int, *, links: bool = False, keep: int | None = None) -> None:
        self.main = self.grid = Grid(rows, columns, links=links, keep=keep)
        self.hidden = False
        self.modes = Modes()
        self.calm = 0
        self.tabs: set[int] | None = None
        self.saved = {False: Cursor(), True: Cursor()}
        self.graphics = (False, False)
        self.shifted = 0

    @property
    def is_usual(self) -> bool:
        """True if text is written as it comes: no graphics, no tab stops of the program's, no link."""
        grid = self.grid
        return (
            self.tabs is None
            and not self.writes_graphics
            and grid.wraps
            and not grid.inserts
            and " " not in grid.style
        )

    @property
    def writes_graphics(self) -> bool:
        """True if letters are written as the graphics of DEC."""
        return self.graphics[self.shifted]

    # Screen mode

    def leave_plain(self) -> None:
        """Enter screen mode."""
        self.main.plain = False
        self.calm = 0

    def count_newline(self) -> None:
        """Go back to plain mode once nothing of what was drawn in screen mode is left on the screen.

        That is certain after as many newlines as the screen has rows, without a sequence that plain text does
        not have, if the cursor is visible, all rows scroll, and the main screen is shown.
        """
        self.calm += 1
        grid = self.grid
        if self.calm < grid.rows or self.hidden or grid is not self.main or grid.origin or grid.inserts:
            return
        if (grid.top, grid.bottom) == (0, grid.rows - 1) and grid.wraps:
            grid.plain = True

    # Screens

    def show_alternate(self) -> None:
        """Show the alternate screen, which is blank."""
        if not self.grid.alternate:
            self._show(Grid(self.main.rows, self.main.columns, links=self.main.links))
            self.grid.alternate, self.grid.plain = True, False

    def show_main(self) -> None:
        """Show the main screen again."""
        if self.grid.alternate:
            self._show(self.main)

    def _show(self, grid: Grid) -> None:
        before, self.grid = self.grid, grid
        grid.x, grid.y, grid.style = before.x, before.y, before.style
        grid.wraps, grid.inserts, grid.origin = before.wraps, before.inserts, before.origin

    def reset(self, *, hard: bool) -> None:
        """Reset all modes; with ``hard``, erase the screen as well."""
        if hard:
            self.show_main()
            grid = self.grid
            grid.style = ""
            grid.touch(0)
            grid.screen = [grid.new_row() for _ in range(grid.rows)]
            grid.x = grid.y = 0
            grid.forget()
            self.tabs = None
        grid = self.grid
        grid.top, grid.bottom = 0, grid.rows - 1
        grid.wraps, grid.inserts, grid.origin, grid.style = True, False, False, ""
        self.hidden = False
        self.modes.reset(hard=hard)
        self.saved[grid.alternate] = Cursor()
        self.graphics, self.shifted = (False, False), 0

    def resize(self, rows: int, columns: int) -> None:
        """Change the size; lines of the main screen are wrapped anew."""
        saved = self.saved[False]
        if self.grid is self.main:
            resized(self.main, rows, columns)
        else:
            # The main screen has the cursor that it had when it was left.
            is_saved = (saved.x, saved.y) == (self.main.x, self.main.y)
            resized(self.main, rows, columns)
            resized(self.grid, rows, columns)
            if is_saved:
                saved.x, saved.y = self.main.x, self.main.y

    # The cursor

    def save_cursor(self) -> None:
        """Save the cursor of this screen, its style and the character sets."""
        grid = self.grid
        self.saved[grid.alternate] = Cursor(grid.x, grid.y, grid.style, self.graphics, self.shifted)

    def restore_cursor(self) -> None:
        """Restore what was saved on this screen."""
        grid, saved = self.grid, self.saved[self.grid.alternate]
        grid.x, grid.y, grid.style = saved.x, saved.y, saved.style
        self.graphics, self.shifted = saved.graphics, saved.shift
        grid.clamp()

    def reverse_index(self) -> bool:
        """Move the cursor up; return False at the top margin, where the screen scrolls down instead."""
        grid = self.grid
        if grid.y == grid.top:
            return False
        grid.y = max(grid.y - 1, 0)
        grid.clamp()
        return True

    # Character sets

    def designate(self, which: int, charset: str) -> None:
        """Set G0 or G1: "0" has the graphics of DEC, all others are Unicode."""
        first, second = self.graphics
        is_graphics = charset == "0"
        self.graphics = (first, is_graphics) if which else (is_graphics, second)

    def shift(self, which: int) -> None:
        """Use G0 or G1."""
        self.shifted = which

    def write(self, text: str) -> None:
        """Write printable text at the cursor, in the character set that is used."""
        self.grid.write(text.translate(_GRAPHICS) if self.writes_graphics else text)

    # Tab stops

    def tab(self, count: int) -> None:
        """Move the cursor to the tab stop so many to the right; to the left if negative."""
        grid = self.grid
        if count > 0 and grid.x >= grid.columns:
            return
        step, x, last = (1 if count > 0 else -1), min(grid.x, grid.columns - 1), grid.columns - 1
        for _ in range(min(abs(count), grid.columns)):
            x += step
            while 0 < x < last and not (x % _TAB == 0 if self.tabs is None else x in self.tabs):
                x += step
            x = min(max(x, 0), last)
        grid.to_column(x)

    def set_tab(self) -> None:
        """Set a tab stop at the cursor."""
        self._own_tabs().add(self.grid.x)

    def clear_tabs(self, *, all_of_them: bool) -> None:
        """Clear the tab stop at the cursor, or all."""
        tabs = self._own_tabs()
        if all_of_them:
            tabs.clear()
        else:
            tabs.discard(self.grid.x)

    def _own_tabs(self) -> set[int]:
        if self.tabs is None:
            self.tabs = set(range(0, self.grid.columns, _TAB))
        return self.tabs
