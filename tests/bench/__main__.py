"""``python -m tests.bench``: measures, and prints one table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from rich.console import Console

from tests.bench import (
    cell,
    exits,
    fork,
    idle,
    job,
    kept,
    load,
    month,
    screen,
    spawn,
    spool,
    streams,
    terminal,
)
from tests.bench.table import Row, Verdict, as_markdown, as_table

SUBJECTS: dict[str, Callable[[], list[Row]]] = {
    "spawn": spawn.rows,
    "job": job.rows,
    "exits": exits.rows,
    "stream": streams.rows,
    "fork-restart": fork.restart_rows,
    "fork-memory": fork.memory_rows,
    "import": load.import_rows,
    "cell": cell.rows,
    "terminal": terminal.flood_rows,
    "bars": terminal.bars_rows,
    "screen": screen.rows,
    "spool": spool.rows,
    "flood": load.flood_rows,
    "first-output": cell.first_output_rows,
    "gap": load.gap_rows,
    "many": load.many_rows,
    "idle": idle.rows,
    "kept": kept.rows,
    "in-turn": month.in_turn_rows,
    "stops": month.stop_rows,
}

WIDE = 150


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=SUBJECTS, metavar="NAME", help="repeatable")
    parser.add_argument("--markdown", action="store_true", help="the table as it stands in the README")
    parser.add_argument("--json", action="store_true", help="every figure of every round, for programs")
    parser.add_argument("--list", action="store_true", help="the names that --only takes")
    return parser.parse_args()


def main() -> int:
    """Returns 1 if a bar was missed that can be reached, or a measurement failed, else 0."""
    chosen = arguments()
    if chosen.list:
        print("\n".join(SUBJECTS))
        return 0
    progress = Console(stderr=True)
    rows: list[Row] = []
    for name in chosen.only or SUBJECTS:
        begun = time.perf_counter()
        with progress.status(f"measuring {name}"):
            rows += SUBJECTS[name]()
        progress.print(f"{name} took {time.perf_counter() - begun:.0f} s", style="dim", highlight=False)
    if chosen.json:
        print(json.dumps([row.as_data() for row in rows], indent=1))
    elif chosen.markdown:
        print(as_markdown(rows))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=WIDE)
        console.print(as_table(rows))
    return int(any(row.verdict in (Verdict.MISSED, Verdict.FAILED) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
