"""What jobs and workers cost while nothing happens, and what the first one costs."""

from __future__ import annotations

import time

from tests.bench.kernel import Kernel, running_kernel
from tests.bench.rounds import in_turn
from tests.bench.table import OURS, Bar, Row

Figures = dict[str, float]

JOBS = 200
WORKERS = 8
WATCHED = 10.0
SETTLED = 5.0

SLEEPING = f"jobs = [ipyproc.spawn(['sleep', '600'], name=f'sleeping-{{n}}') for n in range({JOBS})]"
FORKED = f"%%fork -n {WORKERS}\nimport time\ntime.sleep(600)"
MEMORY = "import gc, psutil, ipyproc\ngc.collect()\nmemory = psutil.Process().memory_info().rss"


def share_of_core(kernel: Kernel) -> float:
    """Processor time of the kernel in percent of one core, while nobody asks it anything."""
    kernel.listen(SETTLED)
    used, begun = sum(kernel.process.cpu_times()[:2]), time.perf_counter()
    kernel.listen(WATCHED)
    spent = sum(kernel.process.cpu_times()[:2]) - used
    return spent / (time.perf_counter() - begun) * 100


def sleeping_jobs() -> Figures:
    with running_kernel(extension=True) as kernel:
        kernel.value("import ipyproc\nawait ipyproc.spawn('true')")
        before = kernel.value(MEMORY, "memory")
        kernel.value(SLEEPING)
        kernel.listen(1)
        grown = kernel.value(MEMORY, "memory") - before
        return {"memory": grown / JOBS, "share": share_of_core(kernel)}


def idle_workers() -> float:
    with running_kernel(extension=True) as kernel:
        kernel.value(FORKED)
        return share_of_core(kernel)


def first_draw() -> float:
    """Seconds from the first ``%%spawn`` to its status line in the client."""
    with running_kernel(extension=True) as kernel:
        cell = kernel.run("%%spawn sleep 0.2")
        return next(message.at for message in cell.messages if message.type == "display_data") - cell.sent


def rows() -> list[Row]:
    """Four rows."""
    sleeping = in_turn({OURS: sleeping_jobs}, 1)
    jobs = f"{JOBS} sleeping jobs in a kernel"
    return [
        sleeping.row("idle", f"{jobs}: processor, in % of a core", "%", Bar(0.5), lambda f: f["share"]),
        sleeping.row("idle", f"{jobs}: memory of the kernel for each", "B", Bar(40e3), lambda f: f["memory"]),
        in_turn({OURS: idle_workers}, 1).row(
            "idle",
            f"{WORKERS} idle workers under %%fork: processor of the kernel, in % of a core",
            "%",
            Bar(0.5),
        ),
        in_turn({OURS: first_draw}, 3).row(
            "idle",
            "The first %%spawn: from sending the cell to its status line, rich imported",
            "s",
            Bar(0.05),
        ),
    ]
