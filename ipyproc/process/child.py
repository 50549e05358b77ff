"""`Subprocess`: `subprocess.Popen` with streams and exits on a Tornado IOLoop."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
import warnings
from asyncio import Future
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, ClassVar, cast
from weakref import WeakSet

from tornado.ioloop import IOLoop
from tornado.iostream import PipeIOStream
from tornado.log import app_log

from ipyproc.process.interrupts import interrupts_after
from ipyproc.process.loops import asyncio_loop, current_as
from ipyproc.process.platform import exits
from ipyproc.process.platform.ignored import exits_kept, is_ignored

try:
    import fcntl
except ImportError:  # Windows
    pass

__all__ = ["CalledProcessError", "Subprocess"]

CalledProcessError = subprocess.CalledProcessError

_STREAMS = ("stdin", "stdout", "stderr")
_Popen = subprocess.Popen
_exit_lock = threading.Lock()


class Subprocess:
    """Wraps `subprocess.Popen` with IOStream support.

    The constructor is that of `subprocess.Popen`, with these additions:

    * ``stdin``, ``stdout`` and ``stderr`` may be `Subprocess.STREAM`, which makes the attribute of
      that name a `tornado.iostream.PipeIOStream`. The caller closes it.
    * ``io_loop`` is the loop to which the streams and the exit callbacks belong; by default the
      current one. Deprecated, as in Tornado since 4.1.

    Example::

        process = Subprocess(["sort"], stdin=Subprocess.STREAM, stdout=Subprocess.STREAM)
        await process.stdin.write(b"pear\\napple\\n")
        process.stdin.close()
        print(await process.stdout.read_until_close())
        await process.wait_for_exit()

    Attributes:
        stdin: a PipeIOStream for ``STREAM``, else what Popen has, else None.
        stdout: likewise.
        stderr: likewise.
        proc: the `subprocess.Popen`. Whoever takes the exit status through it (``proc.wait()``,
            ``proc.poll()``), or past it, disturbs no wait of ours.
        pid: the process id.
        returncode: the exit status once the exit has been seen on the loop, negative for a signal;
            None until then.
        io_loop: the loop of the streams and the callbacks.

    In a fork of this process (`os.fork`, a pool of `multiprocessing`) the streams are closed, so that
    the process sees the end of its input when the parent closes it.

    Raises:
        OSError: whatever `subprocess.Popen` raises for a program that cannot be started. Every file
            descriptor made for it has been closed by then.
        KeyboardInterrupt: an interrupt came meanwhile. The process has been killed and reaped.
        NotImplementedError: ``STREAM`` on Windows, whose pipes no Tornado loop can watch.
    """

    STREAM: ClassVar[int] = cast(int, object())

    stdin: PipeIOStream | IO[bytes] | IO[str] | None
    stdout: PipeIOStream | IO[bytes] | IO[str] | None
    stderr: PipeIOStream | IO[bytes] | IO[str] | None

    def __init__(self, *args: object, io_loop: IOLoop | None = None, **kwargs: object) -> None:
        if io_loop is not None:
            warnings.warn(
                "The io_loop argument of Subprocess is deprecated since Tornado 4.1; "
                "start the subprocess on its loop instead.",
                DeprecationWarning,
                stacklevel=2,
            )
        self._start(io_loop or IOLoop.current(), args, kwargs)

    @classmethod
    def on(cls, io_loop: IOLoop, *args: object, **kwargs: object) -> Subprocess:
        """Start a subprocess whose streams and exit belong to ``io_loop``; call from any thread.

        For callers, such as a table of jobs, whose loop is not the current one. Arguments and errors
        are those of the constructor.
        """
        self = cls.__new__(cls)
        self._start(io_loop, args, kwargs)
        return self

    @classmethod
    def of(cls, io_loop: IOLoop, popen: Callable[[], subprocess.Popen[bytes]]) -> Subprocess:
        """Start a subprocess by ``popen``; otherwise as `on` does.

        Args:
            io_loop: the loop of its exit callbacks.
            popen: starts the process and returns its Popen, which may be of a subclass.
        """
        self = cls.__new__(cls)
        self._start(io_loop, (), {}, popen)
        return self

    def _start(
        self,
        io_loop: IOLoop,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        popen: Callable[[], subprocess.Popen[bytes]] | None = None,
    ) -> None:
        if len(args) > 1:
            args, kwargs = args[:1], _merged(args, kwargs)
        self.io_loop = io_loop
        self.returncode: int | None = None
        self._callbacks: list[Callable[[int], object]] = []
        self._watched = False
        self._arming = False
        self._pidfd: exits.Pidfd | None = None
        with ExitStack() as undo:
            with interrupts_after():
                self._launch(kwargs, popen or (lambda: _started(args, kwargs)), undo)
            undo.pop_all()

    def _launch(
        self, kwargs: dict[str, object], popen: Callable[[], subprocess.Popen[bytes]], undo: ExitStack
    ) -> None:
        """Make our ends of the pipes that stand for ``STREAM``, and start the process last."""
        ours: dict[str, PipeIOStream] = {}
        with ExitStack() as childs_ends:
            for name in _STREAMS:
                if kwargs.get(name) is Subprocess.STREAM:
                    _need_unix("Subprocess.STREAM")
                    kwargs[name], ours[name] = self._pipe(name, kwargs.get("pipesize"), childs_ends, undo)
            undo.callback(self._end)
            if is_ignored():
                with exits_kept() as statuses:
                    self.proc = popen()
                    self._pidfd = exits.early_pidfd(self.proc.pid)
                if self.proc.pid in statuses:
                    self.proc.returncode = os.waitstatus_to_exitcode(statuses[self.proc.pid])
            else:
                self.proc = popen()
        self.pid = self.proc.pid
        self.stdin = ours.get("stdin", self.proc.stdin)
        self.stdout = ours.get("stdout", self.proc.stdout)
        self.stderr = ours.get("stderr", self.proc.stderr)

    def _pipe(
        self, name: str, size: object, childs_ends: ExitStack, undo: ExitStack
    ) -> tuple[int, PipeIOStream]:
        read_end, write_end = os.pipe()
        child_end, our_end = (read_end, write_end) if name == "stdin" else (write_end, read_end)
        childs_ends.callback(os.close, child_end)
        stream = _stream(self.io_loop, our_end)
        # Else its fd would be closed when it is collected, and by then the number may be somebody else's.
        undo.callback(stream.close_fd)
        _streams.add(stream)
        if isinstance(size, int) and size > 0 and hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(our_end, fcntl.F_SETPIPE_SZ, size)
        return child_end, stream

    def _end(self) -> None:
        """Kill and reap the process, if it was started, with the group that it leads."""
        proc: subprocess.Popen[bytes] | None = self.__dict__.get("proc")
        if proc is None:
            return
        if self._pidfd is not None:
            self._pidfd.close()
        proc.kill()
        if sys.platform != "win32":
            try:
                if os.getpgid(proc.pid) == proc.pid:
                    os.killpg(proc.pid, signal.SIGKILL)
            except ProcessLookupError:  # SIGCHLD is ignored, and it has gone.
                pass
        for pipe in (proc.stdin, proc.stdout, proc.stderr):
            if pipe is not None:
                pipe.close()
        proc.wait()

    def __repr__(self) -> str:
        status = self.returncode
        if status is None:
            state = f"running, pid {self.pid}"
        elif status < 0:
            state = f"ended by signal {-status}"
        else:
            state = f"exited {status}"
        return f"<Subprocess {self.proc.args!r} {state}>"

    def set_exit_callback(self, callback: Callable[[int], object]) -> None:
        """Run ``callback`` with the return code when this process exits.

        It runs once, on the subprocess's loop; also when the process has exited already. Of several
        callbacks each runs, in the order in which they were set.

        The exit is noticed by a pidfd on that loop (Linux 5.3), which needs no signal handler, or
        else by a SIGCHLD handler (see `initialize`).

        Args:
            callback: takes the return code, negative for a signal. An exception of its own is logged.

        Raises:
            OSError: the exit cannot be watched, since no more file descriptors may be opened.
            NotImplementedError: on Windows.
        """
        _need_unix("Subprocess.set_exit_callback")
        # Added first, looked after: an exit seen in another thread meanwhile finds it, or is found.
        self._callbacks.append(callback)
        if self.returncode is None and not self._watched:
            self._watched = self._arming = True
            try:
                exits.watch(self, self._pidfd)
                self._pidfd = None
            except BaseException:
                self._watched = False
                self._callbacks.remove(callback)
                raise
            finally:
                self._arming = False
        if self.returncode is not None:
            self.io_loop.add_callback(self._run_callbacks)

    def wait_for_exit(self, raise_error: bool = True) -> Future[int]:
        """Return a Future which resolves when the process exits.

        For ``await``, and for ``yield`` in a `tornado.gen.coroutine`::

            status = await process.wait_for_exit(raise_error=False)

        Any number of waits may be made, before and after the exit. Cancelling one leaves the others,
        and the process, alone. The streams are not read: what the process writes past the size of a
        pipe must be read, or it never exits.

        Args:
            raise_error: whether a return code other than 0 is an error.

        Returns:
            A Future of the return code, negative for a signal; 255 where somebody else took the exit
            status past the Popen object, or SIGCHLD is ignored, and the system does not tell it (Linux
            does since 6.15).

        Raises:
            subprocess.CalledProcessError: through the Future, with the command and the return code.
            OSError: the exit cannot be watched, since no more file descriptors may be opened.
            NotImplementedError: on Windows.

        Since Tornado 4.2.
        """
        future: Future[int] = Future(loop=asyncio_loop(self.io_loop))

        def resolve(returncode: int) -> None:
            if future.done():
                return
            if returncode != 0 and raise_error:
                future.set_exception(CalledProcessError(returncode, self._command))
            else:
                future.set_result(returncode)

        if self.returncode is not None:
            resolve(self.returncode)
        else:
            self.set_exit_callback(resolve)
        return future

    def look(self) -> None:
        """Look whether this process has exited, now and in any thread; its exit callbacks run here if so.

        For who stands in for the loop while that is held. Harmless beside a loop that runs.
        """
        if self.returncode is not None:
            self._run_callbacks()
        elif self._watched:
            try:
                status = exits.reap(self.proc)
            except ChildProcessError:
                return  # Somebody else took the status: the loop settles that.
            if status is not None:
                self._exited(status)

    @classmethod
    def initialize(cls, io_loop: IOLoop | None = None) -> None:
        """Install a SIGCHLD handler, and make it the watcher of exits.

        Needed only where the system has no pidfds and the subprocesses live on more than one loop,
        to designate the loop that runs the handler. Calling it twice is harmless. A signal handler
        is a setting of the whole process and may conflict with other libraries that set one.

        Args:
            io_loop: the loop to run the handler on, by default the current one. Deprecated, as in
                Tornado since 4.1.

        Raises:
            RuntimeError: off the main thread, where Python allows no signal handler.
            NotImplementedError: on Windows.
        """
        _need_unix("Subprocess.initialize")
        if io_loop is not None:
            warnings.warn(
                "The io_loop argument of Subprocess.initialize is deprecated since Tornado 4.1; "
                "call it on its loop instead.",
                DeprecationWarning,
                stacklevel=2,
            )
        exits.sigchld.install(io_loop or IOLoop.current())

    @classmethod
    def uninitialize(cls) -> None:
        """Remove the SIGCHLD handler and put back the one that was there before.

        What it was still watching goes on being watched, by pidfds.
        """
        exits.sigchld.uninstall()

    @property
    def _command(self) -> list[str]:
        return cast("list[str]", self.proc.args)

    def _exited(self, status: int) -> None:
        with _exit_lock:
            # The loop may see it, and who stands in for the loop.
            if self.returncode is not None:
                return
            # Popen would warn "still running" for a child whose status it never learned.
            self.returncode = self.proc.returncode = status
        # Out of set_exit_callback itself none is run: it has the loop do that.
        if not self._arming:
            self._run_callbacks()

    def _run_callbacks(self) -> None:
        while True:
            try:
                callback = self._callbacks.pop(0)
            except IndexError:
                return
            try:
                callback(cast(int, self.returncode))
            except (Exception, asyncio.CancelledError):
                app_log.error("Exception in exit callback %r", callback, exc_info=True)


def _started(args: tuple[object, ...], kwargs: dict[str, object]) -> subprocess.Popen[bytes]:
    # Looked up at each call: whoever has put something in its place wants that.
    popen = cast("Callable[..., subprocess.Popen[bytes]]", subprocess.Popen)
    return popen(*args, **kwargs)


def _merged(args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, object]:
    """Return the keyword form of Popen's positional arguments after the first."""
    parameters = [
        name
        for name, parameter in inspect.signature(_Popen).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    named = dict(zip(parameters[1:], args[1:], strict=False))
    if len(args) > len(parameters):
        raise TypeError(
            f"Subprocess takes {len(parameters)} positional arguments, {len(args)} were given; "
            "give the others by name."
        )
    if twice := named.keys() & kwargs.keys():
        raise TypeError(f"Subprocess got several values for the argument {min(twice)!r}; give one.")
    return {**named, **kwargs}


def _stream(io_loop: IOLoop, fd: int) -> PipeIOStream:
    """Make a stream of ``io_loop``, whichever loop is current here; close ``fd`` where that fails."""
    stream = PipeIOStream.__new__(PipeIOStream)
    try:
        # An IOStream takes IOLoop.current(), which off the loop's own thread makes a second loop that
        # nobody runs.
        with current_as(io_loop):
            PipeIOStream.__init__(stream, fd)
        stream.io_loop = io_loop
    except BaseException:
        try:
            stream.close_fd()
        except AttributeError:  # It has not got so far as to own it.
            os.close(fd)
        raise
    return stream


def _need_unix(what: str) -> None:
    if sys.platform == "win32":
        raise NotImplementedError(
            f"{what} needs Unix pipes and exit statuses, which the platform {sys.platform!r} has not; "
            "use WSL there."
        )


_streams: WeakSet[PipeIOStream] = WeakSet()


def _close_in_a_fork() -> None:
    # Its parent's pipes are of no use to it, and with its copies they would have no end. Through the
    # stream, which else would close the number once more, when it may be another file's.
    for stream in list(_streams):
        stream.close_fd()
    _streams.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_a_fork)
