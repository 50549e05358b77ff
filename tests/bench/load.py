"""The kernel under load: does it load fast, answer, keep output live, and clean up."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from statistics import quantiles

from tests.bench.kernel import Kernel, running_kernel
from tests.bench.rounds import in_turn
from tests.bench.table import OURS, Bar, Row

Figures = dict[str, float]

LOADS = 5
TRIPS = 200
PAUSE = 0.01
LONGEST = 10.0
TICK = 0.05
HELD = 3.0
JOBS = 1000
FLOOD = "timeout 60 yes"
"""Bounded, should the kernel not be able to end it."""

LOAD = """
import time
begun = time.perf_counter()
get_ipython().run_line_magic("load_ext", "ipyproc")
seconds = time.perf_counter() - begun
"""

TICKER = f"import time\nwhile True:\n    print('tick', time.time(), flush=True)\n    time.sleep({TICK})"

MANY = f"""
import asyncio, gc, os, time, ipyproc, psutil

def held():
    gc.collect()
    return {{"fds": len(os.listdir("/proc/self/fd")), "memory": psutil.Process().memory_info().rss}}

async def at_once(count):
    codes = [number % 256 for number in range(count)]
    jobs = [ipyproc.spawn(f"sleep 5; exit {{code}}") for code in codes]
    results = await asyncio.gather(*(job.wait(raise_error=False) for job in jobs))
    return sum(result.returncode != code for result, code in zip(results, codes))

await at_once(5)
# ipykernel opens a socket for each thread that publishes, once: the guard does while a cell holds the loop.
ipyproc.spawn("sleep 0.1; echo hi")
time.sleep(0.5)
await asyncio.sleep(0.5)
before = held()
wrong = await at_once({JOBS})
await asyncio.sleep(1)
after = held()
figures = {{"wrong": wrong, **{{key: after[key] - before[key] for key in before}}}}
"""


def loading() -> float:
    """Seconds of ``%load_ext`` in a kernel that has never seen us."""
    with running_kernel() as kernel:
        seconds = kernel.value(LOAD, "seconds")
        kernel.value("import ipyproc; ipyproc.load_ipython_extension")
        return seconds


def import_rows() -> list[Row]:
    """One row; the first load fills the byte code cache and does not count."""
    in_turn({OURS: loading}, 1)
    measured = in_turn({OURS: loading}, LOADS)
    return [measured.row("import", "%load_ext ipyproc in a running kernel", "s", Bar(0.040))]


def worst_round_trip(kernel: Kernel) -> float:
    """The 99th percentile of sending a cell to its end."""
    seconds, last = [], time.perf_counter() + LONGEST
    while len(seconds) < TRIPS and (time.perf_counter() < last or len(seconds) < 2):
        seconds.append(kernel.run("1", timeout=10).seconds)
        time.sleep(PAUSE)
    return quantiles(seconds, n=100)[98]


def flooded() -> float:
    with running_kernel(extension=True) as kernel:
        kernel.value(f"import ipyproc; job = ipyproc.spawn({FLOOD!r}, name='flood')")
        kernel.listen(0.5)
        return worst_round_trip(kernel)


def idle() -> float:
    with running_kernel() as kernel:
        return worst_round_trip(kernel)


def flood_rows() -> list[Row]:
    """One row, beside a kernel that has nothing else to do."""
    measured = in_turn({OURS: flooded, "idle kernel": idle}, 3)
    what = "Round trip of another cell while a job floods (`yes`), 99th percentile"
    return [measured.row("flood", what, "s", Bar(0.025))]


def gaps() -> Figures:
    """Largest silence of a ticking job while a cell sleeps, for the client and for the child."""
    with running_kernel(extension=True) as kernel:
        command = [sys.executable, "-c", TICKER]
        kernel.value(f"import ipyproc; job = ipyproc.spawn({command!r}, name='ticker')")
        kernel.listen(1)
        cell = kernel.run(f"import time; time.sleep({HELD})")
        shown = [message.at for message in cell.messages if "tick" in message.text]
        kernel.listen(0.3)
        ticks = kernel.value("job.kill()", "job.output").splitlines()[:-1]
        written = [float(tick.split()[1]) for tick in ticks]
        return {"shown": widest([cell.sent, *shown, cell.ended]), "written": widest(written)}


def widest(times: list[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))


def gap_rows() -> list[Row]:
    """Two rows: what the reader sees, and whether the child was ever held up."""
    measured = in_turn({OURS: gaps}, 3)
    child = f"a child that prints every {TICK * 1000:g} ms, while a cell holds the loop for {HELD:g} s"
    asked = [(f"Largest gap in the live output of {child}", "shown")]
    asked += [(f"Longest that it held up {child}", "written")]
    return [measured.row("gap", what, "s", Bar(0.3), lambda gap, key=key: gap[key]) for what, key in asked]


def thousand() -> Figures:
    with running_kernel(extension=True) as kernel:
        return kernel.value(MANY, "figures", timeout=120)


def many_rows() -> list[Row]:
    """Three rows: exit codes, file descriptors, memory."""
    measured = in_turn({OURS: thousand}, 1)
    what = f"{JOBS:,} jobs at once in one kernel"
    asked = [
        (f"{what}: wrong exit codes", "", Bar(0), "wrong"),
        (f"{what}: file descriptors still open afterwards", "", Bar(0), "fds"),
        (f"{what}: memory still held afterwards (their table too)", "B", Bar(32 << 20), "memory"),
    ]
    return [
        measured.row("many", what, unit, bar, lambda figures, key=key: figures[key])
        for what, unit, bar, key in asked
    ]
