"""What each sequence of a terminal does."""

from __future__ import annotations

from collections.abc import Callable

from ipyproc.screen import editing
from ipyproc.screen.modes import KEYPAD
from ipyproc.screen.state import State

__all__ = ["CONTROLS", "ESCAPES", "IN_ROW", "SEQUENCES", "Numbers"]

Numbers = tuple[int, ...]
_Command = Callable[[State, Numbers], None]


def _first(numbers: Numbers) -> int:
    """Return the first parameter as a count: 1 if it is missing or 0."""
    return numbers[0] or 1 if numbers else 1


def _how(numbers: Numbers) -> int:
    return numbers[0] if numbers else 0


def _position(state: State, numbers: Numbers) -> None:
    state.grid.x = (numbers[1] or 1) - 1 if len(numbers) > 1 else 0
    state.grid.to_row(_first(numbers) - 1)


def _next_rows(state: State, numbers: Numbers) -> None:
    state.grid.move(_first(numbers), 0)
    state.grid.x = 0


def _rows_before(state: State, numbers: Numbers) -> None:
    state.grid.move(-_first(numbers), 0)
    state.grid.x = 0


def _erase_screen(state: State, numbers: Numbers) -> None:
    grid = state.grid
    # With nothing below, as from a shell's prompt, this is an erasure in the row.
    if _how(numbers) or grid.seen_rows() > grid.y + 1:
        state.leave_plain()
    editing.erase_screen(grid, _how(numbers))


def _margins(state: State, numbers: Numbers) -> None:
    bottom = numbers[1] if len(numbers) > 1 else 0
    editing.set_margins(state.grid, _first(numbers) - 1, bottom - 1 if bottom else state.grid.rows - 1)


def _clear_tabs(state: State, numbers: Numbers) -> None:
    if _how(numbers) in (0, 3):
        state.clear_tabs(all_of_them=_how(numbers) == 3)


def _set_modes(state: State, numbers: Numbers, on: bool) -> None:
    if 4 in numbers:
        state.leave_plain()
        state.grid.inserts = on


def _set_private_modes(state: State, numbers: Numbers, on: bool) -> None:
    for number in numbers:
        mode = _PRIVATE_MODES.get(number)
        if mode is not None:
            mode(state, on)
        else:
            state.modes.set(number, on)


def _cursor_shape(state: State, numbers: Numbers) -> None:
    state.modes.shape = _how(numbers)


def _origin(state: State, on: bool) -> None:
    state.leave_plain()
    state.grid.origin, state.grid.x = on, 0
    state.grid.to_row(0)


def _wraparound(state: State, on: bool) -> None:
    state.grid.wraps = on


def _cursor(state: State, on: bool) -> None:
    if not on:
        state.leave_plain()
    state.hidden = not on


def _alternate(state: State, on: bool) -> None:
    state.leave_plain()
    if on:
        state.show_alternate()
    else:
        state.show_main()


def _saved(state: State, on: bool) -> None:
    state.leave_plain()
    if on:
        state.save_cursor()
    else:
        state.restore_cursor()


def _alternate_and_saved(state: State, on: bool) -> None:
    if on:
        _saved(state, True)
        _alternate(state, True)
    else:
        _alternate(state, False)
        _saved(state, False)


def _index(state: State, restart: bool = False) -> None:
    state.grid.clamp()
    state.grid.line_feed()
    if restart:
        state.grid.x = 0


def _reverse_index(state: State) -> None:
    if not state.reverse_index():
        editing.scroll_down(state.grid, state.grid.top, 1)


_PRIVATE_MODES: dict[int, Callable[[State, bool], None]] = {
    6: _origin,
    7: _wraparound,
    25: _cursor,
    47: _alternate,
    1047: _alternate,
    1048: _saved,
    1049: _alternate_and_saved,
}

