"""Who gets the number of a process that has gone is a stranger, and is never touched."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import NEW_NAMESPACE, PROGRAMS, PYTHONPATH


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
        [*NEW_NAMESPACE, sys.executable, "-W", "error", PROGRAMS / "reused_pids.py", kind, deed],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
