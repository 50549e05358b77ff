"""CPython's own tests of subprocess and asyncio.subprocess, the files as they are, over Subprocess."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tests.cpython import SKIPS
from tests.support import run_program

PROGRAMS = {"test_subprocess": "cpython_subprocess.py", "test_asyncio": "cpython_asyncio.py"}
FILES = {"test_subprocess": "test_subprocess.py", "test_asyncio": "test_asyncio/test_subprocess.py"}
WAYS = {"test_subprocess": ("pipe", "stream"), "test_asyncio": ("pidfd", "sigchld")}
FEWEST = {"test_subprocess": 185, "test_asyncio": 20}
"""How many tests pass at least, in the oldest Python."""

SECONDS = 250

each_run = pytest.mark.parametrize(
    ("file", "way"),
    [
        pytest.param(file, way, marks=[pytest.mark.slow] if way in later else [])
        for file, (_, *later) in WAYS.items()
        for way in WAYS[file]
    ],
)

pytestmark = [
    pytest.mark.timeout(SECONDS + 20),
    pytest.mark.skipif(
        importlib.util.find_spec("test.test_subprocess") is None,
        reason="this Python came without its package `test` (on Debian: libpython3-testsuite)",
    ),
]


@each_run
def test_every_test_of_cpythons_passes_but_for_those_of_the_table_which_fail(file: str, way: str) -> None:
    found = json.loads(run_program(PROGRAMS[file], way, timeout=SECONDS).stdout)
    to_fail = {
        skip.name
        for skip in SKIPS
        if skip.file == file
        and skip.fails
        and sys.version_info >= skip.since
        and (not skip.ways or way in skip.ways)
    }
    failed = {name.partition(".")[2]: text for name, text in found["failed"].items()}
    assert failed.keys() - to_fail == set(), "\n".join(failed[name] for name in failed.keys() - to_fail)
    assert to_fail - failed.keys() == set(), "these pass: take them out of the table"
    assert len(found["passed"]) >= FEWEST[file]
    # It was the file of this Python, and ours was what ran.
    assert Path(found["file"]).match(f"test/{FILES[file]}")
    assert found["started"] >= FEWEST[file]
    if file == "test_subprocess":
        # By wait() and poll(), more than once for most.
        assert found["agreed"] >= found["started"]


def test_the_table_gives_a_reason_for_each() -> None:
    assert all(skip.reason for skip in SKIPS)
    assert len({(skip.file, skip.name) for skip in SKIPS}) == len(SKIPS)
