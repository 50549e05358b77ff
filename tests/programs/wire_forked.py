"""A fork of a client's process can neither end the jobs nor keep their server alive."""

from __future__ import annotations

import os
import sys
import warnings

from ipyproc.hosts.wire.launch import launch
from ipyproc.model.spec import JobSpec
from ipyproc.model.state import JobState

host = launch()
job = host.start(JobSpec("echo up; read line; echo $line; exit 7", "a"))
assert job.block_until(lambda: job.output.read() == b"up\n", 60)
gate, end = os.pipe()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
if child == 0:
    try:
        assert job.state is JobState.RUNNING and job.output.read() == b"up\n"
        host.close()
        assert not job.block_until(lambda: job.state.done, 0.05)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
child = os.fork() if sys.version_info < (3, 12) else os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
if child == 0:
    os.close(end)
    os.read(gate, 1)
    os._exit(0)
job.write(b"word\n")
assert job.block_until(lambda: job.state.done, 60)
assert job.status().returncode == 7 and job.output.read() == b"up\nword\n"
# The fork holds no end of the server's lifeline, or this would take until its end.
host.close()
os.close(end)
if sys.version_info >= (3, 12):
    os.kill(child, 9)
os.waitpid(child, 0)
