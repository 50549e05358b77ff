"""A job's output on its way to disk."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.bench.kernel import running_kernel
from tests.bench.rounds import in_turn
from tests.bench.table import OURS, Bar, Row

SIZE = 1 << 30
SOURCE = f"head -c {SIZE} /dev/zero"
ROUNDS = 5
TRIPS = 200
QUIET = 0.3
SHELL = "cmd | cat > file"

Figures = dict[str, float]

WARM = f"""
import asyncio, gc, ipyproc
await ipyproc.spawn("{SOURCE}", name="warm")
ipyproc.jobs.forget("warm")
gc.collect()
await asyncio.sleep(0.1)
"""
"""The memory that a first run finds may have been the host's a moment ago: neither's counts."""

JOB = f"""
import time
begun = time.perf_counter()
job = ipyproc.spawn("{SOURCE}", name="bulk")
await job
seconds = time.perf_counter() - begun
"""


class Peak:
    """The most memory that a process has had, seen from outside."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._done = threading.Event()
        self.before = self.most = process.memory_info().rss

    def _sample(self) -> None:
        while not self._done.wait(0.01):
            self.most = max(self.most, self._process.memory_info().rss)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Peak]:
        sampler = threading.Thread(target=self._sample)
        sampler.start()
        try:
            yield self
        finally:
            self._done.set()
            sampler.join()

    @property
    def growth(self) -> int:
        return self.most - self.before


def spooled() -> Figures:
    with running_kernel(extension=True) as kernel:
        kernel.value("import gc; gc.collect()")
        with Peak(kernel.process).watched() as peak:
            kernel.value(WARM)
            seconds = kernel.value(JOB, "seconds", timeout=120)
        kept = kernel.value(f"size = len(job.read(0, 65536)), len(job.read({SIZE - 65536}, None))", "size")
        if kept != [65536, 65536]:
            raise RuntimeError(f"the spool's two ends have {kept} bytes of 65,536 each")
        return {"speed": SIZE / seconds, "growth": peak.growth}


def answers() -> float:
    """The 99th percentile of another cell's round trips, in seconds, each while 1 GiB is on its way."""
    start = f"import ipyproc; job = ipyproc.spawn({SOURCE!r}, name='bulk', quiet=True)"
    with running_kernel(extension=True) as kernel:
        return kernel.slow_trip(start, "job.done", TRIPS, QUIET)


def by_shell() -> Figures:
    # In the directory where the spool is, so that both write to the same disk.
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "bulk")
        for _ in ("warm", "measured"):
            file.unlink(missing_ok=True)
            begun = time.perf_counter()
            subprocess.run(["sh", "-c", f'{SOURCE} | cat > "$1"', "sh", os.fspath(file)], check=True)
            seconds = time.perf_counter() - begun
        if file.stat().st_size != SIZE:
            raise RuntimeError(f"the shell kept {file.stat().st_size:,} bytes of {SIZE:,}")
        return {"speed": SIZE / seconds}


def rows() -> list[Row]:
    """Three rows: speed beside the shell's, what the kernel's memory grew by, and how it answers."""
    measured = in_turn({OURS: spooled, SHELL: by_shell}, ROUNDS)
    speed = measured.row(
        "spool",
        "1 GiB through a job into its spool: speed",
        "B/s",
        Bar(0.5, SHELL, at_least=True),
        lambda figures: figures["speed"],
    )
    growth = measured.row_of(
        "spool",
        "1 GiB through a job into its spool: the kernel's memory at its peak, above where it was",
        "B",
        Bar(32 << 20),
        {OURS: [figures["growth"] for figures in measured.results.get(OURS, [])]},
        measured.failures.get(OURS),
    )
    what = "1 GiB through a job into its spool: round trip of another cell meanwhile, 99th percentile"
    return [speed, growth, in_turn({OURS: answers}, 3).row("spool", what, "s", Bar(0.025))]
