"""The pipes, or the terminal, between this process and a process of a job: its ends, and ours."""

from __future__ import annotations

import codecs
import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.feed import Feed
from ipyproc.hosts.local.stream import SpoolStream
from ipyproc.hosts.local.terminal import Gate, Terminal
from ipyproc.model.spec import JobSpec
from ipyproc.process.fds import is_want_of_fds
from ipyproc.process.platform.pty import open_pty
from ipyproc.spool.output import StreamName

__all__ = ["STREAMS", "Ends", "open_pipes", "open_terminal"]

Made = TypeVar("Made")

STREAMS: tuple[StreamName, StreamName] = ("stdout", "stderr")
"""The streams of a process on pipes; on a terminal there is only the first."""

_THIRD: StreamName = "stdout"


class StreamMaker(Protocol):
    """What makes the reading end of an fd, which it then owns."""

    def __call__(self, fd: int, name: StreamName, *, beside: bool = False) -> SpoolStream:
        """Return the reading end; ``beside`` says that it is of a third pipe."""


@dataclass
class Ends:
    """The ends of the pipes, or of the terminal.

    Attributes:
        stdin: the fd for the process's standard input.
        stdout: the fd for its standard output.
        stderr: the fd for its standard error.
        feed: our end of its standard input.
        inodes: the numbers of the pipes by which the warden finds it.
        beside: the further fds that it gets, as its last arguments.
        streams: our ends of its output.
        terminal: the terminal; None for pipes.
        gate: where it waits until it is guarded; None for pipes.
    """

    stdin: int
    stdout: int
    stderr: int
    feed: Feed
    inodes: Sequence[int] = ()
    beside: list[int] = field(default_factory=list)
    streams: list[SpoolStream] = field(default_factory=list)
    terminal: Terminal | None = None
    gate: Gate | None = None


def open_pipes(
    driver: Driver, make_stream: StreamMaker, undo: ExitStack, theirs: ExitStack, *, beside: bool
) -> Ends:
    """Open a pipe for each stream of a process.

    Args:
        driver: the driver of the loop.
        make_stream: makes our ends of the output.
        undo: closes our ends if the process cannot be started.
        theirs: closes the process's ends, once it has been started.
        beside: whether there is a third pipe for output.

    Raises:
        OSError: this process may open no more fds.
    """
    stdin, feed = _open_input(driver, undo, theirs)
    streams: list[SpoolStream] = []
    write_ends: list[int] = []
    for name in (*STREAMS, _THIRD)[: len(STREAMS) + beside]:
        is_third = len(streams) == len(STREAMS)
        read_end, write_end = os.pipe()
        theirs.callback(os.close, write_end)
        stream = _owning(read_end, lambda: make_stream(read_end, name, beside=is_third))  # noqa: B023
        undo.callback(stream.drop)
        write_ends.append(write_end)
        streams.append(stream)
    inodes = [os.fstat(fd).st_ino for fd in write_ends]
    stdout, stderr, *others = write_ends
    return Ends(stdin, stdout, stderr, feed, inodes, others, streams)


def open_terminal(
    spec: JobSpec, driver: Driver, make_stream: StreamMaker, undo: ExitStack, theirs: ExitStack
) -> Ends:
    """Open a pseudo-terminal for a process, and a pipe for its standard input if the spec has that.

    The stream owns the master of the terminal, the feed a copy of it, and the `Terminal` the slave.

    Args:
        spec: says the size, and whether the input is the terminal.
        driver: the driver of the loop.
        make_stream: makes our end of the output.
        undo: closes our ends if the process cannot be started.
        theirs: closes the process's ends, once it has been started.

    Raises:
        OSError: this process may open no more fds, or the system has no more terminals.
    """
    try:
        is_utf8 = codecs.lookup(spec.encoding).name == "utf-8"
        master, slave = open_pty(spec.rows, spec.columns, utf8=is_utf8)
    except OSError as error:
        raise _no_terminal(error) from None
    with ExitStack() as unowned:
        unowned.callback(os.close, master)
        terminal = _owning(slave, lambda: Terminal(slave))
        undo.callback(terminal.close)
        if spec.reads_terminal:
            stdin, writer = slave, os.dup(master)
            feed = _owning(writer, lambda: Feed(writer, driver, terminal.end_of_file))
            undo.callback(feed.close)
        else:
            stdin, feed = _open_input(driver, undo, theirs)
        gate = Gate()
        theirs.callback(gate.close)
        unowned.pop_all()
    stream = _owning(master, lambda: make_stream(master, "stdout"))
    undo.callback(stream.drop)
    return Ends(stdin, slave, slave, feed, gate.inodes, streams=[stream], terminal=terminal, gate=gate)


def _open_input(driver: Driver, undo: ExitStack, theirs: ExitStack) -> tuple[int, Feed]:
    childs_end, our_end = os.pipe()
    theirs.callback(os.close, childs_end)
    feed = _owning(our_end, lambda: Feed(our_end, driver))
    undo.callback(feed.close)
    os.set_blocking(our_end, False)
    return childs_end, feed


def _no_terminal(error: OSError) -> OSError:
    """Return the error to raise where a terminal could not be opened, with a sentence if it has none."""
    if is_want_of_fds(error) or error.errno == errno.ENOMEM:
        return error
    # ENOENT would read as if the program did not exist.
    why = os.strerror(error.errno or 0)
    return OSError(error.errno, f"The system has no terminal for the job ({why}); start it on pipes.")


def _owning(fd: int, make: Callable[[], Made]) -> Made:
    """Return the object that ``make`` creates to own an fd; close the fd if ``make`` raises."""
    try:
        return make()
    except BaseException:
        os.close(fd)
        raise
