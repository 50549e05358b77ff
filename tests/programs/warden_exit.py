"""Exits with a warden that nobody closed, also in a fork; prints its pid."""

from __future__ import annotations

import os
import subprocess
import sys

from ipyproc.hosts.local import warden as warden_module
from ipyproc.hosts.local.warden import Warden

warden_module._END_SECONDS = 60.0  # One that a slow machine delays does not hang.
job = subprocess.Popen(["sleep", "60"], start_new_session=True)
warden = Warden()
warden.guard(job.pid)
pid = warden.pid
if os.fork() == 0:
    warden.guard(job.pid)
    assert repr(warden) == "<Warden not running>"
    assert not warden.alive() and not warden.revive()
    warden.release(job.pid)
    warden.close()
    job.returncode = 0  # Or Popen would warn that it still runs.
    sys.exit(0)
child, status = os.wait()
assert status == 0, (child, status)
assert warden.alive()
assert job.poll() is None, "the fork's warden has ended the job"
# Guarded still: the interpreter's exit ends it, and waits for that.
print(pid, job.pid)
job.returncode = 0
