"""Output into a cell: how long until all of it is there, and how much of it the client is sent."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.bench.kernel import Kernel, Message, running_kernel
from tests.bench.rounds import in_turn
from tests.bench.table import OURS, Bar, Row

COMMAND = "seq 1 3000000"
SIZE = 22_888_896
QUIET = 0.5
OUR_ROUNDS = 3
FIRST_ROUNDS = 60

BASH, BANG = "%%bash", "!"

Figures = dict[str, float]


def into_cell(kernel: Kernel, code: str) -> Figures:
    """Seconds until the cell has ended and its job too, and what came to the client for it."""
    kernel.listen(QUIET)
    cell = kernel.run(code, timeout=180)
    # The kernel's idle comes after what its cell printed, but not after what another thread prints.
    late = [message for message in kernel.listen(QUIET) if message.parent == cell.id]
    last = max([cell.ended, *(message.at for message in late)])
    messages = [*cell.messages, *late]
    return {
        "seconds": last - cell.sent,
        "messages": len(messages),
        "bytes": sum(message.size for message in messages),
    }


def spawned() -> Figures:
    with running_kernel(extension=True) as kernel:
        figures = into_cell(kernel, f"%%spawn -n lines -w --pipes {COMMAND}\n")
        kept = kernel.value("import ipyproc", "len(ipyproc.jobs['lines'].read(0, None))")
        if kept != SIZE:
            raise RuntimeError(f"the job kept {kept:,} bytes of {SIZE:,}")
        return figures


def by_bash() -> Figures:
    with running_kernel() as kernel:
        return into_cell(kernel, f"%%bash\n{COMMAND}")


def by_bang() -> Figures:
    with running_kernel() as kernel:
        return into_cell(kernel, f"!{COMMAND}")


def rows() -> list[Row]:
    """Four rows: time against both peers, messages, bytes.

    ``%%bash`` takes most of a minute: it runs once.
    """
    contenders = {OURS: spawned, BANG: by_bang}
    measured = in_turn(contenders, OUR_ROUNDS)
    once = in_turn({BASH: by_bash}, 1)
    measured.results |= once.results
    measured.failures |= once.failures
    measured.spins += once.spins
    lines = f"22 MB of lines ({COMMAND}) into a cell, all kept"
    asked = [
        (f"{lines}: time, beside %%bash", "s", Bar(1 / 50, BASH), "seconds"),
        (f"{lines}: time, beside !", "s", Bar(1 / 6, BANG), "seconds"),
        (f"{lines}: messages to the client", "", Bar(100), "messages"),
        (f"{lines}: bytes to the client", "B", Bar(1e6), "bytes"),
    ]
    return [
        measured.row("cell", what, unit, bar, lambda figures, key=key: figures[key])
        for what, unit, bar, key in asked
    ]


def shows(message: Message, line: str) -> bool:
    return line in (seen.strip() for seen in message.text.splitlines())


def first_output(kernel: Kernel, code: str) -> float:
    """Seconds from sending the cell to the first message that shows the output.

    Raises:
        RuntimeError: none does.
    """
    cell = kernel.run(code)
    messages, last = cell.messages, cell.ended + 10 * QUIET
    while messages or time.perf_counter() < last:
        for message in messages:
            if message.parent == cell.id and shows(message, "hi"):
                return message.at - cell.sent
        messages = kernel.listen(QUIET / 10)
    raise RuntimeError(f"no message showed the output of {code!r}")


def first_output_rows() -> list[Row]:
    """One row, both in one kernel, in turn."""
    what = "First output of `echo hi` in a cell, from sending the cell"
    with running_kernel() as kernel:

        def contender(code: str) -> Callable[[], float]:
            return lambda: first_output(kernel, code)

        loaded = in_turn({OURS: kernel.load_extension, BASH: contender("%%bash\necho hi")}, 1)
        contenders = {OURS: contender("%%spawn echo hi\n"), BASH: contender("%%bash\necho hi")}
        for who in loaded.failures:
            del contenders[who]
        measured = in_turn(contenders, FIRST_ROUNDS)
        measured.failures |= loaded.failures
    return [measured.row("first-output", what, "s", Bar(1.0, BASH))]
