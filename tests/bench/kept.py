"""Kept jobs: attaching to one that has written much, and what one costs that waits."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from ipyproc.hosts.keeper.host import KeeperHost
from ipyproc.hosts.keeper.job import KeptJob
from ipyproc.model.spec import JobSpec
from tests.bench.rounds import fresh, in_turn
from tests.bench.table import OURS, Bar, Row
from tests.hosts.kept import end_all_kept
from tests.support import kept_processes, wait_until

SIZE = 1 << 30
COMMAND = f"yes 'epoch 12 of 40, loss 0.0123' | head -c {SIZE}; exec sleep 600"
ROUNDS = 5
SCREEN = 24
PIECE = 1 << 20
CAT = "cat"

Figures = dict[str, float]


@contextmanager
def kept(command: str, size: int) -> Iterator[KeptJob]:
    """A kept job that has written so much, in a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="k-", dir="/tmp") as state:
        with patch.dict(os.environ, {"XDG_STATE_HOME": state}):
            host = KeeperHost()
            try:
                job = host.start(JobSpec(command, "bench"))
                if not job.block_until(lambda: job.output.end >= size, 120):
                    raise RuntimeError(f"the job has written {job.output.end:,} bytes of {size:,}")
                yield job
            finally:
                host.close()
                end_all_kept()


def attached() -> Figures:
    with kept(COMMAND, SIZE) as job:
        host = KeeperHost()
        begun = time.perf_counter()
        again = host.attach(job.ticket)
        lines = again.output.tail(SCREEN).count("\n")
        first = time.perf_counter() - begun
        if lines < SCREEN - 1 or again.output.end != SIZE:
            raise RuntimeError(f"{lines} lines and {again.output.end:,} bytes were there")
        begun = time.perf_counter()
        size = sum(len(again.output.read(at, at + PIECE)) for at in range(0, SIZE, PIECE))
        seconds = time.perf_counter() - begun
        host.close()
        files = sorted(glob.glob(os.path.join(glob.escape(job.place.path), "out.*")))
        begun = time.perf_counter()
        with open(os.devnull, "wb") as nothing:
            subprocess.run(["cat", *files], stdout=nothing, check=True)
        by_cat = SIZE / (time.perf_counter() - begun)
        if size != SIZE:
            raise RuntimeError(f"{size:,} bytes were read of {SIZE:,}")
        return {"first": first, "speed": SIZE / seconds, "cat": by_cat}


def idle() -> Figures:
    with kept("echo up; exec sleep 600", 3):
        wait_until(lambda: len(kept_processes()) == 2)
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in kept_processes()]
        found = [re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE) for text in texts]
        return {"memory": sum(int(one[1]) << 10 for one in found if one)}


def rows() -> list[Row]:
    """Three rows: the first screen, the replay beside cat's, and the memory of an idle job's processes."""
    measured = in_turn({OURS: lambda: fresh(attached)}, ROUNDS)
    results = measured.results.get(OURS, [])
    first = measured.row(
        "kept",
        "attach to a kept job with 1 GiB of output: its last screenful",
        "s",
        Bar(0.05),
        lambda figures: figures["first"],
    )
    replay = measured.row_of(
        "kept",
        "attach to a kept job with 1 GiB of output: all of it read, beside cat",
        "B/s",
        Bar(0.5, CAT, at_least=True),
        {OURS: [one["speed"] for one in results], CAT: [one["cat"] for one in results]},
        measured.failures.get(OURS),
    )
    waiting = in_turn({OURS: lambda: fresh(idle)}, 3)
    what = "a kept job that waits: memory of the processes that hold it (PSS)"
    return [first, replay, waiting.row("kept", what, "B", Bar(6 << 20), lambda figures: figures["memory"])]
