"""The bytes for a job's standard input, which are released when the job ends."""

from __future__ import annotations

from ipyproc.errors import JobStateError

__all__ = ["Input"]

_KEPT = 64 << 10


class Input:
    """The bytes for the standard input of each process of a job.

    Args:
        data: the bytes.

    Attributes:
        size: the number of bytes, also after they were released.
    """

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data: bytes | None = data

    @classmethod
    def gone(cls, size: int) -> Input:
        """Return the input of a job elsewhere: ``size`` bytes, which are not here."""
        given = cls(b"")
        given.size, given._data = size, None
        return given

    def __repr__(self) -> str:
        return f"<Input of {self.size:,} bytes{'' if self._data is not None else ', released'}>"

    @property
    def data(self) -> bytes:
        """The bytes; check by `need` first that they are still there."""
        assert self._data is not None
        return self._data

    def need(self, name: str) -> None:
        """Check that the bytes are still there.

        Args:
            name: the name of the job.

        Raises:
            JobStateError: the bytes were released.
        """
        if self._data is None:
            raise JobStateError(
                f"The input of job {name!r}, {self.size:,} bytes, was released when the job ended, "
                "so the job cannot be restarted; start its command as a new job, with its input."
            )

    def let_go(self) -> None:
        """Release the bytes if they are more than 64 KiB, since the job has ended."""
        if self.size > _KEPT:
            self._data = None
