"""Read the text that a program writes to its terminal, and carry it out."""

from __future__ import annotations

import re
from functools import lru_cache

from ipyproc.safe import url_of
from ipyproc.screen.commands import CONTROLS, ESCAPES, IN_ROW, SEQUENCES, Numbers
from ipyproc.screen.state import State
from ipyproc.screen.style import after, with_link

__all__ = ["Reader"]

_TOKEN = re.compile(
    r"([^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[([0-9;:]{0,255})m"
    r"|(\r+|[\n\b\t\x0b\x0c])"
    r"|\x1b\[([<-?]?)([0-9;:]{0,255})([!-/]?)([@-~])"
)
_TEXT, _COLOURS, _MOVE, _SEQUENCE = 1, 2, 3, 7

_BODY = re.compile(r"[\x00-\x17\x19\x1c-\x1f -?\x7f]*")
_PLAIN_BODY = re.compile(r"([<-?]?)([0-9;:]*)([ -/]?)")
_CONTROLS_IN_IT = re.compile(r"[\x00-\x1f\x7f]+")
_ESCAPES = re.compile("\x1b+(?=\x1b)")
_ESCAPE = re.compile(r"[ -/]{0,8}")
_OSC_END = re.compile("[\x07\x18\x1a\x1b\x9c\n]")
_STRING_END = re.compile("[\x18\x1a\x1b\x9c]")
_IGNORED = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]+")

_LONGEST_BODY = 255
_LONGEST_LINK = 2100
_LONGEST_STRING = 1 << 20
_MOST = 9999


