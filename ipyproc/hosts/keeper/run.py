"""A process of a kept job: as the local host has it, with its fds kept so that another runner can go on."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Mapping
from contextlib import ExitStack
from signal import SIGKILL

from ipyproc.hosts.keeper.adopted import Adopted
from ipyproc.hosts.keeper.places import Place
from ipyproc.hosts.keeper.post import Post
from ipyproc.hosts.keeper.record import RunFacts, input_path
from ipyproc.hosts.local.ends import STREAMS, Ends
from ipyproc.hosts.local.feed import Feed
from ipyproc.hosts.local.group import HelperRun
from ipyproc.hosts.local.resources import Resources
from ipyproc.hosts.local.run import Run, RunListener, Side
from ipyproc.hosts.local.session import Session
from ipyproc.hosts.local.stream import SpoolStream
from ipyproc.hosts.local.terminal import Terminal
from ipyproc.model.spec import JobSpec
from ipyproc.process.platform.pidfd import open_pidfd
from ipyproc.process.platform.processes import start_time
from ipyproc.spool.output import Output

__all__ = ["KeptHelperRun", "KeptRun"]

# What the holder keeps: the names that begin with "in" it does not look at.
_STDIN, _SLAVE, _THROUGH = "in", "in-slave", ("in-r", "in-w")
_BESIDE = "events"
_PID = "pid"
# ioctl_tty(2), Linux 4.13: a slave by its master, whatever is mounted at /dev/pts.
_TIOCGPTPEER = 0x5441
_HANG_UP_MS = 2000
_UNKNOWN = "its exit status is not known, since its holder was killed"


class KeptRun(Run):
    """One process of a kept job; see `Run`.

    Args:
        spec: what runs, and how.
        resources: the resources of the host.
        output: the output of the job, in named files.
        listener: the listener to notify.
        place: the directory of the job.
        post: where the holder is told what to keep.
        side: the sink of a third pipe; None for no pipe.
    """

    def __init__(
        self,
        spec: JobSpec,
        resources: Resources,
        output: Output,
        listener: RunListener,
        place: Place,
        post: Post,
        side: Side | None = None,
    ) -> None:
        super().__init__(spec, resources, output, listener, side)
        self._place = place
        self._post = post
        self._through: tuple[int, int] | None = None
        self._pidfd: int | None = None

    def start(self) -> None:
        """Start the process; see `Run.start`."""
        super().start()
        self._pidfd = open_pidfd(self.pid)
        self._keep_pidfd()

    def resume(self, facts: RunFacts, fds: Mapping[str, int]) -> None:
        """Take over a process that another runner has started.

        Args:
            facts: what that one has written of it.
            fds: what the holder has kept, by name; they are this object's from now on.
        """
        self.started, self.began, self.offset = facts.started, facts.began, facts.offset
        fds = dict(fds)
        self._post.knows(set(fds))
        self._resume_pidfd(facts, fds)
        process = Adopted(facts.pid, facts.start_time, self._place, self._driver.io_loop, self._pidfd)
        self._process = process  # type: ignore[assignment]
        self._takes_input = facts.takes_input
        self._resume_ends(fds)
        self.session = Session(
            facts.pid,
            self._driver,
            self._resources.census,
            self._listener.lock,
            self._members_changed,
        )
        self._driver.add(self)
        for stream in self._streams:
            self._resources.pipes.add(stream)
        if facts.status is None:
            process.set_exit_callback(self._exited)
            return
        self.status = facts.status
        self._let_go_of_pidfd()
        self._feed.close()
        self._close_terminal()
        self.session.leader_exited()

    def facts(self) -> RunFacts:
        """Return what another runner has to know of it."""
        started = start_time(self.pid) if self.status is None else 0
        return RunFacts(
            self.pid, started or 0, self.started, self.began, self.offset, self.status, self._takes_input
        )

    def kept_fds(self) -> dict[str, int]:
        """Return the fds that the holder keeps, by name, as this process has them."""
        found: dict[str, int] = {}
        for stream in self._streams:
            if not stream.at_end:
                found[self._key(stream)] = stream.fileno()
                found.update(zip(_THROUGH, stream.through or (), strict=False))
        if self._terminal is not None:
            if (slave := self._terminal.fileno()) is not None:
                found[_SLAVE] = slave
        elif self._feed.open and (writing := self._feed.fileno()) is not None:
            found[_STDIN] = writing
        if self._pidfd is not None:
            found[_PID] = self._pidfd
        return found

    @property
    def note(self) -> str:
        """A remark on its exit status; empty where that is known."""
        return _UNKNOWN if isinstance(self._process, Adopted) and self._process.is_unknown else ""

    @property
    def is_settling(self) -> bool:
        """Whether its exit was seen, and its status is still looked for, which no other runner would tell."""
        return isinstance(self._process, Adopted) and self._process.is_settling

    def _resume_pidfd(self, facts: RunFacts, fds: dict[str, int]) -> None:
        """Take its pidfd from what is kept: it tells the status of a process that somebody has reaped."""
        self._pidfd = fds.pop(_PID, None)
        if self._pidfd is not None or facts.status is not None:
            return
        # The number may be another's by now: what is opened first is what is looked at then.
        pidfd = open_pidfd(facts.pid)
        if pidfd is not None and start_time(facts.pid) != facts.start_time:
            os.close(pidfd)
            return
        self._pidfd = pidfd
        self._keep_pidfd()

    def _keep_pidfd(self) -> None:
        if self._pidfd is not None:
            self._post.keep(_PID, self._pidfd)

    def _let_go_of_pidfd(self) -> None:
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            self._post.drop(_PID)
            os.close(pidfd)

    def _resume_ends(self, fds: dict[str, int]) -> None:
        for stream in STREAMS:
            if (fd := fds.pop(stream, None)) is not None:
                self._streams.append(self._stream(fd, stream))
        if self._side is not None and (fd := fds.pop(_BESIDE, None)) is not None:
            self._streams.append(self._stream(fd, STREAMS[0], beside=True))
        master = self._streams[0].fileno() if self._spec.tty and self._streams else None
        self._open = len(self._streams)
        if master is not None:
            if (slave := fds.pop(_SLAVE, None)) is None:
                slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            self._terminal = Terminal(slave)
            reading, writing = (fds.pop(name, None) for name in _THROUGH)
            if reading is not None and writing is not None:
                self._streams[0].through = reading, writing
        if master is not None and self._terminal is not None and self._spec.reads_terminal:
            self._feed = Feed(os.dup(master), self._driver, self._terminal.end_of_file)
        elif (fd := fds.pop(_STDIN, None)) is not None:
            os.set_blocking(fd, False)
            self._feed = Feed(fd, self._driver)
            self._feed.on_close = self._input_closed
        else:
            self._feed = Feed(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), self._driver)
            self._feed.close()
        for fd in fds.values():
            os.close(fd)

    # What differs from the local host's

    def _open_ends(self, undo: ExitStack, theirs: ExitStack) -> Ends:
        ends = super()._open_ends(undo, theirs)
        undo.callback(self._post.drop_all)
        self._post.drop_all()
        for fd, name, is_beside in ends.unread:
            self._post.keep(_BESIDE if is_beside else name, fd)
        if ends.terminal is not None:
            self._post.keep(_SLAVE, ends.stdout)
            self._through = os.pipe()
            undo.callback(self._close_through)
            for end, fd in zip(_THROUGH, self._through, strict=True):
                os.set_blocking(fd, False)
                self._post.keep(end, fd)
        if self._spec.stdin is not None:
            # A file: nobody has to feed it, and who goes on need not know how far it was read.
            ends.feed.close()
            ends.stdin = os.open(input_path(self._place), os.O_RDONLY | os.O_CLOEXEC)
            theirs.callback(os.close, ends.stdin)
        elif ends.terminal is None:
            if (writing := ends.feed.fileno()) is not None:
                self._post.keep(_STDIN, writing)
            ends.feed.on_close = self._input_closed
        return ends

    def _take_streams(self, ends: Ends) -> None:
        super()._take_streams(ends)
        if self._through is not None:
            self._streams[0].through, self._through = self._through, None

    def _key(self, stream: SpoolStream) -> str:
        return stream.name if stream.sink is self._output else _BESIDE

    def _close_through(self) -> None:
        through, self._through = self._through, None
        for fd in through or ():
            os.close(fd)

    def _input_closed(self) -> None:
        self._post.drop(_STDIN)

    def _close_terminal(self) -> None:
        super()._close_terminal()
        self._post.drop(_SLAVE)

    def _ended(self, stream: SpoolStream) -> None:
        super()._ended(stream)
        if stream.told:
            self._post.drop(self._key(stream))
            for name in _THROUGH:
                self._post.drop(name)

    def drain(self) -> None:
        """Read what its pipes hold, up to a bound; see `Run.drain`."""
        self._wait_for_hang_up()
        super().drain()

    def _wait_for_hang_up(self) -> None:
        """Wait until the holder has let go of the slave, or a bound if another process has it too.

        Until then the terminal has not come to its end, as if a process that is on its own held it open. One
        of the session that is left may do so: then nothing is waited for.
        """
        if self._terminal is None or not self._streams or self._streams[0].at_end or self.session.left:
            return
        poll = select.poll()
        poll.register(self._streams[0].fileno(), 0)  # POLLHUP is always told.
        poll.poll(_HANG_UP_MS)

    def _note_exit(self, status: int) -> None:
        super()._note_exit(status)
        if self.status is not None:
            # Its status has been written down.
            self._let_go_of_pidfd()

    def abandon(self) -> int | None:
        """End it with SIGKILL and read what it wrote; see `Run.abandon`."""
        status = super().abandon()
        self._let_go_of_pidfd()
        self._post.drop_all()
        return -SIGKILL if status is None else status


class KeptHelperRun(HelperRun, KeptRun):
    """The helper of a kept group; see `HelperRun`. Its first message is in a file: nobody has to feed it."""

    def _open_ends(self, undo: ExitStack, theirs: ExitStack) -> Ends:
        ends = super()._open_ends(undo, theirs)
        start = os.open(input_path(self._place), os.O_RDONLY | os.O_CLOEXEC)
        theirs.callback(os.close, start)
        ends.beside.append(start)
        return ends
