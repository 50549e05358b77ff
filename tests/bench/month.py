"""What a kernel costs that has run for a month: very many jobs in turn, and very many stopped together."""

from __future__ import annotations

from tests.bench.kernel import running_kernel
from tests.bench.rounds import Measured, in_turn
from tests.bench.table import OURS, Bar, Row

Figures = dict[str, float]

JOBS = 20_000
BLOCK = 1_000
STOPPED = 1_000
ROUNDS = 3
TICK = 0.005
FIRST = f"the first {BLOCK:,}"

IN_TURN = """
import gc, time, ipyproc, psutil

def held():
    gc.collect()
    return psutil.Process().memory_info().rss

async def one_after_another(count):
    seconds = 0.0
    for _ in range(count):
        begun = time.perf_counter()
        job = ipyproc.spawn("true")
        seconds += time.perf_counter() - begun
        await job
    return seconds / count

await one_after_another(50)
before = held()
"""
BLOCK_IN_TURN = f"seconds = await one_after_another({BLOCK})"
HELD = "grown = held() - before"

STOPPING = f"""
import asyncio, time, ipyproc

async def stop_all():
    gaps = []

    async def tick():
        last = time.perf_counter()
        while True:
            await asyncio.sleep({TICK})
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    jobs = [ipyproc.spawn("sleep 1000 & sleep 1000", quiet=True) for _ in range({{count}})]
    await asyncio.sleep(2)
    ticker = asyncio.ensure_future(tick())
    await asyncio.sleep(0.1)
    results = await asyncio.gather(*(job.stop() for job in jobs))
    ticker.cancel()
    return {{{{
        "gap": max(gaps) - {TICK},
        "unstopped": sum(result.ended_by is None for result in results) + sum(job.left for job in jobs),
    }}}}

figures = await stop_all()
"""


def one_after_another(jobs: int = JOBS) -> Figures:
    """Memory that a kernel has grown by, and seconds of a `spawn()` at first and at last."""
    with running_kernel(extension=True) as kernel:
        kernel.value(IN_TURN)
        seconds = [kernel.value(BLOCK_IN_TURN, "seconds", timeout=300) for _ in range(max(jobs // BLOCK, 2))]
        return {"memory": kernel.value(HELD, "grown"), "first": seconds[0], "last": seconds[-1]}


def stopped(jobs: int = STOPPED) -> Figures:
    """The longest that a loop was held while jobs were stopped together, each with a child."""
    with running_kernel(extension=True) as kernel:
        figures: Figures = kernel.value(STOPPING.format(count=jobs), "figures", timeout=300)
        if figures["unstopped"]:
            raise RuntimeError(f"{figures['unstopped']:g} processes were not stopped")
        return figures


def in_turn_rows() -> list[Row]:
    """Two rows: memory, and whether starting a job takes longer by and by."""
    measured: Measured[Figures] = in_turn({OURS: one_after_another}, 1)
    results = measured.results.get(OURS, [])
    what = f"{JOBS:,} jobs one after another (`true`)"
    memory = measured.row(
        "in-turn",
        f"{what}: memory that the kernel grew by",
        "B",
        Bar(40e6),
        lambda figures: figures["memory"],
    )
    slower = measured.row_of(
        "in-turn",
        f"{what}: `spawn()`, of the last {BLOCK:,}",
        "s",
        Bar(1.2, FIRST),
        {OURS: [result["last"] for result in results], FIRST: [result["first"] for result in results]},
        measured.failures.get(OURS),
    )
    return [memory, slower]


def stop_rows() -> list[Row]:
    """One row."""
    measured = in_turn({OURS: stopped}, ROUNDS)
    what = f"{STOPPED:,} jobs stopped together, each with a child: the longest that the loop was held"
    return [measured.row("stops", what, "s", Bar(0.05), lambda figures: figures["gap"])]
