"""The screen of a job at an offset of its output, for pages that begin to show it late, or skip ahead."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipyproc.screen.screen import Screen

__all__ = ["Replay", "Replayed", "ScreenAt"]

_ROWS, _COLUMNS = 24, 100
_SLICE = 8 << 10
_TURN_SECONDS = 0.004
# What is emulated at first; a full-screen program draws the whole screen at its beginning only.
_EMULATED = 1 << 20
_EMULATED_DRAWING = 4 << 20
# Where a page skips ahead: what is emulated then, and how far it has to be behind.
_EMULATED_AHEAD = 256 << 10
_BEHIND = 512 << 10
_SEARCHED = 256 << 10
_MOST_SEARCHED = 64 << 20
_LONGEST_SEQUENCE = 64

# Modes, a reset, the keypad, the shape of the cursor, margins, graphics.
_MODES = re.compile(rb"\x1b(?:\[(?:\?[0-9;]{1,40}[hl]|[0-9;]{0,10}r|!p|[0-9]? q|4[hl])|[c=>]|[()][0B])")
_ALTERNATE = re.compile(rb"\x1b\[\?(?:[0-9;]*;)?(?:47|1047|1049)(?:;[0-9;]*)?([hl])")


@dataclass(frozen=True)
class ScreenAt:
    """What a terminal shows at one moment of an output.

    Attributes:
        offset: the snapshot stands for all bytes before it.
        rows: the height of the terminal.
        columns: its width.
        text: what rebuilds the screen in a new terminal of that size; see `Screen.snapshot`.
    """

    offset: int
    rows: int
    columns: int
    text: str


class Replayed(Protocol):
    """What is read of a job."""

    @property
    def size(self) -> int:
        """The offset past the newest byte of its output."""

    @property
    def encoding(self) -> str:
        """The encoding of its output."""

    @property
    def terminal(self) -> tuple[int, int] | None:
        """The rows and columns of its terminal; None if its output comes by pipes."""

    @property
    def sizes(self) -> tuple[tuple[int, int, int], ...]:
        """The sizes that the terminal had, each with the offset from which; empty if it was never resized."""

    def read(self, start: int, stop: int | None) -> bytes:
        """Return the bytes between two offsets, without those that were dropped."""


class Replay:
    """Follow the output of one job on a screen, as far and as often as somebody asks for it.

    It reads nothing until then. The first time it looks for modes, such as the alternate screen, in the last
    64 MiB of the output, and emulates its last MiB from the beginning of a line on; where a full-screen
    program draws, up to 4 MiB, from where that began. Later it goes on where it was, or if it is more than
    512 KiB behind, and no such program draws, with the last 256 KiB. Bytes dropped because of ``max_output``
    are left out. So a screen may lack what was drawn before that and never again; a program whose terminal
    gets another size draws all anew.

    All its methods belong to the loop of the view.

    Args:
        job: the job.
        keep: the number of lines that a snapshot has above the screen, at most.
    """

    __slots__ = ("_aim", "_job", "_keep", "_screen", "_search", "_size", "position")

    def __init__(self, job: Replayed, keep: int = 5000) -> None:
        self._job = job
        self._keep = keep
        self._screen: Screen | None = None
        self._search = _Search(job)
        self._size = (_ROWS, _COLUMNS)
        self._aim = 0
        self.position = 0

    async def screen_at(self, offset: int | None = None, max_lines: int | None = None) -> ScreenAt:
        """Return the screen at an offset, or at the end of the output as it is now.

        The loop goes on meanwhile: it is held for about 4 ms at a time.

        Args:
            offset: the offset; one before `position` is taken for `position`, since there is no way back.
            max_lines: the number of lines above the screen, less than ``keep``.
        """
        stop = self._job.size if offset is None else min(offset, self._job.size)
        while not self.step(stop):
            await asyncio.sleep(0)
        return self.screen(max_lines)

    def screen(self, max_lines: int | None = None) -> ScreenAt:
        """Return the screen at `position`, which `step` has reached.

        Args:
            max_lines: the number of lines above the screen, less than ``keep``.
        """
        assert self._screen is not None
        return ScreenAt(self.position - self._screen.undecoded, *self._size, self._screen.snapshot(max_lines))

    def step(self, stop: int) -> bool:
        """Read on for about 4 ms, up to an offset at most; return True once it is reached."""
        until = time.monotonic() + _TURN_SECONDS
        if self._screen is None or stop - max(self.position, self._aim) > _BEHIND:
            if not self._search.step(stop, until):
                return False
            start = self._search.start(stop, _EMULATED if self._screen is None else _EMULATED_AHEAD)
            if self._screen is None or start > self.position:
                self._begin(start)
            self._aim = stop
        while self.position < stop and time.monotonic() < until:
            end = self._resized(min(stop, self.position + _SLICE))
            data = self._job.read(self.position, end)
            if len(data) < end - self.position:
                self._begin(end - len(data))
            self.position = end
            if self._screen is not None:
                self._screen.feed(data)
        if self.position < stop:
            return False
        self._resized(stop)
        return True

    def _begin(self, position: int) -> None:
        """Go on with a new screen."""
        # Imported late: it takes milliseconds, for which loading the extension need not wait.
        from ipyproc.screen.screen import Screen

        self._size = self._size_at(position)[0]
        is_terminal = self._job.terminal is not None
        self._screen = Screen(*self._size, self._job.encoding, newline=not is_terminal, keep=self._keep)
        self._screen.feed_text(self._search.modes_before(position).decode("ascii"))
        self.position = position

    def _resized(self, end: int) -> int:
        """Give the screen the size that the terminal had here; return how far it had it, ``end`` at most."""
        size, until = self._size_at(self.position)
        if size != self._size and self._screen is not None:
            self._size = size
            self._screen.resize(*size)
        return end if until is None else min(end, until)

    def _size_at(self, position: int) -> tuple[tuple[int, int], int | None]:
        """Return the size of the terminal at an offset, and the offset at which it got another."""
        size = self._job.terminal or (_ROWS, _COLUMNS)
        for at, *given in self._job.sizes:
            if at > position:
                return size, at
            size = (given[0], given[1])
        return size, None


class _Search:
    """Look for the modes that hold in an output, and for where to begin.

    Args:
        job: the job.
    """

    __slots__ = ("_alternate", "_at", "_job", "_modes")

    def __init__(self, job: Replayed) -> None:
        self._job = job
        self._at = 0
        # The last sequence of each kind, in their order, with its offset.
        self._modes: dict[bytes, tuple[int, bytes]] = {}
        # Where the alternate screen was shown that is still shown.
        self._alternate: int | None = None

    def step(self, stop: int, until: float) -> bool:
        """Search up to an offset, or until a time; return True once the offset is reached."""
        self._at = max(self._at, stop - _MOST_SEARCHED)
        while self._at < stop:
            if time.monotonic() >= until:
                return False
            end = min(stop, self._at + _SEARCHED)
            data = self._job.read(self._at, end)
            first, last = end - len(data), len(data)
            if end < stop and (begun := data.rfind(b"\x1b", -_LONGEST_SEQUENCE)) > 0:
                # A sequence may be cut there: the next piece begins with it.
                last = begun
            if b"\x1b" in data:
                for found in _MODES.finditer(data, 0, last):
                    self._note(found[0], first + found.start())
            self._at = first + last
        return True

    def modes_before(self, offset: int) -> bytes:
        """Return the sequences that set the modes at an offset, as far as they are not set anew behind it."""
        return b"".join(sequence for at, sequence in self._modes.values() if at < offset)

    def start(self, stop: int, most: int) -> int:
        """Return where to begin to emulate about ``most`` bytes before an offset."""
        start = stop - most
        if self._alternate is not None and self._alternate < start:
            if stop - self._alternate <= _EMULATED_DRAWING:
                return self._alternate
            start = stop - _EMULATED_DRAWING
        if start <= 0:
            return 0
        after = self._job.read(start, start + _SLICE)
        newline = after.find(b"\n")
        return start + (newline + 1 if newline >= 0 else max(after.find(b"\x1b"), 0))

    def _note(self, sequence: bytes, at: int) -> None:
        if sequence in (b"\x1bc", b"\x1b[!p"):
            self._modes.clear()
        kind = b"r" if sequence.endswith(b"r") else sequence
        self._modes.pop(kind, None)
        self._modes[kind] = (at, sequence)
        if found := _ALTERNATE.fullmatch(sequence):
            self._alternate = at if found[1] == b"h" else None
        elif sequence == b"\x1bc":
            self._alternate = None
