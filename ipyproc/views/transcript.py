"""What a terminal would show of a job's output, for one view: finished lines, and rows that change."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipyproc import safe
from ipyproc.safe import SafeText, StreamFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipyproc.screen.screen import Screen
    from ipyproc.spool.output import StreamName
    from ipyproc.views.form import Form

__all__ = ["NO_ROWS", "Lines", "LiveRows", "Transcript", "fitting", "without_links"]

_LINK = re.compile(r"\x1b\]8;;[^\x1b]*\x1b\\")
_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


@dataclass(frozen=True)
class Lines:
    """Finished lines of one stream.

    Attributes:
        stream: "stdout" or "stderr".
        text: the lines, each with its newline; they may have hyperlinks (OSC 8) to http and https.
    """

    stream: StreamName
    text: SafeText

    def last(self, room: int) -> list[SafeText]:
        """Return the last lines, one by one: those within the last ``room`` characters, and one at least."""
        start = self.text.rfind("\n", 0, max(0, len(self.text) - room)) + 1
        return [SafeText(line) for line in self.text[start:].splitlines(keepends=True)]


def fitting(lines: list[Lines], room: float) -> tuple[list[Lines], list[Lines]]:
    """Return the lines for which there is room, in characters, and the rest."""
    found: list[Lines] = []
    for number, piece in enumerate(lines):
        if len(piece.text) > room:
            cut = piece.text.rfind("\n", 0, int(room)) + 1
            if cut:
                found.append(Lines(piece.stream, SafeText(piece.text[:cut])))
            return found, [Lines(piece.stream, SafeText(piece.text[cut:])), *lines[number + 1 :]]
        found.append(piece)
        room -= len(piece.text)
    return found, []


@dataclass(frozen=True)
class LiveRows:
    """The rows that may still change.

    Attributes:
        rows: the rows of each stream, from the top, without newlines; none for a stream without any.
        straight: whether each stream has one at most, which has only grown since it began, such as a prompt.
    """

    rows: tuple[tuple[StreamName, SafeText], ...] = ()
    straight: bool = True

    @property
    def texts(self) -> list[SafeText]:
        """The rows without their streams."""
        return [text for _, text in self.rows]

    @property
    def is_drawn(self) -> bool:
        """True if they can only be shown by drawing them anew at each change."""
        return not self.straight and any(text.strip() for text in self.texts)


NO_ROWS = LiveRows()


class Transcript:
    """The screens of one view: one for the terminal of a job, or one for each of its two pipes.

    Args:
        terminal: the rows and columns of the job's terminal; None if it has pipes.
        encoding: the encoding of the output.
        form: the form in which lines are shown; None for as they are.
    """

    __slots__ = ("_encoding", "_form", "_screens", "_starts", "_tag", "_terminal")

    def __init__(self, terminal: tuple[int, int] | None, encoding: str, form: Form | None = None) -> None:
        self._terminal = terminal
        self._encoding = encoding
        self._form = form
        self._screens: dict[StreamName, Screen] = {}
        # The times at which the lines began that are not finished.
        self._starts: dict[StreamName, float] = {}
        self._tag = ""
        if form is not None and form.tag:
            colour = _COLOURS[form.colour % len(_COLOURS)]
            self._tag = f"\x1b[{colour}m{safe.line(form.tag)} |\x1b[0m "

    def feed(self, runs: Iterable[tuple[StreamName, bytes]], at: float = 0.0) -> list[Lines]:
        """Take output, in stretches of one stream each; return the lines that it finished.

        Args:
            runs: the output.
            at: when it came, in seconds since the epoch.
        """
        lines: list[Lines] = []
        for stream, data in runs:
            screen = self._screens.get(stream)
            if screen is None:
                screen = self._screens[stream] = self._new_screen()
            screen.feed(data)
            self._take(stream, screen, at, lines)
        return lines

    @property
    def live(self) -> LiveRows:
        """The rows that may still change, those of standard error last."""
        shown: list[tuple[StreamName, SafeText]] = []
        straight = True
        for stream, screen in self._screens.items():
            live = screen.live()
            straight = straight and live.straight
            prefix = self._prefix(self._starts.get(stream, 0.0))
            shown.extend((stream, _safe(prefix + row)) for row in live.rows)
        return LiveRows(tuple(shown), straight)

    @property
    def is_full_screen(self) -> bool:
        """True while a full-screen program draws, such as an editor."""
        return any(screen.is_alternate for screen in self._screens.values())

    def settle(self) -> list[Lines]:
        """Return lines that were held back, in case they would still be overwritten."""
        lines: list[Lines] = []
        for stream, screen in self._screens.items():
            screen.settle()
            self._take(stream, screen, 0.0, lines)
        return lines

    def finish(self) -> list[Lines]:
        """End the output: return all rows as finished lines; a last line that has no newline gets none."""
        lines: list[Lines] = []
        for stream, screen in self._screens.items():
            live = screen.live()
            screen.finish()
            self._take(stream, screen, 0.0, lines)
            if lines and live.rows and live.straight:
                lines[-1] = Lines(stream, SafeText(lines[-1].text.removesuffix("\n")))
        self._screens.clear()
        self._starts.clear()
        return lines

    def resize(self, terminal: tuple[int, int] | None) -> None:
        """Follow the size of the terminal."""
        if terminal is not None and terminal != self._terminal:
            self._terminal = terminal
            for screen in self._screens.values():
                screen.resize(*terminal)

    def _new_screen(self) -> Screen:
        # Imported late: it takes milliseconds, for which loading the extension need not wait.
        from ipyproc.screen.screen import Screen

        if self._terminal is None:
            return Screen(encoding=self._encoding, newline=True, links=True)
        return Screen(*self._terminal, self._encoding, links=True)

    def _take(self, stream: StreamName, screen: Screen, at: float, lines: list[Lines]) -> None:
        text = screen.take()
        begun = self._starts.get(stream)
        if text:
            if self._form is not None:
                first, *rest = text.splitlines(keepends=True)
                prefix = self._prefix(at)
                text = (
                    self._prefix(at if begun is None else begun)
                    + first
                    + "".join(prefix + line for line in rest)
                )
            lines.append(Lines(stream, _safe(text)))
            begun = None
        if self._form is not None and self._form.times:
            if begun is None and at and screen.live().rows:
                begun = at
            if begun is None:
                self._starts.pop(stream, None)
            else:
                self._starts[stream] = begun

    def _prefixed(self, text: str, begun: float, at: float) -> str:
        """Return lines with their prefixes; the first began at another time."""
        prefix = self._prefix(at)
        first, *rest = text.splitlines(keepends=True)
        return self._prefix(begun) + first + "".join(prefix + line for line in rest)

    def _prefix(self, at: float) -> str:
        if self._form is None or not self._form.times:
            return self._tag
        return f"\x1b[2m{_clock(at)}\x1b[0m {self._tag}"


def _safe(text: str) -> SafeText:
    """Return text of a screen as safe text: the screen gives nothing else, and here it is made sure."""
    return StreamFilter(links=True).feed(text)


def without_links(text: SafeText) -> SafeText:
    """Return a text without its hyperlinks, which pages show as their bytes in stream text."""
    return SafeText(_LINK.sub("", text)) if "\x1b]8" in text else text


def _clock(at: float) -> str:
    """Return a time of today, or with its date if it is of another day."""
    local, today = time.localtime(at), time.localtime()
    date = "" if local[:3] == today[:3] else time.strftime("%Y-%m-%d ", local)
    return f"{date}{time.strftime('%H:%M:%S', local)}.{int(at % 1 * 1000):03d}"
