"""Runs Python where system calls of Linux are refused: ``launch.py ARGUMENTS of the Python``."""

from __future__ import annotations

import os
import sys

from tests.seccomp import refuse_parent_death_signals, refuse_pidfd_open

if __name__ == "__main__":
    refuse_pidfd_open()
    refuse_parent_death_signals()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
