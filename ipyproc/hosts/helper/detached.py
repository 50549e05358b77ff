"""A helper's connection to the leader of its session."""

from __future__ import annotations

import os

__all__ = ["Detached"]


class Detached:
    """A helper's connection to its leader.

    Attributes:
        fd: an fd that reaches its end when the leader exits.
    """

    def __init__(self, fd: int, report: int) -> None:
        self.fd = fd
        self._report = report

    def tell(self, status: int) -> None:
        """Tell the leader how to exit: with a status, or by a signal (negative)."""
        try:
            os.write(self._report, status.to_bytes(4, "big", signed=True))
        except OSError:
            pass  # The leader has exited, and the helper is about to.

    def close(self) -> None:
        """Close the fds; a worker calls this."""
        os.close(self.fd)
        os.close(self._report)
