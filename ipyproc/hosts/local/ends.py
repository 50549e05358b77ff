"""The pipes, or the terminal, between this process and a process of a job: its ends, and ours."""

from __future__ import annotations

import codecs
import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol, TypeVar

from ipyproc.hosts.local.driver import Driver
from ipyproc.hosts.local.feed import Feed
from ipyproc.hosts.local.stream import SpoolStream
from ipyproc.hosts.local.terminal import Gate, Terminal, is_spawned
from ipyproc.model.spec import JobSpec
from ipyproc.process.fds import is_want_of_fds
from ipyproc.process.platform import pty
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


class Ends:
    """The ends of the pipes, or of the terminal.

    Args:
        stdin: the fd for the process's standard input.
        feed: our end of its standard input.

    Attributes:
        stdin: likewise.
        feed: likewise.
        stdout: the fd for the process's standard output.
        stderr: the fd for its standard error.
        marks: the numbers by which the warden finds it; see `Warden.expect`.
        beside: the further fds that it gets, as its last arguments.
        terminal: the terminal; None for pipes.
        gate: where it waits until it is guarded; None if it runs at once.
        unread: our ends of the output that no stream reads yet, each with its name, and whether it is of a
            third pipe.
    """

    def __init__(self, stdin: int, feed: Feed) -> None:
        self.stdin = stdin
        self.feed = feed
        self.stdout = -1
        self.stderr = -1
        self.marks: Sequence[int] = ()
        self.beside: list[int] = []
        self.terminal: Terminal | None = None
        self.gate: Gate | None = None
        self.unread: list[tuple[int, StreamName, bool]] = []

    def leave_unread(self, fd: int, name: StreamName, beside: bool = False) -> None:
        """Own our end of an output."""
        self.unread.append((fd, name, beside))

    def take_streams(self, make_stream: StreamMaker) -> list[SpoolStream]:
        """Return a stream for each of our ends of the output, which owns it from now on."""
        streams: list[SpoolStream] = []
        try:
            while self.unread:
                fd, name, beside = self.unread[0]
                streams.append(make_stream(fd, name, beside=beside))
                del self.unread[0]
        except BaseException:
            for stream in streams:
                stream.drop()
            raise
        return streams

    def close_unread(self) -> None:
        """Close our ends of the output that no stream owns."""
        while self.unread:
            os.close(self.unread.pop()[0])


def open_pipes(driver: Driver, undo: ExitStack, theirs: ExitStack, *, beside: bool) -> Ends:
    """Open a pipe for each stream of a process.

    Args:
        driver: the driver of the loop.
        undo: closes our ends if the process cannot be started.
        theirs: closes the process's ends, once it has been started.
        beside: whether there is a third pipe for output.

    Raises:
        OSError: this process may open no more fds.
    """
    ends = Ends(*_open_input(driver, undo, theirs))
    undo.callback(ends.close_unread)
    write_ends: list[int] = []
    for name in (*STREAMS, _THIRD)[: len(STREAMS) + beside]:
        read_end, write_end = os.pipe()
        ends.leave_unread(read_end, name, len(write_ends) == len(STREAMS))
        theirs.callback(os.close, write_end)
        write_ends.append(write_end)
    ends.marks = [os.fstat(fd).st_ino for fd in write_ends]
    ends.stdout, ends.stderr, *ends.beside = write_ends
    return ends


def open_terminal(spec: JobSpec, driver: Driver, undo: ExitStack, theirs: ExitStack) -> Ends:
    """Open a pseudo-terminal for a process, and a pipe for its standard input if the spec has that.

    The stream owns the master of the terminal, the feed a copy of it, and the `Terminal` the slave.

    Args:
        spec: says the size, and whether the input is the terminal.
        driver: the driver of the loop.
        undo: closes our ends if the process cannot be started.
        theirs: closes the process's ends, once it has been started.

    Raises:
        OSError: this process may open no more fds, or the system has no more terminals.
    """
    try:
        is_utf8 = codecs.lookup(spec.encoding).name == "utf-8"
        master, slave = pty.open_pty(spec.rows, spec.columns, utf8=is_utf8)
    except OSError as error:
        raise _no_terminal(error) from None
    with ExitStack() as unowned:
        unowned.callback(os.close, master)
        terminal = _owning(slave, lambda: Terminal(slave))
        undo.callback(terminal.close)
        if spec.reads_terminal:
            writer = os.dup(master)
            feed = _owning(writer, lambda: Feed(writer, driver, terminal.end_of_file))
            undo.callback(feed.close)
            ends = Ends(slave, feed)
        else:
            ends = Ends(*_open_input(driver, undo, theirs))
        number = pty.number_of(slave) if is_spawned(spec) else None
        if number is None:
            ends.gate = gate = Gate()
            theirs.callback(gate.close)
            ends.marks = gate.inodes
        else:
            ends.marks = [-number - 1, pty.made_at(slave)]
        unowned.pop_all()
    ends.leave_unread(master, "stdout")
    undo.callback(ends.close_unread)
    ends.stdout = ends.stderr = slave
    ends.terminal = terminal
    return ends


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