SEQUENCES: dict[str, _Command] = {
    "@": lambda state, numbers: editing.insert_cells(state.grid, _first(numbers)),
    "A": lambda state, numbers: state.grid.move(-_first(numbers), 0),
    "B": lambda state, numbers: state.grid.move(_first(numbers), 0),
    "C": lambda state, numbers: state.grid.move(0, _first(numbers)),
    "D": lambda state, numbers: state.grid.move(0, -_first(numbers)),
    "E": _next_rows,
    "F": _rows_before,
    "G": lambda state, numbers: state.grid.to_column(_first(numbers) - 1),
    "H": _position,
    "I": lambda state, numbers: state.tab(_first(numbers)),
    "J": _erase_screen,
    "K": lambda state, numbers: editing.erase_line(state.grid, _how(numbers)),
    "L": lambda state, numbers: editing.insert_lines(state.grid, _first(numbers)),
    "M": lambda state, numbers: editing.delete_lines(state.grid, _first(numbers)),
    "P": lambda state, numbers: editing.delete_cells(state.grid, _first(numbers)),
    "S": lambda state, numbers: editing.scroll_up(state.grid, state.grid.top, _first(numbers)),
    "T": lambda state, numbers: editing.scroll_down(state.grid, state.grid.top, _first(numbers)),
    "X": lambda state, numbers: editing.erase_cells(state.grid, _first(numbers)),
    "Z": lambda state, numbers: state.tab(-_first(numbers)),
    "`": lambda state, numbers: state.grid.to_column(_first(numbers) - 1),
    "a": lambda state, numbers: state.grid.move(0, _first(numbers)),
    "d": lambda state, numbers: state.grid.to_row(_first(numbers) - 1),
    "e": lambda state, numbers: state.grid.move(_first(numbers), 0),
    "f": _position,
    "g": _clear_tabs,
    "h": lambda state, numbers: _set_modes(state, numbers, True),
    "l": lambda state, numbers: _set_modes(state, numbers, False),
    "r": _margins,
    "s": lambda state, numbers: state.save_cursor(),
    "u": lambda state, numbers: state.restore_cursor(),
    "?J": _erase_screen,
    "?K": lambda state, numbers: editing.erase_line(state.grid, _how(numbers)),
    "?h": lambda state, numbers: _set_private_modes(state, numbers, True),
    "?l": lambda state, numbers: _set_private_modes(state, numbers, False),
    " q": _cursor_shape,
    "!p": lambda state, numbers: state.reset(hard=False),
}
"""By the prefix or intermediate character, and the final one."""

IN_ROW = frozenset("@CDGIJKPXZ`aghl") | {"?J", "?K", "?h", "?l", " q"}
"""The sequences that do not enter screen mode, or that see to that themselves."""

ESCAPES: dict[str, Callable[[State], None]] = {
    "7": lambda state: state.save_cursor(),
    "8": lambda state: state.restore_cursor(),
    "D": _index,
    "E": lambda state: _index(state, restart=True),
    "H": lambda state: state.set_tab(),
    "M": _reverse_index,
    "c": lambda state: state.reset(hard=True),
    "=": lambda state: state.modes.set(KEYPAD, True),
    ">": lambda state: state.modes.set(KEYPAD, False),
    "#8": lambda state: editing.fill(state.grid, "E"),
    "(0": lambda state: state.designate(0, "0"),
    ")0": lambda state: state.designate(1, "0"),
    "(B": lambda state: state.designate(0, "B"),
    ")B": lambda state: state.designate(1, "B"),
}
"""By what follows ESC."""

CONTROLS: dict[str, Callable[[State], None]] = {
    "\x0e": lambda state: state.shift(1),
    "\x0f": lambda state: state.shift(0),
    "\x84": _index,
    "\x85": lambda state: _index(state, restart=True),
    "\x88": lambda state: state.set_tab(),
    "\x8d": _reverse_index,
}
"""The control characters that are not in every text."""
