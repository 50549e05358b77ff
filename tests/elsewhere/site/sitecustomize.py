"""Read by every Python that starts: takes away what there is on Linux only.

The system's own lists stay where psutil finds them, since psutil has its own way on each system.
"""

import fcntl
import os
import select

import psutil

for _module, _names in (
    (os, ("pidfd_open", "waitid", "memfd_create", "sched_setaffinity", "sched_getaffinity")),
    (select, ("epoll",)),
    (fcntl, ("F_SETPIPE_SZ",)),
):
    for _name in _names:
        if hasattr(_module, _name):
            delattr(_module, _name)
psutil.PROCFS_PATH = os.environ["IPYPROC_TESTS_PROC"]
