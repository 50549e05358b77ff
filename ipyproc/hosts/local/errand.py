"""Run a short command beside a job, guarded as a job is, and wait for it: blocks, so call it in a thread."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from tornado.ioloop import IOLoop

from ipyproc.hosts.local.start import start_process
from ipyproc.model.spec import JobSpec

if TYPE_CHECKING:
    from ipyproc.hosts.local.resources import Resources

__all__ = ["run_errand"]


def run_errand(spec: JobSpec, resources: Resources, io_loop: IOLoop, seconds: float) -> int | None:
    """Run the command of a spec without input and output, for so many seconds at most.

    Returns:
        Its exit status; None if it did not end in time, and its process group was killed.

    Raises:
        OSError: it could not be started.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        process = start_process(spec, io_loop, stdin=nothing, stdout=nothing, stderr=nothing).proc
    finally:
        os.close(nothing)
    resources.warden.guard(process.pid)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None
    finally:
        resources.warden.release(process.pid)
