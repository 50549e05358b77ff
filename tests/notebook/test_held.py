"""Jobs live on while a cell holds the loop, and code that cannot await waits for them."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from ipyproc.process.platform.sessions import session_members
from tests.notebook.kernels import Cell, Kernel, running_kernel
from tests.support import wait_until

# Holds the loop, and says when things came about meanwhile: nothing here ever gives the loop a turn.
HELD = """
import time
def held(seconds, **conditions):
    began, came = time.monotonic(), {}
    while time.monotonic() - began < seconds:
        for name, condition in conditions.items():
            if name not in came and condition():
                came[name] = round(time.monotonic() - began, 2)
        time.sleep(0.01)
        if len(came) == len(conditions):
            break
    return sorted(came)
"""


@pytest.fixture
def held(kernel: Kernel) -> Kernel:
    assert kernel.run(HELD).status == "ok"
    return kernel


def good(cell: Cell) -> Cell:
    assert cell.status == "ok", cell.error
    return cell


# What the stand-in drives


def test_a_timeout_fires_in_a_held_kernel(held: Kernel) -> None:
    cell = good(
        held.run(
            "late = ipyproc.spawn('sleep 60', timeout=0.3, quiet=True)\n"
            "print(held(60, done=lambda: late.done), late.returncode, late.state)"
        )
    )
    assert cell.stdout == "['done'] -2 JobState.EXITED\n"


def test_an_exit_is_seen_and_followed_by_a_restart_in_a_held_kernel(held: Kernel) -> None:
    cell = good(
        held.run(
            "flaky = ipyproc.spawn('echo run; exit 3', restart='on-failure', max_restarts=2, backoff=0.1,"
            " quiet=True)\n"
            "print(held(60, done=lambda: flaky.done), flaky.output.split(), flaky.snapshot().restarts)"
        )
    )
    assert cell.stdout == "['done'] ['run', 'run', 'run'] 2\n"


def test_the_exit_of_a_process_that_leaves_its_pipes_to_another_is_seen_in_a_held_kernel(
    held: Kernel,
) -> None:
    cell = good(
        held.run(
            "leaves = ipyproc.spawn('sleep 60 & sleep 0.5; exit 3', quiet=True)\n"
            "print(held(60, done=lambda: leaves.done), leaves.returncode)"
        )
    )
    assert cell.stdout == "['done'] 3\n"


def test_what_is_sent_reaches_the_child_in_a_held_kernel(held: Kernel) -> None:
    cell = good(
        held.run(
            "cat = ipyproc.spawn('wc -c', quiet=True)\n"
            "cat.send('x' * 3_000_000)\n"
            "cat.close_stdin()\n"
            "print(held(60, done=lambda: cat.done), cat.output.strip())"
        )
    )
    assert cell.stdout == "['done'] 3000000\n"


def test_a_stop_goes_on_to_its_sigkill_in_a_held_kernel(held: Kernel) -> None:
    deaf = "trap '' INT TERM; echo set; while :; do sleep 0.05; done"
    good(held.run(f'deaf = ipyproc.spawn("{deaf}", quiet=True)'))
    held.ask_until("deaf.output == 'set\\n'")
    cell = good(
        held.run(
            "import asyncio\n"
            "stopping = asyncio.ensure_future(deaf.stop(grace=0.3))\n"
            "await asyncio.sleep(0)\n"
            "print(held(60, done=lambda: deaf.done), (await stopping).ended_by)"
        )
    )
    assert cell.stdout == "['done'] SIGKILL\n"


def test_a_kill_and_readiness_are_seen_in_a_held_kernel(held: Kernel) -> None:
    cell = good(
        held.run(
            "job = ipyproc.spawn('sleep 0.3; echo up; sleep 60', ready='up', quiet=True)\n"
            "print(held(60, ready=lambda: job.snapshot().ready))\n"
            "job.kill()\n"
            "print(held(60, done=lambda: job.done), job.returncode)"
        )
    )
    assert cell.stdout == "['ready']\n['done'] -9\n"


def test_what_a_job_has_left_ends_in_a_held_kernel(held: Kernel) -> None:
    good(held.run("left = ipyproc.spawn('sleep 600 >/dev/null 2>&1 & echo $!', name='left')\nawait left"))
    cell = held.run(
        "import os\nbefore = left.left\nos.kill(int(left.output), 9)\n"
        "print(before, held(60, gone=lambda: not left.left))"
    )
    assert good(cell).stdout == "1 ['gone']\n"


# Waiting in code that cannot await

FLAKY = "ipyproc.spawn('echo run; exit 1', restart='on-failure', max_restarts=1, backoff=0.05)"


@pytest.mark.parametrize(
    "code",
    [
        f"result = {FLAKY}.join(60, raise_error=False)",
        f"def wait():\n    return {FLAKY}.join(60, raise_error=False)\nresult = wait()",
        f"result = [{FLAKY}.join(60, raise_error=False) for _ in range(2)][1]",
        f"%time result = {FLAKY}.join(60, raise_error=False)",
        f"%%time\nresult = {FLAKY}.join(60, raise_error=False)",
        f"%%capture\nresult = {FLAKY}.join(60, raise_error=False)",
    ],
    ids=["cell", "function", "comprehension", "time", "timed cell", "capture"],
)
def test_a_join_waits_wherever_it_stands(kernel: Kernel, code: str) -> None:
    good(kernel.run(code))
    assert kernel.ask("(result.returncode, result.output)") == (1, "run\nrun\n")


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    %spawn -w -n it sh -c 'sleep 0.3; echo out'\nf()\n",
        "%time %spawn -w -n it sh -c 'sleep 0.3; echo out'\n",
        "%%time\n%spawn -w -n it sh -c 'sleep 0.3; echo out'\n",
        "%%capture\n%spawn -w -n it sh -c 'sleep 0.3; echo out'\n",
        "get_ipython().run_line_magic('spawn', '-w -n it sh -c \"sleep 0.3; echo out\"')\n",
        "get_ipython().run_cell_magic('spawn', '-w -n it', 'sleep 0.3; echo out')\n",
    ],
    ids=["function", "time", "timed cell", "capture", "line magic", "cell magic"],
)
def test_a_waiting_line_waits_wherever_it_stands(kernel: Kernel, code: str) -> None:
    good(kernel.run(f"{code}after = ipyproc.jobs['it'].done" if not code.startswith("%%") else code))
    assert kernel.ask("(ipyproc.jobs['it'].returncode, ipyproc.jobs['it'].output)") == (0, "out\n")
    if not code.startswith("%%"):
        assert kernel.ask("after") is True


def test_a_waiting_line_in_a_file_waits(kernel: Kernel) -> None:
    folder = Path(str(kernel.ask("__import__('os').getcwd()")))
    (folder / "x.ipy").write_text(
        "%spawn -w -n it sh -c 'sleep 0.3; echo out'\n"
        "def f():\n    %spawn -w -n deeper sh -c 'sleep 0.1; exit 0'\n"
        "f()\n"
        "after = [job.done for job in ipyproc.jobs]\n"
    )
    good(kernel.run("%run x.ipy"))
    assert kernel.ask("(after, ipyproc.jobs['it'].output)") == ([True, True], "out\n")


def test_a_failure_of_a_wait_in_a_function_is_an_error_there(kernel: Kernel) -> None:
    cell = kernel.run(
        "def f():\n    %spawn --pipes -w sh -c 'echo why >&2; exit 3'\n"
        "try:\n    f()\nexcept ipyproc.JobFailed as error:\n    print('failed', error.returncode)"
    )
    assert good(cell).stdout == "failed 3\n"


def test_the_extension_is_loaded_and_used_in_one_cell(tmp_path: Path) -> None:
    with running_kernel(tmp_path) as kernel:
        good(kernel.run("%unload_ext ipyproc"))
        good(
            kernel.run(
                "%load_ext ipyproc\nimport ipyproc\n%spawn -n long sleep 60\n%stop long\n"
                "after = ipyproc.jobs['long'].returncode"
            )
        )
        assert kernel.ask("after") == -2


# Interrupts


@pytest.mark.parametrize("where", ["%spawn -w -n it {}", "def f():\n    %spawn -w -n it {}\nf()"])
def test_an_interrupt_of_a_waiting_line_goes_to_its_job(kernel: Kernel, where: str) -> None:
    kernel.run(
        "class Watcher:\n"
        "    def on_started(self, job): pass\n"
        "    def on_event(self, job, event):\n"
        "        if event.kind.name == 'AWAITED': print('waits', flush=True)\n"
        "watcher = Watcher()\n"
        "ipyproc.jobs.add_watcher(watcher)"
    )
    program = "import time; print('up', flush=True); time.sleep(60)"
    cell = kernel.start(where.format(f'{sys.executable} -c "{program}"'))
    # Its output may be shown before the wait for it has begun.
    kernel.until(lambda: "up" in cell.stdout and "waits" in cell.stdout)
    kernel.interrupt()
    kernel.finish(cell)
    kernel.run("ipyproc.jobs.remove_watcher(watcher)")
    assert cell.status == "error"
    kernel.ask_until("ipyproc.jobs['it'].done")
    assert kernel.ask("ipyproc.jobs['it'].returncode") == -2
    assert not kernel.children()


@pytest.mark.parametrize("where", ["%spawn -w -n it sleep 60", "def f():\n    %spawn -w -n it sleep 60\nf()"])
def test_an_interrupt_between_the_start_and_the_wait_goes_to_the_job(kernel: Kernel, where: str) -> None:
    kernel.run(
        "import os, pathlib, signal\n"
        "class Interrupting:\n"
        "    def on_started(self, job):\n"
        "        # Not the shell, which for a moment takes a SIGINT for itself.\n"
        "        while pathlib.Path(f'/proc/{job.pid}/comm').read_text() != 'sleep\\n': pass\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    def on_event(self, job, event): pass\n"
        "watcher = Interrupting()\n"
        "ipyproc.jobs.add_watcher(watcher)"
    )
    try:
        cell = kernel.run(where)
    finally:
        kernel.run("ipyproc.jobs.remove_watcher(watcher)")
    assert cell.status == "error" and "SIGINT" in cell.error
    assert kernel.ask("ipyproc.jobs['it'].returncode") == -2


def test_an_interrupt_of_a_join_leaves_the_job_running(kernel: Kernel) -> None:
    cell = kernel.start(
        "job = ipyproc.spawn('echo up; exec sleep 60', name='it')\nprint('joins', flush=True)\njob.join()"
    )
    # The job's output may be shown before `job` is assigned.
    kernel.until(lambda: "up" in cell.stdout and "joins" in cell.stdout)
    kernel.interrupt()
    kernel.finish(cell)
    assert "KeyboardInterrupt" in cell.error
    assert kernel.ask("(job.done, job.state.value)") == (False, "running")
    good(kernel.run("%stop it"))
    assert kernel.ask("job.returncode") == -2


# What an ended job has left


def test_what_a_job_left_is_shown_and_stopped(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn --pipes -n web -w\nsleep 60 >/dev/null 2>&1 & echo started")
    assert "left 1 running" in cell.shown
    (left,) = map(psutil.Process, session_members(kernel.ask("ipyproc.jobs['web'].pid")))
    shown = good(kernel.run("%jobs"))
    assert "web" in shown.shown and "left 1 running" in shown.shown
    refused = kernel.run("%spawn --pipes -n web true")
    assert "A job named 'web' has ended and left 1 running; replace it" in refused.error + refused.stderr
    # What a shell has started in the background ignores a SIGINT.
    before = kernel.ask("get_ipython().run_line_magic('config', 'IPyProc.grace')")
    kernel.run("%config IPyProc.grace = 0.2")
    good(kernel.run("%stop web"))
    kernel.run(f"%config IPyProc.grace = {before}")
    wait_until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
    assert kernel.ask("ipyproc.jobs['web'].left") == 0
    assert good(kernel.run("%spawn --pipes -n web -w echo next")).stdout == "next\n"
