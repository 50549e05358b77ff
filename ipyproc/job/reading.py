"""The reading half of a job: its output, as bytes by offset, as text, as lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ipyproc.hosts.base import HostedJob
from ipyproc.job.facts import JobFacts
from ipyproc.job.waiters import Waiters
from ipyproc.spool.output import LineReader, Piece, StreamName

__all__ = ["JobOutput"]


class JobOutput(JobFacts):
    """What can be read of a job, while it runs and after its end. All methods may be called from any thread.

    Args:
        hosted: the job, as its host holds it.
    """

    def __init__(self, hosted: HostedJob) -> None:
        super().__init__(hosted)
        self._reads = Waiters()

    @property
    def output(self) -> str:
        """Its output so far, both streams in the order of their arrival."""
        return self.hosted.output.text()

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return self.hosted.output.text("stdout")

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return self.hosted.output.text("stderr")

    @property
    def encoding(self) -> str:
        """What its bytes are as text."""
        return self.hosted.spec.encoding

    @property
    def lingers(self) -> bool:
        """True when it has ended, and there may be more of it: what it left running, and its output."""
        return self.done and self.hosted.lingers

    @property
    def size(self) -> int:
        """The offset past the newest byte of its output."""
        return self.hosted.output.end

    def tail(self, n: int = 10, max_bytes: int | None = None) -> str:
        """The last ``n`` lines of its output, of its last ``max_bytes`` bytes at most."""
        return self.hosted.output.tail(n, max_bytes)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of its output from offset ``start`` to ``stop``, both streams as they came.

        Offsets count all bytes that came, from 0 on; those that went because of ``max_output`` are left out.
        """
        return self.hosted.output.read(start, stop)

    def pieces(self, start: int = 0, stop: int | None = None) -> list[Piece]:
        """The pieces of its output from offset ``start`` to ``stop``, each with its stream and its time."""
        return list(self.hosted.output.pieces(start, stop))

    def runs(self, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        """The bytes from offset ``start`` to ``stop``, in stretches of one stream each."""
        return [
            (name, self.hosted.output.read(first, last))
            for name, first, last in self.hosted.output.runs(start, stop)
        ]

    async def __aiter__(self) -> AsyncIterator[str]:
        """The lines of its output without their ends: from the beginning, each once, to its end."""
        reader = LineReader(self.hosted.output)
        while True:
            future = self._reads.future()
            try:
                done = self.done
                lines = reader.take()
                if lines is None:
                    if done:
                        break
                    await future
                    continue
            finally:
                self._reads.forget(future)
            for line in lines:
                yield line
            # Where lines come faster than they are taken, the loop has other things to do too.
            await asyncio.sleep(0)
        for line in reader.rest():
            yield line
