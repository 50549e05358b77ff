"""What is left when the kernel ends, and what a kernel holds when its jobs have ended."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.notebook.kernels import Kernel, is_warden
from tests.support import lives, wait_until

PASSING = {"ipyproc census", "ipyproc find", "ipyproc live view"}
"""Threads that are there for a moment."""

START = """
import sys
ignoring = (
    "import signal, time\\n"
    "for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(s, signal.SIG_IGN)\\n"
    "print('up', flush=True)\\n"
    "while True: time.sleep(0.1)\\n"
)
grandchild = "sleep 300 & echo up; sleep 301"
jobs = [ipyproc.spawn(grandchild, name=f"family-{n}") for n in range(4)]
jobs += [ipyproc.spawn([sys.executable, "-c", ignoring], name=f"ignoring-{n}") for n in range(3)]
jobs += [ipyproc.spawn("trap '' TERM INT; sleep 300 & echo up; wait", name=f"trap-{n}") for n in range(2)]
jobs += [ipyproc.spawn("set -m; sleep 300 & echo up; wait", name="own-group")]
"""


def start_ten(kernel: Kernel) -> list[psutil.Process]:
    """Ten jobs, among them ones with children and ones that ignore signals; all their processes."""
    assert kernel.run(START).status == "ok"
    kernel.ask_until("all('up' in job.output for job in jobs)")
    kernel.until(lambda: len(kernel.children()) >= 17)
    return kernel.children()


def wait_until_gone(processes: list[psutil.Process]) -> None:
    living = list(processes)

    def gone() -> bool:
        living[:] = filter(lives, living)
        return not living

    try:
        wait_until(gone)
    except AssertionError:
        pytest.fail(f"still running: {[(p, p.cmdline()) for p in living if lives(p)]}")


def is_no_more(now: Sequence[Any], before: Sequence[Any]) -> bool:
    """Whether nothing is held but what was held before; of that, what was to go may be gone."""
    fds, *names = now
    return fds <= before[0] and not any(
        Counter(here) - Counter(then) for here, then in zip(names, before[1:], strict=True)
    )


def wardens(kernel: Kernel) -> list[psutil.Process]:
    return [process for process in psutil.Process(kernel.pid).children() if is_warden(process)]


def test_nothing_of_ten_jobs_runs_after_a_kill_of_the_kernel(fresh_kernel: Kernel) -> None:
    processes = [*start_ten(fresh_kernel), *wardens(fresh_kernel)]
    fresh_kernel.kill()
    wait_until_gone(processes)


def test_nothing_of_ten_jobs_runs_after_a_shutdown(fresh_kernel: Kernel) -> None:
    processes = [*start_ten(fresh_kernel), *wardens(fresh_kernel)]
    fresh_kernel.manager.shutdown_kernel()
    wait_until_gone(processes)


def test_nothing_of_ten_jobs_runs_after_a_restart_and_the_new_kernel_starts_with_none(
    fresh_kernel: Kernel,
) -> None:
    kernel = fresh_kernel
    processes = [*start_ten(kernel), *wardens(kernel)]
    kernel.disconnect()
    kernel.manager.restart_kernel()
    wait_until_gone(processes)
    kernel.connect()
    cell = kernel.run("%load_ext ipyproc\nimport ipyproc\njob = %spawn echo again\nawait job")
    assert cell.status == "ok" and cell.stdout == "again\n"
    assert kernel.ask("len(ipyproc.jobs)") == 1


def test_nothing_runs_after_a_kill_of_the_warden_and_a_shutdown_of_the_kernel(fresh_kernel: Kernel) -> None:
    processes = start_ten(fresh_kernel)
    wardens(fresh_kernel)[0].kill()
    fresh_kernel.manager.shutdown_kernel()
    wait_until_gone(processes)


def test_a_warden_that_was_killed_is_replaced_and_does_its_work(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    processes = start_ten(kernel)
    (first,) = wardens(kernel)
    first.kill()
    kernel.until(lambda: any(warden.pid != first.pid for warden in wardens(kernel)))
    processes += wardens(kernel)
    kernel.kill()
    wait_until_gone(processes)


def test_a_kernel_that_exits_by_itself_ends_its_jobs(fresh_kernel: Kernel) -> None:
    processes = start_ten(fresh_kernel)
    fresh_kernel.start("import os; os.kill(os.getpid(), 15)")
    wait_until_gone(processes)


def test_two_hundred_quick_jobs_leave_no_fd_no_thread_no_zombie_and_no_file(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    kernel.run("import os, threading, asyncio, tempfile")
    once = (
        "for _ in range({}):\n"
        "    jobs = [ipyproc.spawn(['echo', str(n)]) for n in range(25)]\n"
        "    await asyncio.gather(*jobs)\n"
        "    ipyproc.jobs.clear()\n"
        "del jobs"
    )
    counts = (
        "(len(os.listdir('/proc/self/fd')), [t.name for t in threading.enumerate()], "
        "[f for f in os.listdir(tempfile.gettempdir()) if f.startswith('ipyproc')])"
    )
    assert kernel.run(once.format(1)).status == "ok"
    # From its first message on, a thread has a socket of ipykernel's: the guard's is made here.
    folder = Path(kernel.ask("os.getcwd()"))
    held = kernel.start(
        "job = ipyproc.spawn('echo first; read line; echo second')\n"
        "import time\nwhile not os.path.exists('seen'): time.sleep(0.01)"
    )
    kernel.until(lambda: held.stdout == "first\n")
    (folder / "seen").touch()
    kernel.finish(held)
    kernel.run("job.send('go\\n')\nawait job\ndel job\nipyproc.jobs.clear()")
    kernel.until(lambda: not PASSING & {*kernel.ask(counts)[1]})
    before = kernel.ask(counts)
    assert kernel.run(once.format(8)).status == "ok"
    kernel.until(lambda: is_no_more(kernel.ask(counts), before))
    kernel.until(lambda: not kernel.children())


def test_a_stopped_kernels_large_outputs_leave_no_file(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    directory = Path(kernel.ask("__import__('tempfile').gettempdir()"))
    cell = kernel.run("%%spawn seq 1 300000")
    kernel.until(lambda: "exit 0" in cell.shown)

    def left() -> list[Path]:
        return [path for path in directory.iterdir() if path.name.startswith("ipyproc")]

    assert len(left()) == 1
    kernel.shut_down()
    wait_until(lambda: not left())


def test_an_unloaded_extension_leaves_no_thread_and_no_fd(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    # ipykernel closes the socket of a thread that has ended within ten seconds; asked to, it does so at once.
    kernel.run(
        "import asyncio, os, threading\n"
        "def held():\n"
        "    iopub = get_ipython().kernel.iopub_thread\n"
        "    loop = iopub.io_loop.asyncio_loop\n"
        "    asyncio.run_coroutine_threadsafe(iopub._event_pipe_gc(), loop).result(30)\n"
        "    return len(os.listdir('/proc/self/fd')), [t.name for t in threading.enumerate()]"
    )
    counts = "held()"
    kernel.run("%spawn -w true")
    kernel.run("%unload_ext ipyproc")
    kernel.until(lambda: not [name for name in kernel.ask(counts)[1] if "ipyproc" in name])
    before = kernel.ask(counts)
    for _ in range(3):
        kernel.run("%load_ext ipyproc\n%spawn -w true\n%unload_ext ipyproc")
        kernel.run("%load_ext ipyproc")
        kernel.run("%spawn -w true")
        kernel.run("%unload_ext ipyproc")
    kernel.until(lambda: is_no_more(kernel.ask(counts), before))


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGTERM])
def test_a_kernel_that_is_ended_by_a_signal_leaves_nothing(fresh_kernel: Kernel, signum: int) -> None:
    cell = fresh_kernel.run(f"%%spawn {sys.executable} -c 'import time; time.sleep(300)'")
    fresh_kernel.until(lambda: "running" in cell.shown)
    processes = [*fresh_kernel.children(), *wardens(fresh_kernel)]
    assert len(processes) >= 2
    os.kill(fresh_kernel.pid, signum)
    wait_until_gone(processes)


def test_a_stop_that_comes_before_the_process_is_looked_after_holds(fresh_kernel: Kernel) -> None:
    cell = fresh_kernel.run(
        "import os, threading, time\n"
        "def go():\n"
        "    global job\n"
        "    job = ipyproc.spawn(\"trap '' INT TERM; : > deaf; while :; do sleep 0.1; done\", name='deaf')\n"
        "thread = threading.Thread(target=go); thread.start(); thread.join()\n"
        "while not os.path.exists('deaf'): time.sleep(0.01)\n"
        "print((await job.stop(0.2)).ended_by)"
    )
    assert cell.stdout == "SIGKILL\n"


def test_an_interrupt_while_jobs_are_spawned_leaves_none_outside_the_table(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    for _ in range(3):
        before = len(kernel.children())
        # More than it comes to: ipykernel answers no cell that is interrupted as it begins or ends. And
        # ever more slowly, should the interrupt come late.
        cell = kernel.start(
            "import time\n"
            "for n in range(2000):\n"
            "    ipyproc.spawn(['sleep', '1000'], quiet=True)\n"
            "    time.sleep(0.1 if n > 200 else 0)"
        )
        kernel.until(lambda before=before: len(kernel.children()) > before + 20)
        kernel.interrupt()
        kernel.finish(cell)
    pids = [child.pid for child in kernel.children()]
    # Asked there: of a list of more than a thousand, IPython shows the beginning.
    assert kernel.ask(f"sorted(set({pids}) - {{job.pid for job in ipyproc.jobs}})") == []
