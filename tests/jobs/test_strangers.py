"""Who gets the number of a process that has gone is a stranger, and is never touched."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import PROGRAMS, PYTHONPATH

# One's own numbers can be given out as one likes in a pid namespace; a user may make one in a user namespace.
_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
if os.geteuid() != 0:
    _NAMESPACE += ["--user", "--map-root-user"]


@pytest.mark.parametrize(
    ("kind", "deed"),
    [
        *((kind, deed) for kind in ("backoff", "left") for deed in ("stop", "kill", "end", "die")),
        ("daemon", "stop"),
        *(pytest.param("daemon", deed, marks=pytest.mark.slow) for deed in ("kill", "end")),
    ],
)
def test_a_stranger_who_got_a_jobs_number_is_never_touched(kind: str, deed: str) -> None:
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, "-W", "error", PROGRAMS / "reused_pids.py", kind, deed],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
