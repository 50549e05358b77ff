"""The screen of a program: bytes in, finished lines and live rows out."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from ipyproc.screen.finished import FinishedLines
from ipyproc.screen.quick import finished_lines
from ipyproc.screen.reader import Reader
from ipyproc.screen.snapshot import snapshot_of
from ipyproc.screen.state import State

__all__ = ["MOST_COLUMNS", "MOST_ROWS", "Live", "Screen", "suffix_of"]

MOST_ROWS, MOST_COLUMNS = 200, 1000
_SHORT = 4096
_REMEMBERED = 1 << 14
# Colours, and at the end the beginning of a colour or of a newline.
_BEGUN = re.compile(r"\x1b\[[0-9;:]{0,100}m|(?:\x1b(?:\[[0-9;:]{0,100})?|\r)\Z")


@dataclass(frozen=True)
class Live:
    """The rows of a screen that may still change.

    Attributes:
        rows: the rows, from the top, without the blank ones at the end.
        straight: there is one row at most, and it was only appended to; `suffix_of` tells what came since.
    """

    rows: tuple[str, ...]
    straight: bool


class Screen:
    """What a terminal shows of the bytes that a program writes.

    Rows that nothing will change any more are *finished*: `take` returns them once. The others are *live*.
    Each line and row is text with colours (SGR) that begins in the default style and ends in it; there is no
    other escape sequence and no other control character. Tabs become blanks. A line that wraps over several
    rows of the terminal is one line, unless it is longer than about 64,000 characters.

    In *plain mode*, where a screen begins, a row is finished when a newline leaves it, if it was written
    straight, that is, only appended to, and is not blank. A row that was rewritten (carriage return,
    backspace, erasure) or is blank is held until a straight row below it is finished, or `settle` is called.
    In *screen mode* a row is finished when it scrolls off the top of the screen.

    Screen mode begins with a sequence that moves the cursor to another row, hides or saves it, sets margins,
    inserts or deletes rows, erases more than the cursor's row, or shows the alternate screen. Plain mode
    comes back after as many newlines as the screen has rows without such a sequence, since nothing that was
    drawn is left on the screen then; the cursor must be visible, all rows must scroll, and the main screen
    must be shown.

    A program may move the cursor up to a row that is finished, and change it. That row and those below it are
    then live again. Lines that `take` has not returned yet are taken back; the others come a second time.

    One thread at a time may call it. Text costs about 10 ms/MB, drawing up to 500 ms/MB: feed slices of 32 kB
    on a loop. The memory is bounded by the size of the screen, except for lines that are not taken.

    Args:
        rows: the height, 1 to 200; other values are brought into these bounds.
        columns: the width, 1 to 1000, likewise.
        encoding: the encoding of the bytes; undecodable ones become U+FFFD.
        newline: a line feed is also a carriage return. True for pipes; the driver of a pty has seen to it.
        links: keep hyperlinks to http(s), as OSC 8 sequences.
        keep: keep the last lines that scrolled off, so many, for `snapshot`; they have ``200 * keep``
            characters at most. `take` returns nothing then. None keeps none.
    """

    def __init__(
        self,
        rows: int = 24,
        columns: int = 100,
        encoding: str = "utf-8",
        *,
        newline: bool = False,
        links: bool = False,
        keep: int | None = None,
    ) -> None:
        self._newline = newline
        self._links = links
        self._keep = keep
        self._new_decoder = codecs.getincrementaldecoder(encoding)
        self._begin(*_bounded(rows, columns))

    def _begin(self, rows: int, columns: int) -> None:
        self._decoder = self._new_decoder("replace")
        self._state = State(rows, columns, links=self._links, keep=self._keep)
        self._reader = Reader(self._state, newline=self._newline)
        # Lines that were finished without the terminal, and text of the row after them.
        self._passed = ""
        self._tail = ""

    @property
    def is_alternate(self) -> bool:
        """True if a full-screen program is drawing, on the alternate screen."""
        return self._state.grid.alternate

    def feed(self, data: bytes) -> None:
        """Show the next bytes, which may be cut anywhere."""
        self.feed_text(self._decoder.decode(data))

    def feed_text(self, text: str) -> None:
        """Show the next text, which may be cut anywhere."""
        if self._tail:
            text, self._tail = self._tail + text, ""
        position, size = 0, len(text)
        while position < size:
            if self._is_quick():
                position = self._pass(text, position)
                if size - position < _SHORT and _is_begun_line(text[position:]):
                    self._tail = text[position:]
                    return
            self._catch_up()
            position = self._reader.read(text, position, line=True)

    def take(self) -> str:
        """Return the lines finished since the last call, each with its newline."""
        return self._state.main.finished.take()

    def live(self) -> Live:
        """Return the rows that are not finished."""
        self._catch_up(tail=True)
        grid = self._state.grid
        rows = grid.live_lines()
        return Live(rows, len(rows) <= 1 and grid.is_straight)

    @property
    def undecoded(self) -> int:
        """The number of bytes at the end of what was fed that are the beginning of a character."""
        return len(self._decoder.getstate()[0])

    def snapshot(self, max_lines: int | None = None) -> str:
        """Return a text that makes a new terminal of the same size show what this one shows.

        Written to a new xterm, it gives the rows with their colours and links, the cursor, and all that
        decides how further output is shown: the alternate screen and the main one behind it, margins, saved
        cursors, tab stops, character sets, colours, the modes of keys, mouse, paste, focus and cursor, and a
        sequence that is incomplete. The output goes on behind it, `undecoded` bytes before the end of what
        was fed.

        Not in it: titles, changed palettes, and pictures.

        Args:
            max_lines: the number of lines above the screen, of those that the argument ``keep`` of the screen
                keeps; None for all.
        """
        self._catch_up(tail=True)
        most = self._keep or 0
        lines = most if max_lines is None else min(max_lines, most)
        return snapshot_of(self._state, lines, self._reader.printed) + self._reader.incomplete

    def settle(self) -> None:
        """In plain mode, finish the rows above the cursor's, since nothing has come for a while."""
        self._catch_up(tail=True)
        grid = self._state.grid
        if grid.plain:
            grid.finish(grid.first_of_line(grid.y))

    def finish(self) -> None:
        """Finish all rows but the blank ones at the end; what follows begins on a new screen."""
        self.feed_text(self._decoder.decode(b"", final=True))
        self._catch_up(tail=True)
        state = self._state
        main, shown = state.main, state.grid
        main.finish(main.seen_rows())
        main.finished.flush(main.columns)
        if shown is not main:
            # The program ended while it drew on the alternate screen.
            main.finished.append("".join(f"{line}\n" for line in shown.live_lines()))
        self._begin(main.rows, main.columns)
        self._state.main.finished = main.finished

    def resize(self, rows: int, columns: int) -> None:
        """Change the size; lines that wrap are wrapped anew."""
        self._catch_up(tail=True)
        self._state.resize(*_bounded(rows, columns))
        self._reader.printed = ""

    def _is_quick(self) -> bool:
        """Return True if the cursor stands at the beginning of an empty row, and nothing is held."""
        grid = self._state.grid
        return (
            grid.plain
            and grid.x == 0
            and grid.taken == grid.y
            and self._reader.is_idle
            and self._state.is_usual
            and not grid.screen[grid.y].cells
            and grid.screen[grid.y].straight
            and grid.seen_rows() <= grid.y
        )

    def _pass(self, text: str, position: int) -> int:
        """Finish the lines that need no terminal; return the position after them."""
        grid = self._state.grid
        position, lines, grid.style = finished_lines(
            text, position, grid.style, grid.columns, newline=self._newline
        )
        if lines:
            grid.finished.append(lines)
            if grid.scrollback is not None:
                self._passed += lines
            else:
                self._passed = self._passed + lines if len(lines) < _REMEMBERED else lines
            if len(self._passed) >= _REMEMBERED:
                self._cut_passed()
        return position

    def _cut_passed(self) -> None:
        """Keep of the lines that have passed the terminal those that it may still show."""
        passed, grid = self._passed, self._state.grid
        self._passed = _last_lines(passed, 2 * grid.rows)
        if grid.scrollback is not None and len(self._passed) < len(passed):
            grid.scroll_all()
            grid.scrollback.add_lines(passed[: len(passed) - len(self._passed)])

    def _catch_up(self, *, tail: bool = False) -> None:
        """Bring the terminal up to the lines that have passed it, as finished rows."""
        if self._passed:
            grid = self._state.grid
            self._cut_passed()
            passed, self._passed = self._passed, ""
            finished, style = grid.finished, grid.style
            grid.finished, grid.style = FinishedLines(), ""
            Reader(self._state, newline=True).read(passed)
            grid.finished, grid.style = finished, style
            grid.taken = grid.y
        if tail and self._tail:
            text, self._tail = self._tail, ""
            self._reader.read(text)


def suffix_of(row: str, before: str) -> str | None:
    """Return what to show after a live row as it was ``before`` to make it ``row``; None if nothing would."""
    if not before.endswith("\x1b[0m"):
        return row[len(before) :] if row.startswith(before) else None
    shown = before[: -len("\x1b[0m")]
    if not row.startswith(shown):
        return None
    suffix = row[len(shown) :]
    if suffix.startswith("\x1b["):
        return suffix.removeprefix("\x1b[0m")
    start = shown.rindex("\x1b[")
    return shown[start : shown.index("m", start) + 1] + suffix


def _is_begun_line(text: str) -> bool:
    """Return True if a text has only what `finished_lines` takes, and no newline; its end may be cut."""
    return text.isprintable() or _BEGUN.sub("", text).isprintable()


def _last_lines(lines: str, count: int) -> str:
    return "\n".join(lines.rsplit("\n", count + 1)[1:]) if lines.count("\n") > count else lines


def _bounded(rows: int, columns: int) -> tuple[int, int]:
    return min(max(rows, 1), MOST_ROWS), min(max(columns, 1), MOST_COLUMNS)
