"""What is written to a job's standard input at its start, and let go of at its end."""

from __future__ import annotations

from ipyproc.errors import JobStateError

__all__ = ["Input"]

_KEPT = 64 << 10


class Input:
    """Bytes for the standard input of a job's processes, each of which gets all of them.

    Args:
        data: the bytes.
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
        return f"<Input of {self.size:,} bytes{'' if self._data is not None else ', let go of'}>"

    @property
    def data(self) -> bytes:
        """The bytes; to be asked for by who has seen to it by `need` that they are there."""
        assert self._data is not None
        return self._data

    def need(self, name: str) -> None:
        """See to it that the bytes are there.

        Args:
            name: the job's.

        Raises:
            JobStateError: they were let go of.
        """
        if self._data is None:
            raise JobStateError(
                f"The input of job {name!r}, {self.size:,} bytes, was let go of when it ended, so it cannot "
                "be started again; start its command anew, with its input."
            )

    def let_go(self) -> None:
        """Keep the bytes no longer where they are many: the job has ended."""
        if self.size > _KEPT:
            self._data = None
