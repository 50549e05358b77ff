"""Forked workers under supervision: started, replaced when they fail, ended with their parent.

Only our own children are waited for, by a pidfd each where the system has them (Linux 5.3,
``pidfd_open(2)``), by SIGCHLD and one ``waitpid(2)`` a worker elsewhere. `fork_processes` is the
public front; a program that shows or steers its workers uses `Supervisor` itself.
"""

from __future__ import annotations

import gc
import math
import os
import select
import time

from ipyproc.process import log
from ipyproc.process.bare import deque, partial, signal
from ipyproc.process.events import Event, Exited, GaveUp, Restarting, Started
from ipyproc.process.fds import flush_standard_streams
from ipyproc.process.platform.lifeline import Lifeline
from ipyproc.process.signals import BlockedSignals, SignalQueue, in_foreground
from ipyproc.process.worker import Worker
from ipyproc.signal_names import signal_name

# Known to type checkers by its name: `typing` is slow to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "GRACE_SECONDS",
    "Event",
    "Exited",
    "GaveUp",
    "Restarting",
    "Started",
    "Supervisor",
    "task_id",
]

GRACE_SECONDS = 5.0
"""How long a worker that was told to end may take before SIGKILL."""

_TERMINAL_HEAD_START_SECONDS = 0.5
_TICK_SECONDS = 0.05
_HUSH_SECONDS = 0.005
_NEWS_LIMIT = 64

_task_id: int | None = None


def task_id() -> int | None:
    """Return the current task id, if any.

    Returns:
        The number that `fork_processes` returned in this worker; None if this process was not
        created by `fork_processes`.
    """
    return _task_id


