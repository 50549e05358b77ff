"""Few processes only, for root too, whom the limit on processes does not bind."""

from __future__ import annotations

import ctypes
import os
import resource

__all__ = ["allow_few_processes"]

NOBODY = 64321
"""A user of whom nothing runs."""

CAPABILITY_VERSION_3 = 0x20080522
CAP_SYS_ADMIN, CAP_SYS_RESOURCE = 21, 24


def allow_few_processes(most: int) -> None:
    """Has fork(2) fail with EAGAIN in this process once ``most`` run.

    Root goes by another *real* user id from here on, by which processes are counted, and has no more
    the capabilities that lift the limit. Its files stay readable: they may lie in a folder of mode 0700.
    """
    if os.getuid() == 0:
        os.setresuid(NOBODY, 0, 0)
        _drop_from_effective((1 << CAP_SYS_ADMIN) | (1 << CAP_SYS_RESOURCE))
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _drop_from_effective(capabilities: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable ones, twice 32 of each.
    data = (ctypes.c_uint32 * 6)()
    for call in (libc.capget, libc.capset):
        if call(header, data) != 0:
            raise OSError(ctypes.get_errno(), call.__name__)
        data[0] &= ~capabilities
