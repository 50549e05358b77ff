"""The modes of a terminal that do not change what it shows: they concern keys, the mouse and the cursor."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["KEYPAD", "Modes"]

KEYPAD = 66
"""The application keypad (DECNKM), which ``ESC =`` and ``ESC >`` set as well."""

_MOUSE = (9, 1000, 1002, 1003)
_MOUSE_ENCODINGS = (1006, 1016)
# Application cursor keys, blinking cursor, reverse wraparound; focus events, bracketed paste.
_SWITCHES = (1, 12, 45, KEYPAD, 1004, 2004)


@dataclass
class Modes:
    """The modes, as xterm.js keeps them.

    Attributes:
        switches: the private modes that are set, of those that are independent.
        mouse: the private mode that says what the mouse reports; 0 for nothing. A later one replaces it.
        encoding: the private mode that says how it reports; 0 for the oldest way.
        shape: the shape of the cursor, as in DECSCUSR; 0 is the terminal's own.
    """

    switches: set[int] = field(default_factory=set)
    mouse: int = 0
    encoding: int = 0
    shape: int = 0

    def set(self, number: int, on: bool) -> None:
        """Set or reset a private mode; others than these are ignored."""
        if number in _MOUSE:
            self.mouse = number if on else 0
        elif number in _MOUSE_ENCODINGS:
            self.encoding = number if on else 0
        elif number in _SWITCHES:
            (self.switches.add if on else self.switches.discard)(number)

    def reset(self, *, hard: bool) -> None:
        """Reset them; the mouse only with ``hard``."""
        self.switches.clear()
        self.shape = 0
        if hard:
            self.mouse = self.encoding = 0

    def sequences(self) -> str:
        """Return the sequences that set them on a new terminal."""
        numbers = [*sorted(self.switches), *filter(None, (self.mouse, self.encoding))]
        modes = f"\x1b[?{';'.join(map(str, numbers))}h" if numbers else ""
        return modes + (f"\x1b[{self.shape} q" if self.shape else "")