class Supervisor:
    """Forks workers, replaces those that fail, and ends them all on every way out.

    The thread that calls `run` owns the state. The callbacks, ``on_event`` and those of `add_reader`,
    run on it, in the parent only; they may call `send_signal`, `restart` and `stop`.

    Args:
        num_processes: how many workers, > 0.
        max_restarts: how many restarts are granted, over all workers together.
        on_event: is told what happens, in order, up to a few milliseconds late.
        before_fork: is called with the task id right before each fork, in the parent, such as to make
            pipes for that worker.
        grace: seconds from the signal that ends a worker to SIGKILL.
    """

    def __init__(
        self,
        num_processes: int,
        max_restarts: int = 100,
        *,
        on_event: Callable[[Event], object] | None = None,
        before_fork: Callable[[int], object] | None = None,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._num_processes = num_processes
        self._max_restarts = max_restarts
        self._on_event = on_event
        self._before_fork = before_fork
        self._grace = grace
        self._restarts = 0
        self._workers: dict[int, Worker] = {}
        self._readers: dict[int, Callable[[], object]] = {}
        self._poll = select.poll()
        # What ends the workers: at each monotonic time a signal; None abandons them. Empty: none is due
        # to end.
        self._escalation: deque[tuple[float, int | None]] = deque()
        self._stopped_abnormally = 0
        self._gave_up = False
        self._in_worker = False
        self._must_look = False
        # What is yet to be logged and told to the observer.
        self._news: deque[Callable[[], object]] = deque()
        self._signals = SignalQueue()
        self._blocked_signals = BlockedSignals()
        self._lifeline = Lifeline()

    def __repr__(self) -> str:
        state = "without workers" if not self._workers else "stopping" if self._escalation else "running"
        return f"<Supervisor {state}, {len(self._workers)} of {self._num_processes} workers alive>"

    def run(self) -> int | None:
        """Fork the workers and supervise them until the last has ended; call once.

        Returns:
            In a worker its task id; in the parent None.

        Raises:
            RuntimeError: the restarts were used up; or SIGTERM or SIGINT ended workers that did not
                exit normally, and the handler that was there before let the parent go on.
            OSError: ``fork(2)`` failed; the workers started before it have been ended.
        """
        try:
            number = self._supervise()
        except BaseException:
            if not self._in_worker:
                self._end_undisturbed()
            raise
        finally:
            if not self._in_worker:
                self._release()
                self._raise_received_signal()
        if number is None:
            self._raise_for_outcome()
        return number

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Call ``callback`` whenever ``fd`` is readable or at its end; `remove_reader` it there.

        The caller owns ``fd``. Each worker inherits it, and has to close it.
        """
        self._readers[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def remove_reader(self, fd: int) -> None:
        """Forget ``fd``; call before ``fd`` is closed."""
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def send_signal(self, task_id: int, signum: int) -> bool:
        """Send a signal to one worker; return False if no worker of this task id lives."""
        worker = self._workers.get(task_id)
        return worker is not None and worker.send_signal(signum)

    def restart(self, task_id: int, signum: int = signal.SIGTERM) -> bool:
        """End one worker by ``signum`` and replace it, however it exits, at no charge to the budget.

        Returns:
            False if no worker of this task id lives, or all are being ended.
        """
        worker = self._workers.get(task_id)
        if worker is None or self._escalation:
            return False
        worker.recycled = True
        return worker.send_signal(signum)

    def stop(self, signum: int = signal.SIGTERM, *, delay: float = 0.0) -> None:
        """End all workers: after ``delay`` seconds ``signum``, after the grace time SIGKILL.

        A further call sends ``signum`` at once; the time of the SIGKILL stands.
        """
        if self._escalation:
            self._send_all(signum)
            return
        due = time.monotonic() + delay
        self._escalation.append((due, signum))
        self._escalation.append((due + self._grace, signal.SIGKILL))
        self._escalation.append((due + 2 * self._grace, None))
        self._escalate()

    def _supervise(self) -> int | None:
        log.info("Starting %d processes", self._num_processes)
        self._lifeline.open()
        self._signals.open()
        self._poll.register(self._signals.fd, select.POLLIN)
        for number in range(self._num_processes):
            if self._escalation:
                break
            if self._fork(number):
                return number
            self._announce(number)
        return self._watch()

    def _watch(self) -> int | None:
        while self._workers:
            exits = self._wait()
            # A worker that is starting shares pages and cores with us: nothing is told before a quiet moment.
            if not exits or len(self._news) > _NEWS_LIMIT:
                self._tell_news()
            for worker, returncode in exits:
                if self._settle(worker, returncode):
                    return worker.task_id
            self._escalate()
        self._tell_news()
        return None

    def _settle(self, worker: Worker, returncode: int) -> bool:
        """Act on an exit; return True in the replacement that was forked for it."""
        if self._escalation:
            self._stopped_abnormally += returncode != 0
            self._report(worker, returncode)
            return False
        if returncode == 0 and not worker.recycled:
            self._report(worker, returncode)
            return False
        if not worker.recycled and self._restarts >= self._max_restarts:
            self._report(worker, returncode)
            self._emit(GaveUp, self._max_restarts)
            self._gave_up = True
            self.stop()
            return False
        self._restarts += not worker.recycled
        self._report(worker, returncode, ", restarting")
        self._emit(Restarting, worker.task_id, self._restarts)
        if self._fork(worker.task_id):
            return True
        self._announce(worker.task_id)
        return False

    def _wait(self) -> list[tuple[Worker, int]]:
        """Sleep until something happens; return the workers that have exited, with their status."""
        ready = {fd for fd, _ in self._poll.poll(self._timeout_ms())}
        if self._signals.fd in ready:
            self._pass_on(self._signals.drain())
        for fd in ready:
            if fd in self._readers:
                self._tell_news()
                # The observer may have removed it just now.
                if (read := self._readers.get(fd)) is not None:
                    read()
        exits = []
        for worker in list(self._workers.values()):
            if worker.pidfd is None or worker.pidfd in ready:
                returncode = worker.reap()
                if returncode is not None:
                    self._forget(worker)
                    exits.append((worker, returncode))
        return exits

    def _timeout_ms(self) -> int | None:
        seconds = math.inf
        if self._escalation:
            seconds = max(0.0, self._escalation[0][0] - time.monotonic())
        if self._news:
            seconds = min(seconds, _HUSH_SECONDS)
        if self._must_look:
            # No pidfd, and off the main thread no SIGCHLD.
            seconds = min(seconds, _TICK_SECONDS)
        return None if seconds == math.inf else math.ceil(1000 * seconds)

    def _forget(self, worker: Worker) -> None:
        del self._workers[worker.task_id]
        if worker.pidfd is not None:
            self._poll.unregister(worker.pidfd)
            worker.close()

    def _fork(self, number: int) -> bool:
        """Fork one worker; return True in the worker."""
        if self._before_fork is not None:
            self._before_fork(number)
        flush_standard_streams()
        # A signal after fork() and before the entry in the table would find a worker that nobody knows,
        # and in the worker the parent's handler.
        with self._blocked_signals:
            pid = os.fork()
            if pid == 0:
                self._become_worker(number)
                return True
            worker = self._workers[number] = Worker(number, pid)
            if worker.pidfd is not None:
                self._poll.register(worker.pidfd, select.POLLIN)
            else:
                self._must_look = not self._signals.sees_exits
            return False

    def _become_worker(self, number: int) -> None:
        global _task_id
        self._in_worker = True
        _task_id = number
        # Little is done here: each page written to is copied first. `random` reseeds itself after a fork.
        # The collector writes to the header of each object that it looks at. In the parent nothing is
        # frozen: what its owner had frozen, and what Python 3.12 freezes by itself, could not be told
        # from ours when it is to be undone.
        gc.freeze()
        self._signals.close()
        for sibling in self._workers.values():
            sibling.close()
        self._lifeline.tie()

    def _release(self) -> None:
        self._signals.close()
        self._lifeline.close()

    def _pass_on(self, signals: list[int]) -> None:
        for signum in signals:
            # ^C has reached the workers as it reached us; a second SIGINT would break into their cleanup.
            typed = signum == signal.SIGINT and not self._escalation and in_foreground()
            self.stop(signum, delay=_TERMINAL_HEAD_START_SECONDS if typed else 0.0)

    def _escalate(self) -> None:
        while self._workers and self._escalation and self._escalation[0][0] <= time.monotonic():
            _, signum = self._escalation.popleft()
            for worker in list(self._workers.values()):
                if signum is None:
                    log.error(
                        "child %d (pid %d) did not end by SIGKILL; leaving it", worker.task_id, worker.pid
                    )
                    self._forget(worker)
                elif signum == signal.SIGKILL:
                    log.warning(
                        "child %d (pid %d) was told to end and has not for %.1f s; killing it",
                        worker.task_id,
                        worker.pid,
                        self._grace,
                    )
            if signum is not None:
                self._send_all(signum)

    def _send_all(self, signum: int) -> None:
        for worker in self._workers.values():
            worker.send_signal(signum)

    def _end_undisturbed(self) -> None:
        """End what is left on the way out of an exception; signals wait, observers hear no more."""
        self._on_event = None
        for fd in list(self._readers):
            self.remove_reader(fd)
        try:
            with BlockedSignals():
                self._end()
        finally:
            # Unless a handler that was due raised before anything was blocked, nothing is left to do.
            self._end()

    def _end(self) -> None:
        if self._workers:
            # SIGCHLD may be blocked.
            self._must_look = any(worker.pidfd is None for worker in self._workers.values())
            self.stop()
            self._watch()
        self._tell_news()

    def _raise_received_signal(self) -> None:
        received = self._signals.received
        if received:
            signal.raise_signal(signal.SIGTERM if signal.SIGTERM in received else received[0])

    def _raise_for_outcome(self) -> None:
        if self._gave_up:
            raise RuntimeError(
                f"Too many child restarts, giving up (max_restarts is {self._max_restarts}); "
                "the log says how each child ended."
            )
        if self._stopped_abnormally and self._signals.received:
            name = signal_name(self._signals.received[0])
            raise RuntimeError(
                f"{name} ended the workers, and {self._stopped_abnormally} of them did not exit normally; "
                "the log says how each child ended."
            )

    def _announce(self, number: int) -> None:
        self._emit(Started, number, self._workers[number].pid)

    def _report(self, worker: Worker, returncode: int, consequence: str = "") -> None:
        if returncode == 0:
            write, how = log.info, "exited normally"
        else:
            write = log.info if self._escalation else log.warning
            how = f"exited with status {returncode}" if returncode > 0 else f"killed by signal {-returncode}"
        text = "child %d (pid %d) %s%s"
        self._news.append(partial(write, text, worker.task_id, worker.pid, how, consequence))
        self._emit(Exited, worker.task_id, worker.pid, returncode)

    def _emit(self, event: type[Event], *data: int) -> None:
        self._news.append(partial(self._notify, event, *data))

    def _notify(self, event: type[Event], *data: int) -> None:
        if self._on_event is not None:
            self._on_event(event(*data))

    def _tell_news(self) -> None:
        while self._news:
            self._news.popleft()()
