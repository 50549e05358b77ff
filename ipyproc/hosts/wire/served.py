"""A job of a host, as the clients of a server share it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import islice

from tornado.ioloop import IOLoop

from ipyproc.hosts.base import HostedJob
from ipyproc.hosts.wire.values import fields_of_status
from ipyproc.model.event import Event, EventKind
from ipyproc.spool.output import Output

__all__ = ["Served", "picture_of", "piece_of"]

_PIECE = 256 << 10
_MOST_PIECES = 4096

_CODES = {"stdout": 1, "stderr": 2}


class Served:
    """A job that is served; to be used on the loop.

    Args:
        ticket: what clients find it by.
        job: the host's.
        owner: the id of the client that started it.
        io_loop: the loop.

    Attributes:
        ticket: likewise.
        job: likewise.
        owner: likewise.
    """

    def __init__(self, ticket: str, job: HostedJob, owner: str, io_loop: IOLoop) -> None:
        self.ticket = ticket
        self.job = job
        self.owner = owner
        self._io_loop = io_loop
        self._watchers: dict[Hashable, Callable[[bool], None]] = {}
        self._has_news = False
        self._is_told = False
        job.listen(self._happened)

    @property
    def is_over(self) -> bool:
        """Return whether it has ended, and has left nothing running."""
        status = self.job.status()
        return status.state.done and not status.left and not status.again

    def watch(self, key: Hashable, told: Callable[[bool], None]) -> None:
        """Have ``told`` called when there is something of it to tell: True where it is more than output."""
        self._watchers[key] = told

    def unwatch(self, key: Hashable) -> None:
        """End what `watch` began."""
        self._watchers.pop(key, None)

    def tell(self) -> None:
        """Have everybody who watches told how it is."""
        self._has_news = True
        self._tell()

    def _happened(self, event: Event) -> None:
        # In any thread. One call on the loop serves for all that happens until it comes.
        if event.kind is not EventKind.WROTE:
            self._has_news = True
        if not self._is_told:
            self._is_told = True
            self._io_loop.add_callback(self._tell)

    def _tell(self) -> None:
        # In this order: what happens meanwhile is told by another call.
        self._is_told = False
        news, self._has_news = self._has_news, False
        for told in list(self._watchers.values()):
            told(news)


def picture_of(job: HostedJob) -> dict[str, object]:
    """Return what there is to know of a job, the output's end last: what it wrote before is not missed."""
    status = job.status()
    picture: dict[str, object] = {
        "status": fields_of_status(status),
        "takes_input": job.takes_input,
        "lingers": job.lingers,
    }
    output = job.output
    return {**picture, "lost": output.lost, "because": output.lost_because, "end": output.end}


def piece_of(output: Output, offset: int) -> tuple[dict[str, object], bytes]:
    """Return output from ``offset`` on, or from where it is kept: bounded, with streams and times.

    Raises:
        OSError: it cannot be read for want of fds.
    """
    with output.lock:
        start = max(offset, output.start)
        stop = min(output.end, start + _PIECE)
        pieces = list(islice(output.pieces(start, stop), _MOST_PIECES))
        if pieces:
            stop = pieces[-1].stop
        body = output.read(start, stop)
    whole = len(body) == stop - start and bool(pieces)
    fields: dict[str, object] = {
        "at": start,
        "to": stop,
        # Somebody may have removed its file: a hole has its length, and no pieces.
        "pieces": [[_CODES[one.stream], one.at, one.stop - one.start] for one in pieces] if whole else [],
    }
    return fields, body if whole else b""
