"""Running Python as outside Linux: without ``/proc``, pidfds, epoll, waitid and what else is Linux's.

A mount namespace hides ``/proc``, a filter refuses system calls, and `site.sitecustomize` takes away the
names that Python has for them. What remains is what macOS has as well, by another way in psutil's case.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

__all__ = ["run_elsewhere"]

_HERE = Path(__file__).parent
_AS_ROOT = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
# Only the way by which /dev/fd leads to a process's own files is left: /dev/fd is everywhere.
_HIDE_PROC = """
set -e
mount --rbind /proc "$1"
mount -t tmpfs none /proc
mkdir /proc/self
ln -s "$1/self/fd" /proc/self/fd
shift
exec "$@"
"""


def run_elsewhere(folder: Path, *args: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter with ``args``; AssertionError with all that it printed unless it exits with 0.

    Args:
        folder: an empty one, where the system's own ``/proc`` is put.
        args: of the interpreter.
        timeout: seconds.
    """
    command = ["unshare", *_AS_ROOT, "--mount", "sh", "-c", _HIDE_PROC, "sh", str(folder)]
    done = subprocess.run(
        [*command, sys.executable, str(_HERE / "launch.py"), *args],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_HERE / "site"), str(ROOT)]),
            "IPYPROC_TESTS_PROC": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{args} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
