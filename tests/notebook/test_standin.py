"""Output stays live, and children are not stalled, while a cell holds the kernel's loop."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.notebook.kernels import Kernel
from tests.notebook.test_output import busiest

# A cell that holds the loop until the test has seen enough.
HOLD = """
import os, time
end, n = time.monotonic() + 120, 0
while not os.path.exists("enough") and time.monotonic() < end:
    {}
enough = os.path.exists("enough")
os.unlink("enough")
"""


@pytest.mark.parametrize(
    "meanwhile", ["time.sleep(0.2)", "n += sum(i * i for i in range(200))"], ids=["sleeping", "computing"]
)
def test_output_stays_live_while_a_cell_holds_the_loop(kernel: Kernel, meanwhile: str) -> None:
    folder = Path(kernel.ask("__import__('os').getcwd()"))
    ticking = kernel.run("%%spawn -n ticking\nn=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done")
    kernel.until(lambda: ticking.stdout)
    holding = kernel.start(HOLD.format(meanwhile))
    kernel.until(lambda: any(message.kind == "execute_input" for message in holding.messages))
    before = len(ticking.streams)
    kernel.until(lambda: len(ticking.streams) >= before + 5)
    assert not holding.ended
    (folder / "enough").touch()
    kernel.finish(holding)
    assert kernel.ask("enough") is True
    kernel.run("%stop ticking")
    assert ticking.stdout == "".join(f"{i}\n" for i in range(1, ticking.stdout.count("\n") + 1))


def test_a_child_that_writes_50_megabytes_meanwhile_is_not_stalled(kernel: Kernel) -> None:
    kernel.run("import os, time, hashlib")
    program = (
        "import sys\n"
        "for i in range(50): sys.stdout.buffer.write((b'%07d\\n' % i) * 125_000)\n"
        "sys.stdout.close(); open('written', 'w').close()\n"
    )
    kernel.run(f"%%spawn --pipes -n large {sys.executable} -\n{program}")
    held = kernel.run(
        "end = time.monotonic() + 120\n"
        "while not os.path.exists('written') and time.monotonic() < end: time.sleep(0.01)\n"
        "finished = os.path.exists('written')",
        timeout=150,
    )
    assert held.status == "ok"
    assert kernel.ask("finished") is True
    kernel.ask_until("ipyproc.jobs['large'].done")
    kernel.run("content = ipyproc.jobs['large'].read()")
    assert kernel.ask("len(content)") == 50_000_000
    assert kernel.ask("content == b''.join((b'%07d\\n' % i) * 125_000 for i in range(50))") is True


def test_a_cell_that_waits_for_a_child_that_waits_for_the_jobs_pipe_does_not_deadlock(kernel: Kernel) -> None:
    kernel.run("import os, subprocess\nos.mkfifo('gate')")
    kernel.run("%%spawn -n flooding\nhead -c 5000000 /dev/zero; echo done > gate")
    held = kernel.run("print(subprocess.run('cat gate', shell=True, capture_output=True).stdout)")
    assert held.stdout == "b'done\\n'\n"
    kernel.ask_until("ipyproc.jobs['flooding'].done")
    assert kernel.ask("len(ipyproc.jobs['flooding'].read())") == 5_000_000


def test_both_streams_stay_in_order_while_the_loop_is_held_and_freed(kernel: Kernel) -> None:
    lines = "n=0; while [ $n -lt 60 ]; do n=$((n+1)); echo o$n; echo e$n >&2; sleep 0.02; done"
    cell = kernel.run(f"%%spawn --pipes -n both\n{lines}")
    for _ in range(6):
        kernel.run("import time; time.sleep(0.25)")
    kernel.until(lambda: "exit 0" in cell.shown and cell.stderr.endswith("e60\n"))
    assert cell.stdout == "".join(f"o{i}\n" for i in range(1, 61))
    assert cell.stderr == "".join(f"e{i}\n" for i in range(1, 61))


def test_what_a_job_of_the_same_cell_writes_is_live_while_the_cell_goes_on(kernel: Kernel) -> None:
    folder = Path(kernel.ask("__import__('os').getcwd()"))
    cell = kernel.start("ipyproc.spawn('echo early', name='same')" + HOLD.format("time.sleep(0.02)"))
    kernel.until(lambda: cell.stdout == "early\n")
    (folder / "enough").touch()
    kernel.finish(cell)
    assert kernel.ask("enough") is True


def test_a_flood_stays_in_the_budget_while_the_loop_is_held(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn -n flood yes")
    kernel.run("import time; time.sleep(1)")
    kernel.run("%stop flood")
    count, size = busiest(cell.messages, 2.0)
    assert count < 100
    assert size < 1_000_000


def test_a_quiet_kernels_stand_in_sleeps(kernel: Kernel) -> None:
    kernel.run("%%spawn -n silent sleep 60")
    counted = (
        "sum(int(open(f'/proc/self/task/{t.native_id}/status').read().split('voluntary_ctxt_switches:')[1]"
        ".split()[0]) for t in __import__('threading').enumerate() if t.name == 'ipyproc stand-in')"
    )
    kernel.run("import warnings; warnings.simplefilter('ignore', ResourceWarning)")

    def sleeps() -> bool:
        before = kernel.ask(counted)
        kernel.run("import time; time.sleep(0.6)")
        return kernel.ask(counted) - before < 5

    # A wait for the interpreter's lock counts as well, as beside the job's start.
    kernel.until(sleeps)


def test_a_held_loop_queues_one_look_for_readiness_not_one_a_read(kernel: Kernel) -> None:
    cell = kernel.run(
        "import asyncio, time\n"
        "job = ipyproc.spawn('while :; do echo x; sleep 0.002; done', ready='never', quiet=True)\n"
        "while job.size <= 100: time.sleep(0.05)\n"
        "queued = [handle for handle in asyncio.get_running_loop()._ready if '_look' in repr(handle)]\n"
        "print(len(queued))"
    )
    assert int(cell.stdout) <= 2
