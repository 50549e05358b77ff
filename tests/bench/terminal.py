"""Jobs on a terminal: a flood of lines into a cell, and bars that are redrawn."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter

from tests.bench.cell import BANG, COMMAND, QUIET, SIZE, Figures, into_cell
from tests.bench.kernel import Kernel, Message, running_kernel
from tests.bench.load import worst_round_trip
from tests.bench.rounds import in_turn
from tests.bench.table import OURS, Bar, Row

LINES = 3_000_000
ROUNDS = 3
TRIPS = 200
BARE = "readv(2) from a terminal, no loop"
"""The system makes each newline two characters, which takes most of the time."""
JOBS = 10
WATCHED = 4.0

TQDM = "import time, tqdm\nfor _ in tqdm.tqdm(range(1000), mininterval=0): time.sleep(0.1)"
RICH = """
import time
from rich.progress import Progress
with Progress() as progress:
    tasks = [progress.add_task(name, total=1000) for name in ("Downloading", "Unpacking")]
    for _ in range(1000):
        time.sleep(0.1)
        for task in tasks:
            progress.advance(task)
"""


def spawned(kernel: Kernel) -> Figures:
    figures = into_cell(kernel, f"%%spawn -n lines -w --tty {COMMAND}\n")
    kept = kernel.value("import ipyproc", "len(ipyproc.jobs['lines'].read(0, None))")
    # The terminal has made each newline two characters.
    if kept != SIZE + LINES:
        raise RuntimeError(f"the job kept {kept:,} bytes of {SIZE + LINES:,}")
    kernel.value("ipyproc.jobs.clear()")
    return figures


def bare() -> Figures:
    """Seconds for the same lines through a terminal whose reader does nothing with them."""
    master, slave = os.openpty()
    begun = time.perf_counter()
    process = subprocess.Popen(COMMAND.split(), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    buffer = bytearray(1 << 16)
    # Raises EIO at the end.
    with contextlib.suppress(OSError):
        while os.readv(master, [buffer]):
            pass
    os.close(master)
    process.wait()
    return {"seconds": time.perf_counter() - begun}


def answers() -> float:
    """The 99th percentile of another cell's round trips, in seconds, each while the lines come."""
    start = f"%%spawn -n lines --tty {COMMAND}\n"
    with running_kernel(extension=True) as kernel:
        return kernel.slow_trip(start, "__import__('ipyproc').jobs['lines'].done", TRIPS, QUIET)


def flood_rows() -> list[Row]:
    """Two rows: time beside IPython's own terminal, both in one kernel, and how it answers meanwhile."""
    what = f"22 MB of lines ({COMMAND}) on a terminal into a cell, all kept"
    with running_kernel(extension=True) as kernel:
        contenders = {
            OURS: lambda: spawned(kernel),
            BANG: lambda: into_cell(kernel, f"!{COMMAND}"),
            BARE: bare,
        }
        measured = in_turn(contenders, ROUNDS)
    time_row = measured.row(
        "terminal",
        f"{what}: time, beside !",
        "s",
        Bar(1 / 10, BANG),
        lambda figures: figures["seconds"],
        limits=(BARE,),
    )
    trips = in_turn({OURS: answers}, ROUNDS)
    what = f"{what}: round trip of another cell meanwhile, 99th percentile"
    return [time_row, trips.row("terminal", what, "s", Bar(0.025))]


def is_bar(message: Message) -> bool:
    """Whether it is output of a job, not its status, which has HTML too."""
    if message.type == "update_display_data":
        return "text/html" not in message.content["data"]
    return message.type == "stream"


def bars() -> Figures:
    """How a kernel answers, and how often the busiest job sends, while ten redraw their bars."""
    with running_kernel(extension=True) as kernel:
        programs = [f"#!{sys.executable}\n{RICH if number % 2 else TQDM}" for number in range(JOBS)]
        cells = [
            kernel.run(f"%%spawn -n bar-{number} --tty\n{program}") for number, program in enumerate(programs)
        ]
        kernel.listen(2)
        begun = time.perf_counter()
        seen = Counter(message.parent for message in kernel.listen(WATCHED) if is_bar(message))
        watched = time.perf_counter() - begun
        drawn = [seen[cell.id] for cell in cells]
        if min(drawn) < WATCHED:
            raise RuntimeError(f"the jobs drew {drawn} times in {watched:.0f} s")
        return {"trips": worst_round_trip(kernel), "often": max(drawn) / watched}


def bars_rows() -> list[Row]:
    """Two rows: how the kernel answers, and what the page is sent."""
    measured = in_turn({OURS: bars}, ROUNDS)
    jobs = f"{JOBS} jobs that redraw bars ten times a second (tqdm; rich with two rows)"
    trips = f"{jobs}: round trip of another cell meanwhile, 99th percentile"
    often = f"{jobs}: updates a second of the busiest"
    return [
        measured.row("bars", trips, "s", Bar(0.025), lambda figures: figures["trips"]),
        measured.row("bars", often, "", Bar(4), lambda figures: figures["often"]),
    ]
