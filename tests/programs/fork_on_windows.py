"""The import and the call as on Windows: what is missing there is taken away first."""

from __future__ import annotations

import os
import select
import signal
import sys

import tornado.process  # noqa: F401  (has branches of its own)

import ipyproc.process  # noqa: F401  (so does what it imports)

for module in [name for name in sys.modules if name.startswith("ipyproc")]:
    del sys.modules[module]
for name in ("fork", "waitpid", "pidfd_open", "set_blocking", "getppid", "tcgetpgrp", "O_NOCTTY"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("pthread_sigmask", "SIGKILL", "SIGCHLD", "pidfd_send_signal"):
    if hasattr(signal, name):
        delattr(signal, name)
del select.poll
sys.platform = "win32"

from ipyproc.process.fork import cpu_count, fork_processes, task_id  # noqa: E402

assert cpu_count() >= 1
assert task_id() is None
try:
    fork_processes(1)
except NotImplementedError as error:
    assert "win32" in str(error)
else:
    raise AssertionError("it forked")
