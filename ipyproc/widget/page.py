"""One page that shows a job, and how far its terminal has got."""

from __future__ import annotations

__all__ = ["LARGEST_PIECE", "WINDOW", "Page"]

WINDOW = 256 << 10
"""The bytes that may be on their way to a terminal that has not drawn them."""

LARGEST_PIECE = 64 << 10
"""The bytes of one message."""

# Between two messages of output: a server counts messages, and allows a thousand per second in all.
_PAUSE = 0.02
_SCREEN_PAUSE = 0.25
# So long after it was far behind, a terminal gets the lines above its screen.
_CALM = 1.0


class Page:
    """One view of a job in one page, and the output that its terminal has got.

    All times are in seconds on a monotonic clock.

    Args:
        key: the id that the page gave itself.

    Attributes:
        key: likewise.
        is_open: whether its terminal is open.
        position: the offset up to which output was sent.
        needs_screen: whether it gets a screen next, since it is too far behind, or asked for too much.
        replayed: the offset before which all output is old: what it asks of a terminal is not answered.
        lacks_lines: whether it skipped ahead, and has few lines above its screen.
        calm_at: the time from which it may get them.
        is_told: whether it knows that the job has ended.
    """

    __slots__ = (
        *("calm_at", "is_open", "is_told", "key", "lacks_lines", "needs_screen", "position", "replayed"),
        *("_drawn", "_due", "_screen_at", "_screen_due"),
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.is_open = False
        self.position = 0
        self.needs_screen = False
        self.lacks_lines = False
        self.calm_at = 0.0
        self.is_told = False
        self.replayed = 0
        self._drawn = 0
        self._due = 0.0
        self._screen_at = 0
        self._screen_due = 0.0

    def open(self, position: int) -> None:
        """Begin at an offset, with an empty terminal."""
        self.is_open = True
        self.needs_screen = self.lacks_lines = False
        self.position = self._drawn = position
        self._due = self._screen_due = 0.0
        self._screen_at = 0

    def shut(self) -> None:
        """Send no more output."""
        self.is_open = False

    def drew(self, position: int) -> None:
        """Record that its terminal has drawn the output up to an offset."""
        if position <= self.position:
            self._drawn = max(self._drawn, position)

    def ask(self, position: int) -> None:
        """Go back to an offset, since what was sent after it has not arrived."""
        if 0 <= position <= self.position:
            self.position = self._drawn = position
        else:
            self.needs_screen = True
        self._screen_at = 0

    def room(self) -> int:
        """Return how many bytes may be sent before its terminal has drawn more."""
        return max(0, WINDOW - (self.position - self._drawn))

    @property
    def takes_screen(self) -> bool:
        """True if it has drawn the last screen, so that another one does not wait behind it."""
        return self._drawn >= self._screen_at

    def due(self) -> float:
        """Return the time of the next message."""
        return max(self._due, self._screen_due) if self.needs_screen else self._due

    def sent(self, now: float, size: int, pause: float) -> None:
        """Record that output was sent, after which the others have ``pause`` seconds."""
        self.position += size
        self._due = now + max(_PAUSE, pause)

    def sent_screen(self, now: float, position: int, size: int, pause: float, *, whole: bool) -> None:
        """Record that a screen was sent that stands for all output before an offset.

        Args:
            now: the time.
            position: the offset.
            size: the bytes that were sent.
            pause: the seconds that the others have after that.
            whole: whether it has all lines above the screen that are kept.
        """
        on_its_way = self.position - self._drawn
        self.needs_screen = False
        self.lacks_lines = not whole
        self.position = self._screen_at = position
        # Until it is drawn, it counts as output on its way, and so does what was sent before it.
        self._drawn = position - min(on_its_way + size, WINDOW)
        self._due = now + max(_PAUSE, pause)
        self._screen_due = now + max(_SCREEN_PAUSE, pause)
        self.calm_at = now + _CALM