class Reader:
    """Carry out a stream of text, which may come in pieces cut anywhere.

    A control string ends at ST, CAN, SUB, ESC or after 1 MiB, an OSC also at BEL and at the end of the line.

    Args:
        state: what it is carried out on.
        newline: a line feed is also a carriage return.

    Attributes:
        printed: the character at the end of the text, if it was printed; else empty.
    """

    def __init__(self, state: State, *, newline: bool = False) -> None:
        self._state = state
        self._newline = newline
        self._held = ""
        self._string_left = 0
        self._string_end = _STRING_END
        self._osc: list[str] | None = None
        self._osc_size = 0
        self._in_sequence = False
        self.printed = ""

    @property
    def is_idle(self) -> bool:
        """True if no sequence is incomplete."""
        return not (self._held or self._string_left or self._in_sequence)

    @property
    def incomplete(self) -> str:
        """The sequence that is incomplete, or another that has the same effect on what follows."""
        if self._in_sequence:
            return "\x1b[<"
        if self._string_left:
            if self._osc is not None:
                return "\x1b]" + "".join(self._osc)
            return "\x1b]x" if self._string_end is _OSC_END else "\x1b_"
        return self._held

    def read(self, text: str, position: int = 0, *, line: bool = False) -> int:
        """Carry out a text from a position on.

        Args:
            text: the text.
            position: where to begin.
            line: stop after a newline that finishes its row in plain mode.

        Returns:
            The position after it. An incomplete sequence at the end waits for the next call.
        """
        held = 0
        if self._held:
            # What was held ends before the first newline, so that the position is never before `position`.
            held = len(self._held) - position
            text, position, self._held = self._held + text[position:], 0, ""
        if self._in_sequence:
            position = self._skip_sequence(text, position)
        if self._string_left:
            position = self._skip_string(text, position)
        state, grid, size = self._state, self._state.grid, len(text)
        match, printed = _TOKEN.match, 0
        while position < size:
            found = match(text, position)
            if found is None:
                position = self._take_other(text, position)
                grid = state.grid
                continue
            kind, position = found.lastindex, found.end()
            if kind == _TEXT:
                state.write(found[1])
                printed = position
            elif kind == _COLOURS:
                grid.style = after(grid.style, found[2])
            elif kind == _SEQUENCE:
                if found[7] == "b":
                    start = found.start()
                    before = text[start - 1] if start and start == printed else ""
                    self._repeat(before if start else self.printed, found[5])
                    continue
                self._take_sequence(found[4] + found[6] + found[7], found[5])
                grid = state.grid
            elif found[3][0] == "\r":
                if position == size:
                    # What follows decides whether the row is written anew.
                    self._held = "\r"
                    break
                if text[position] != "\n":
                    grid.screen[grid.y].straight = False
                grid.x = 0
            elif found[3] == "\b":
                grid.to_column(min(grid.x, grid.columns - 1) - 1)
            elif found[3] == "\t":
                state.tab(1)
            else:
                if self._newline:
                    grid.x = 0
                grid.line_feed()
                if not grid.plain:
                    state.count_newline()
                if line and grid.plain and grid.taken == grid.y:
                    break
        end = position - len(self._held)
        if end > 0:
            self.printed = text[end - 1] if end == printed else ""
        return position - held

    def _repeat(self, character: str, parameters: str) -> None:
        """Write the character again that came immediately before."""
        if character:
            count = (_numbers(parameters) or (1,))[0] or 1
            self._state.write(character * min(count, self._state.grid.columns))

    def _take_sequence(self, name: str, parameters: str) -> None:
        command = SEQUENCES.get(name)
        if command is not None:
            if name not in IN_ROW:
                self._state.leave_plain()
            command(self._state, _numbers(parameters))

    def _take_other(self, text: str, position: int) -> int:
        """Carry out a control character or a sequence that is rare; return the position after it."""
        character = text[position]
        if character == "\x9b":
            return self._take_csi(text, position, position + 1)
        if character in "\x90\x98\x9d\x9e\x9f":
            return self._begin_string(text, position + 1, character == "\x9d")
        if character != "\x1b":
            if command := CONTROLS.get(character):
                if character > "\x80":
                    self._state.leave_plain()
                command(self._state)
                return position + 1
            found = _IGNORED.match(text, position)
            return position + 1 if character in "\x0e\x0f" or not found else self._ignored_to(found)
        if text.startswith("\x1b\x1b", position):
            found = _ESCAPES.match(text, position)
            return found.end() if found else position + 1
        found_end = _ESCAPE.match(text, position + 1)
        end = found_end.end() if found_end else position + 1
        if end == len(text):
            self._held = text[position:]
            return end
        after_it = text[position + 1 : end + 1]
        if after_it == "[":
            return self._take_csi(text, position, end + 1)
        if after_it in ("]", "P", "X", "^", "_"):
            return self._begin_string(text, end + 1, after_it == "]")
        if not "0" <= text[end] <= "~":
            return end
        if escape := ESCAPES.get(after_it):
            if after_it[0] not in "()H=>":
                self._state.leave_plain()
            escape(self._state)
        return end + 1

    def _ignored_to(self, found: re.Match[str]) -> int:
        """Return the end of a run of ignored characters, before a shift in it."""
        shifts = [at for at in (found[0].find("\x0e"), found[0].find("\x0f")) if at >= 0]
        return found.start() + min(shifts) if shifts else found.end()

    def _take_csi(self, text: str, begin: int, position: int) -> int:
        """Carry out a sequence that is cut, too long, or has control characters in it."""
        found = _BODY.match(text, position)
        end = found.end() if found else position
        if end - position > _LONGEST_BODY:
            self._in_sequence = True
            return self._skip_sequence(text, end)
        if end == len(text):
            self._held = text[begin:]
            return end
        body = text[position:end]
        if controls := "".join(_CONTROLS_IN_IT.findall(body)):
            body = _CONTROLS_IN_IT.sub("", body)
            Reader(self._state, newline=self._newline).read(controls)
        if not "@" <= text[end] <= "~":
            return end + 1 if text[end] in "\x18\x1a" else end
        if parts := _PLAIN_BODY.fullmatch(body):
            if text[end] == "m" and not parts[1] and not parts[3]:
                self._state.grid.style = after(self._state.grid.style, parts[2])
            else:
                self._take_sequence(parts[1] + parts[3] + text[end], parts[2])
        return end + 1

    def _skip_sequence(self, text: str, position: int) -> int:
        found = _BODY.match(text, position)
        end = found.end() if found else position
        self._in_sequence = end == len(text)
        return end + 1 if end < len(text) and "@" <= text[end] <= "~" else end

    def _begin_string(self, text: str, position: int, is_osc: bool) -> int:
        self._string_left = _LONGEST_STRING
        self._string_end = _OSC_END if is_osc else _STRING_END
        self._osc, self._osc_size = ([] if is_osc else None), 0
        return self._skip_string(text, position)

    def _skip_string(self, text: str, position: int) -> int:
        stop = min(len(text), position + self._string_left)
        found = self._string_end.search(text, position, stop)
        end = found.start() if found else stop
        if self._osc is not None:
            self._osc.append(text[position : min(end, position + _LONGEST_LINK)])
            self._osc_size += end - position
            if self._osc_size > _LONGEST_LINK:
                self._osc = None
        self._string_left = 0 if found else self._string_left - (end - position)
        if found is None:
            return end
        if self._osc is not None and text[end] in "\x07\x9c\x1b":
            self._take_osc("".join(self._osc))
        self._osc = None
        return end if text[end] in "\x1b\n" else end + 1

    def _take_osc(self, content: str) -> None:
        kind, _, rest = content.partition(";")
        _, is_link, target = rest.partition(";")
        if kind == "8" and is_link:
            grid = self._state.grid
            grid.style = with_link(grid.style, url_of(target) or "")


@lru_cache(maxsize=2048)
def _numbers(parameters: str) -> Numbers:
    """Return the parameters of a sequence; a missing one is 0."""
    if not parameters:
        return ()
    parts = (part.partition(":")[0] for part in parameters.split(";")[:32])
    return tuple(min(int(part[:6]), _MOST) if part else 0 for part in parts)
