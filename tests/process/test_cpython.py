"""CPython's own tests of subprocess and asyncio.subprocess, the files as they are, over Subprocess."""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cpython import SKIPS
from tests.support import run_program

PROGRAMS = {"test_subprocess": "cpython_subprocess.py", "test_asyncio": "cpython_asyncio.py"}
FILES = {"test_subprocess": "test_subprocess.py", "test_asyncio": "test_asyncio/test_subprocess.py"}
WAYS = {"test_subprocess": ("pipe", "stream"), "test_asyncio": ("pidfd", "sigchld")}
FEWEST = {"test_subprocess": 185, "test_asyncio": 20}
"""How many tests pass at least, in the oldest Python."""

SECONDS = 250

runs = [(file, way) for file, ways in WAYS.items() for way in ways]
each_run = pytest.mark.parametrize(("file", "way"), runs)

pytestmark = [
    pytest.mark.timeout(SECONDS + 20),
    pytest.mark.skipif(
        importlib.util.find_spec("test.test_subprocess") is None,
        reason="this Python came without its package `test` (on Debian: libpython3-testsuite)",
    ),
]


@functools.cache
def all_found() -> dict[tuple[str, str], dict[str, Any]]:
    def found(run: tuple[str, str]) -> dict[str, Any]:
        file, way = run
        return json.loads(run_program(PROGRAMS[file], way, timeout=SECONDS).stdout)

    # They sleep for the most part.
    with ThreadPoolExecutor(len(runs)) as pool:
        return dict(zip(runs, pool.map(found, runs), strict=True))


@each_run
def test_every_test_of_cpythons_passes_but_for_those_of_the_table_which_fail(file: str, way: str) -> None:
    found = all_found()[file, way]
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


@each_run
def test_it_was_the_file_of_this_python_and_ours_was_what_ran(file: str, way: str) -> None:
    found = all_found()[file, way]
    assert Path(found["file"]).match(f"test/{FILES[file]}")
    assert found["started"] >= FEWEST[file]
    if file == "test_subprocess":
        # By wait() and poll(), more than once for most.
        assert found["agreed"] >= found["started"]


def test_the_table_gives_a_reason_for_each() -> None:
    assert all(skip.reason for skip in SKIPS)
    assert len({(skip.file, skip.name) for skip in SKIPS}) == len(SKIPS)
