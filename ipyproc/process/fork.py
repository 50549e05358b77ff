"""Pre-forked workers: `fork_processes`, `task_id`, `cpu_count`.

Source of the interface: the documentation of Tornado 4.2 to 4.5.
"""

from __future__ import annotations

import os
import sys

from tornado.log import gen_log

from ipyproc.process.loops import has_open_io_loop, running_loop
from ipyproc.process.supervisor import Supervisor, task_id

__all__ = ["cpu_count", "fork_processes", "task_id"]


def cpu_count() -> int:
    """Return the number of processors; 1, and a logged error, where the system does not tell."""
    count = os.cpu_count()
    if count is None:
        gen_log.error("Could not detect number of processors; assuming 1")
        return 1
    return count


def fork_processes(
    num_processes: int | None, max_restarts: int | None = 100, *, exit_parent: bool = False
) -> int | None:
    """Start multiple worker processes, and stay in the parent to restart those that fail.

    Each worker is a copy of this process as it was at the call, and shares no memory with the others.
    A worker that exits abnormally (by a signal, or with a non-zero exit status) is replaced under the
    same task id. No IOLoop may be created or referenced before the call: all workers would share its
    selector. The autoreload module does not work with multiple processes (Tornado 4.2)::

        sockets = tornado.netutil.bind_sockets(8888)
        if fork_processes(4) is None:
            sys.exit()  # the parent: all workers have exited normally
        asyncio.run(serve(sockets))  # a worker

    SIGTERM and SIGINT to the parent are passed to the workers; what is left of them five seconds later
    is killed, and then the parent receives the signal under its own previous handler. This needs the
    call to be on the main thread. If the parent is killed outright, so are its workers
    (``PR_SET_PDEATHSIG`` of ``prctl(2)`` on Linux, which a worker that changes its user id loses; a
    thread that watches a pipe elsewhere).

    In each worker the objects alive at the call are frozen (`gc.freeze`), so that its garbage collector
    does not copy their pages.

    Args:
        num_processes: how many workers; None or a number <= 0 stands for `cpu_count`.
        max_restarts: how many restarts are granted, over all workers together; None stands for 100.
        exit_parent: ends the parent by ``sys.exit(0)`` instead of returning None. It is for programs
            written against ``tornado.process``, which has done so since Tornado 2.2 although its
            documentation says otherwise, and which run a server after the call without looking at
            what it returned.

    Returns:
        In a worker its task id, a number from 0 to ``num_processes - 1``. In the parent None, once
        all workers have exited normally.

    Raises:
        RuntimeError: an event loop exists; this process is itself a worker; ``max_restarts`` was
            exceeded, or the parent was told to stop and goes on, in both cases after all workers
            have ended.
        NotImplementedError: the platform cannot fork (Windows).
        OSError: ``fork(2)`` failed; the workers started before it have been ended.
    """
    if sys.platform == "win32" or not hasattr(os, "fork"):
        raise NotImplementedError(
            f"fork_processes() needs fork(2), which the platform {sys.platform!r} has not; "
            "start workers with subprocess there."
        )
    if task_id() is not None:
        raise RuntimeError(
            f"fork_processes() was called in worker {task_id()}, which has a supervisor already; "
            "call it once, in the parent."
        )
    _refuse_event_loop()
    if num_processes is None or num_processes <= 0:
        num_processes = cpu_count()
    worker = Supervisor(num_processes, 100 if max_restarts is None else max_restarts).run()
    if worker is None and exit_parent:
        sys.exit(0)
    return worker


def _refuse_event_loop() -> None:
    if running_loop() is not None:
        found = "an event loop is running in this thread"
    elif has_open_io_loop():
        found = "an IOLoop exists in this process"
    else:
        return
    raise RuntimeError(
        f"fork_processes() cannot fork while {found}, because the workers would share its selector and "
        "its wake-up pipe; call it before the first loop is made, or in a notebook, whose kernel lives "
        "on a loop, use %%fork or %forkbench."
    )
