"""The bytes that terminals get at a time: all of a kernel share what a page can draw."""

from __future__ import annotations

__all__ = ["Share"]

_BYTES_PER_SECOND = 1 << 20
_ACTIVE_SECONDS = 1.0
# Less than this is no flood, and does not count.
_LITTLE = 16 << 10


class Share:
    """The rate at which each of several terminals may be sent output.

    A page draws about 1.5 MB/s of lines, in all of its terminals together; past that it no longer answers.

    Args:
        rate: the bytes per second of all terminals together.
    """

    def __init__(self, rate: int = _BYTES_PER_SECOND) -> None:
        self._rate = rate
        self._active: dict[object, float] = {}

    def pause(self, owner: object, now: float, size: int) -> float:
        """Return the seconds that a terminal waits after a message, so that the others have theirs.

        Args:
            owner: the terminal.
            now: the time.
            size: the bytes of the message.
        """
        if size > _LITTLE:
            self._active[owner] = now
        self._active = {key: at for key, at in self._active.items() if at > now - _ACTIVE_SECONDS}
        return size * max(1, len(self._active)) / self._rate
