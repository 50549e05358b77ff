"""What a page may have done to a job."""

from __future__ import annotations

from collections.abc import Callable
from signal import Signals
from typing import TYPE_CHECKING

from ipyproc.errors import IpyprocError
from ipyproc.job.group import WorkerGroup
from ipyproc.model.life import stop_ladder

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job

__all__ = ["Act", "act_of", "in_sentences", "restart_on", "typed"]

Act = Callable[[], str | None]
"""Does something to a job; returns a sentence for the page, None if there is nothing to say."""

_GRACE = 2.0
_UNKNOWN = "This page asks for what this kernel does not know; reload it."


def act_of(
    job: Job,
    what: object,
    signal: object,
    worker: object,
    restart: Callable[[Job], None],
    forget: Callable[[Job], None],
) -> Act:
    """Return what a button does; it may be called on any thread.

    Args:
        job: the job.
        what: the name of the action.
        signal: the name of a signal, for the action ``signal``.
        worker: the number of a worker of a group; None for the whole job.
        restart: restarts a job.
        forget: forgets a job.
    """
    number = worker if isinstance(worker, int) and isinstance(job, WorkerGroup) else None

    def do() -> str | None:
        if what == "stop":
            job.hosted.stop(_GRACE, stop_ladder(job.hosted.spec.stop_signal))
        elif what == "restart" and number is not None and isinstance(job, WorkerGroup):
            job.restart_worker(number)
        elif what == "restart":
            restart(job)
        elif what == "signal":
            return _send_signal(job, signal, number)
        elif what == "close":
            job.close_stdin()
        elif what == "forget":
            forget(job)
        else:
            return _UNKNOWN
        return None

    return in_sentences(do)


def restart_on(io_loop: IOLoop, job: Job, failed: Callable[[str], object]) -> None:
    """Restart a job, on the loop; any thread may call it.

    Args:
        io_loop: the loop.
        job: the job.
        failed: called with the sentence of an error.
    """

    async def restart() -> None:
        try:
            await job.restart()
        except Exception as error:
            failed(str(error))

    io_loop.add_callback(restart)


def typed(job: Job, text: str, *, line: bool) -> Act:
    """Return what types a text; a ``line`` gets its newline if it has none."""
    if line and not text.endswith("\n"):
        text += "\n"
    elif job.terminal is None:
        # There is no driver of a terminal that makes a newline of the Enter key.
        text = text.replace("\r\n", "\n").replace("\r", "\n")

    def do() -> None:
        job.send(text)

    return in_sentences(do)


def _send_signal(job: Job, name: object, number: int | None) -> str | None:
    signum = Signals.__members__.get("SIG" + str(name).upper().removeprefix("SIG"))
    if signum is None:
        return _UNKNOWN
    if isinstance(job, WorkerGroup):
        job.signal(signum, number)
    else:
        job.signal(signum)
    return None


def in_sentences(do: Callable[[], object]) -> Act:
    """Return what does a thing, and returns the sentence of an error instead of raising it."""

    def act() -> str | None:
        try:
            note = do()
        except IpyprocError as error:
            return str(error)
        except OSError as error:
            return f"That failed: {error}."
        return note if isinstance(note, str) else None

    return act
