"""The reading half of a job: its output as bytes by offset, as text, as lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from ipyproc.hosts.base import HostedJob
from ipyproc.job.facts import JobFacts
from ipyproc.job.waiters import Waiters
from ipyproc.screen.text import ScreenText, shown
from ipyproc.spool.output import LineReader, Piece, StreamName, decoders_of

__all__ = ["JobOutput"]


class JobOutput(JobFacts):
    """The output of a job, while it runs and after its end. Any thread may call any method.

    Args:
        hosted: the job, as its host holds it.
    """

    def __init__(self, hosted: HostedJob) -> None:
        super().__init__(hosted)
        self._reads = Waiters()

    @property
    def output(self) -> str:
        """The output so far, both streams in the order of their arrival."""
        return self.hosted.output.text()

    @property
    def stdout(self) -> str:
        """The standard output so far."""
        return self.hosted.output.text("stdout")

    @property
    def stderr(self) -> str:
        """The standard error so far."""
        return self.hosted.output.text("stderr")

    @property
    def screen(self) -> ScreenText:
        """What a terminal shows of the output so far: ``screen.text`` without escapes, and ``screen.html``.

        The work is proportional to the output, as `render` says.
        """
        return self.render()

    @property
    def encoding(self) -> str:
        """The encoding of its output and input."""
        return self.hosted.spec.encoding

    @property
    def lingers(self) -> bool:
        """True if it has ended, but more may come: it left processes or pipes open, or is to be restarted."""
        return self.done and (self.hosted.lingers or self.hosted.status().again)

    @property
    def size(self) -> int:
        """The offset past the newest byte of the output."""
        return self.hosted.output.end

    def tail(self, n: int = 10, max_bytes: int | None = None) -> str:
        """Return the last ``n`` lines of its output, from its last ``max_bytes`` bytes at most."""
        return self.hosted.output.tail(n, max_bytes)

    def render(self, max_bytes: int | None = None) -> ScreenText:
        """Return what a terminal shows of the output so far, or of its last ``max_bytes`` bytes.

        The work is proportional to the output: about 10 ms/MB of text, up to 500 ms/MB where a program
        draws. For a large output call it in a thread, as ``await asyncio.to_thread(job.render)``, so that the
        loop goes on. The terminal has the sizes that the job's had.
        """
        end = self.size
        start = 0 if max_bytes is None else max(0, end - max_bytes)
        spec = self.hosted.spec
        rows, columns = spec.rows, spec.columns
        later: list[tuple[int, ...]] = []
        for at, *size in self.hosted.sizes:
            if at <= start:
                rows, columns = size
            else:
                later.append((at, *size))
        return shown(self._texts(start, end, later), rows, columns, newline=not spec.tty)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of its output from offset ``start`` to ``stop``, both streams as they came.

        Offsets count all bytes that came, from 0; bytes dropped because of ``max_output`` are left out.
        """
        return self.hosted.output.read(start, stop)

    def pieces(self, start: int = 0, stop: int | None = None) -> list[Piece]:
        """Return the pieces of its output from offset ``start`` to ``stop``, with their streams and times."""
        return list(self.hosted.output.pieces(start, stop))

    def runs(self, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        """Return the bytes from offset ``start`` to ``stop``, in stretches of one stream each."""
        return [
            (name, self.hosted.output.read(first, last))
            for name, first, last in self.hosted.output.runs(start, stop)
        ]

    def _texts(
        self, start: int, stop: int, sizes: Sequence[tuple[int, ...]]
    ) -> Iterator[str | tuple[int, int]]:
        """Yield the text between two offsets, both streams in the order of their arrival.

        Between them come the rows and columns of ``sizes``, each from its offset on.
        """
        decoders = decoders_of(self.encoding)
        at = start
        for until, *size in (*sizes, (stop,)):
            for name, first, last in self.hosted.output.runs(at, until):
                yield decoders[name].decode(self.hosted.output.read(first, last))
            if size:
                yield size[0], size[1]
            at = until
        for decoder in decoders.values():
            yield decoder.decode(b"", final=True)

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield each line of its output once, without its end, from the beginning to the end of the job."""
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
            # Yield to the loop, in case lines come faster than they are consumed.
            await asyncio.sleep(0)
        for line in reader.rest():
            yield line
