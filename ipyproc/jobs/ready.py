"""Whether a job is ready: by a pattern in its output, or by an address that accepts."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Callable

from tornado.ioloop import IOLoop

from ipyproc.jobs.model import Endpoint
from ipyproc.jobs.output import Output
from ipyproc.process.watch import asyncio_loop

__all__ = ["Readiness"]

_FIRST_TRY = 0.02
_SLOWEST_TRY = 0.5
_CHUNK = 256 << 10
_CARRY = 16 << 10


class Readiness:
    """Looks out for the sign that a job is ready; lives on the job's loop.

    Args:
        sign: a pattern in the output, an endpoint that accepts connections, or None for at once.
        output: the job's output.
        on_ready: called on the loop when the sign is there.
    """

    def __init__(
        self,
        sign: re.Pattern[str] | Endpoint | None,
        output: Output,
        on_ready: Callable[[], None],
    ) -> None:
        self.ready = sign is None
        self._sign = sign
        self._on_ready = on_ready
        self._output = output
        self._position = 0
        self._text = ""
        self._decoder = codecs.getincrementaldecoder(output.encoding)("replace")
        self._task: asyncio.Task[None] | None = None

    @property
    def wants_output(self) -> bool:
        """Whether new output should be looked at."""
        return not self.ready and isinstance(self._sign, re.Pattern)

    def begin(self, io_loop: IOLoop, offset: int) -> None:
        """A process has been started: looks out for its sign, in what it writes.

        Args:
            io_loop: the loop on which it is looked after.
            offset: where its output begins; some of it may have been read by now.
        """
        self.ready = self._sign is None
        self._position = offset
        self._text = ""
        self._decoder.reset()
        if isinstance(self._sign, Endpoint):
            self._task = asyncio_loop(io_loop).create_task(self._connect(self._sign))
        elif self._output.end > offset:
            io_loop.add_callback(self.look)

    def end(self) -> None:
        """The process has ended."""
        task, self._task = self._task, None
        if task is not None and not task.get_loop().is_closed():
            task.cancel()

    def look(self) -> None:
        """Looks at the output that came since the last look."""
        output = self._output
        while self.wants_output and self._position < output.end:
            start = max(self._position, output.start)
            stop = min(output.end, start + _CHUNK)
            self._text += self._decoder.decode(output.read(start, stop))
            self._position = stop
            assert isinstance(self._sign, re.Pattern)
            if self._sign.search(self._text):
                self._found()
            # The sign may stand half in this piece and half in the next. What is carried begins with
            # a line, where there is one: a ^ in the sign would match wherever it is cut.
            if len(self._text) > _CARRY:
                carried = self._text[-_CARRY:]
                self._text = carried[carried.find("\n") + 1 :]

    def _found(self) -> None:
        self.ready = True
        self._text = ""
        self._on_ready()

    async def _connect(self, endpoint: Endpoint) -> None:
        pause = _FIRST_TRY
        while True:
            try:
                _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
            except OSError:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _SLOWEST_TRY)
                continue
            writer.close()
            self._found()
            return
