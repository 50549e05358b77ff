"""Waiting in a cell, and what ■ does."""

from __future__ import annotations

import sys

from tests.notebook.kernels import Kernel

# Says each signal that reaches it, and goes on.
STUBBORN = f"""exec {sys.executable} -
import os, signal, time
newline = bytes([10])
for name in {{ignored!r}}:
    signal.signal(getattr(signal, name), lambda s, f: os.write(1, signal.Signals(s).name.encode() + newline))
print("up", flush=True)
while True:
    time.sleep(0.05)
"""


# By the time of its first output, the cell that started it waits for it. No shell in the foreground:
# for a moment after each fork it takes a SIGINT for itself.
WAITED_FOR = f"{sys.executable} -c 'import time; time.sleep(0.2); print(\"up\"); time.sleep(60)'"

WITH_A_CHILD = f"""exec {sys.executable} -
import signal, subprocess, time
signal.signal(signal.SIGINT, signal.{{disposition}})
child = subprocess.Popen(["sleep", "60"])
signal.signal(signal.SIGINT, signal.SIG_DFL)
time.sleep(0.2)
print("up")
time.sleep(60)
"""


# Says in the cell that waits for a job that its interrupts are the job's from now on.
WATCH = """
class Watcher:
    def on_started(self, job): pass
    def on_event(self, job, event):
        if event.kind.name == 'AWAITED': print('waits', flush=True)
watcher = Watcher()
ipyproc.jobs.add_watcher(watcher)
"""


def stubborn(*ignored: str) -> str:
    return STUBBORN.replace("{ignored!r}", repr(ignored))


def test_waiting_waits_and_shows_the_output_before_the_cell_ends(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn --pipes -w -n waited\nsleep 0.3; echo out; echo err >&2")
    assert (cell.stdout, cell.stderr) == ("out\n", "err\n")
    assert "exit 0" in cell.shown
    assert kernel.ask("ipyproc.jobs['waited'].done") is True


def test_a_waiting_line_gives_its_job(kernel: Kernel) -> None:
    kernel.run("job = %spawn -w echo one\nafter = job.returncode")
    assert kernel.ask("(after, job.output)") == (0, "one\n")


def test_a_waiting_line_in_a_loop_waits_each_time(kernel: Kernel) -> None:
    cell = kernel.run("for n in range(3):\n    %spawn -w sh -c 'sleep 0.1; echo {n}'\n    print('after', n)")
    assert cell.status == "ok", cell.error
    assert cell.stdout.split() == ["0", "after", "0", "1", "after", "1", "2", "after", "2"]


def test_a_waiting_job_with_no_body_has_an_empty_standard_input(kernel: Kernel) -> None:
    assert kernel.run("%spawn -w cat", timeout=30).status == "ok"


def test_the_first_interrupt_is_a_sigint_for_the_jobs_whole_group(kernel: Kernel) -> None:
    cell = kernel.start(f"%%spawn -w -n two {WITH_A_CHILD.format(disposition='SIG_DFL')}")
    kernel.until(lambda: cell.stdout == "up\n")
    assert len(kernel.children()) == 2
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    kernel.until(lambda: "SIGINT" in cell.shown)
    kernel.until(lambda: not kernel.children())


def test_an_interrupted_wait_ends_though_a_grandchild_ignores_it(kernel: Kernel) -> None:
    # As a shell has what it starts with & ignore it.
    cell = kernel.start(f"%%spawn --pipes -w -n two {WITH_A_CHILD.format(disposition='SIG_IGN')}")
    kernel.until(lambda: cell.stdout == "up\n")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    kernel.until(lambda: "SIGINT" in cell.shown and "left 1 running" in cell.shown)
    # Nothing waits for it any more; it is ended with the kernel, or here.
    for child in kernel.children():
        child.kill()


def test_the_second_interrupt_is_a_sigterm_and_the_third_a_sigkill(kernel: Kernel) -> None:
    cell = kernel.start(f"%%spawn -w -n tough {stubborn('SIGINT', 'SIGTERM')}")
    kernel.until(lambda: "up\n" in cell.stdout)
    kernel.interrupt()
    kernel.until(lambda: cell.stdout.endswith("SIGINT\n"))
    assert not cell.ended
    kernel.interrupt()
    kernel.until(lambda: cell.stdout.endswith("SIGTERM\n"))
    assert not cell.ended
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.stdout == "up\nSIGINT\nSIGTERM\n"
    assert cell.status == "error"
    kernel.until(lambda: "SIGKILL" in cell.shown)


def test_an_interrupt_reaches_the_foreground_job_and_no_background_job(kernel: Kernel) -> None:
    background = kernel.run(f"%%spawn -n behind {stubborn('SIGINT', 'SIGTERM')}")
    kernel.until(lambda: "up\n" in background.stdout)
    cell = kernel.start(f"%spawn -w {WAITED_FOR}")
    kernel.until(lambda: cell.stdout == "up\n")
    kernel.interrupt()
    kernel.finish(cell)
    assert kernel.ask("ipyproc.jobs['behind'].done") is False
    assert background.stdout == "up\n"


def test_an_interrupt_of_an_ordinary_cell_reaches_no_job(kernel: Kernel) -> None:
    background = kernel.run(f"%%spawn -n behind {stubborn('SIGINT')}")
    kernel.until(lambda: "up\n" in background.stdout)
    cell = kernel.start("import time\nprint('begun')\ntime.sleep(60)")
    kernel.until(lambda: cell.stdout)
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert kernel.ask("ipyproc.jobs['behind'].done") is False
    assert background.stdout == "up\n"


def test_an_await_is_interrupted_like_any_and_the_job_goes_on(kernel: Kernel) -> None:
    kernel.run("job = %spawn --pipes -n going sh -c 'read line; echo $line'")
    cell = kernel.start("print('waits')\nawait job")
    kernel.until(lambda: cell.stdout)
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    assert kernel.ask("job.done") is False
    again = kernel.run("job.send('end\\n')\nresult = await job")
    assert again.status == "ok", again.error
    assert kernel.ask("result.output") == "end\n"


def test_ordinary_interrupts_work_after_a_wait(kernel: Kernel) -> None:
    kernel.run("%spawn -w true")
    cell = kernel.start("import time\nprint('begun')\ntime.sleep(60)")
    kernel.until(lambda: cell.stdout)
    kernel.interrupt()
    assert kernel.finish(cell).reply["ename"] == "KeyboardInterrupt"


def test_an_interrupt_while_no_cell_runs_touches_nothing(kernel: Kernel) -> None:
    cell = kernel.run(f"%%spawn -n behind {stubborn('SIGINT')}")
    kernel.until(lambda: "up\n" in cell.stdout)
    kernel.interrupt()
    assert kernel.run("print('alive')").stdout == "alive\n"
    assert cell.stdout == "up\n"


def test_a_failing_wait_is_an_error_with_the_last_lines_of_stderr_and_no_frame_of_ours(
    kernel: Kernel,
) -> None:
    cell = kernel.run("%%spawn -w -n failing\necho one; echo two >&2; echo three >&2; exit 4")
    assert cell.status == "error"
    assert cell.reply["ename"] == "JobFailed"
    assert cell.error.count("\n") <= 4
    assert "exited with status 4" in cell.error and cell.error.endswith("two\nthree")
    assert "Traceback" not in cell.error and "ipyproc/" not in cell.error
    assert "exit 4" in cell.shown


def test_no_raise_error_makes_a_failure_no_error(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn -w --no-raise-error -n failing sh -c 'exit 4'")
    assert cell.status == "ok", cell.error
    assert kernel.ask("ipyproc.jobs['failing'].returncode") == 4


def test_the_cells_after_a_failing_wait_do_not_run_in_run_all(kernel: Kernel) -> None:
    failing, after = kernel.run_all("%spawn -w -n failing sh -c 'sleep 0.3; exit 4'", "print('ran')")
    assert failing.status == "error"
    assert after.status in ("aborted", "error")
    assert after.stdout == ""


def test_wait_waits_for_all_it_names_and_shows_them(kernel: Kernel) -> None:
    first = kernel.run("%spawn -n a sh -c 'sleep 0.2; echo a'")
    second = kernel.run("%spawn -n b sh -c 'sleep 0.3; echo b'")
    cell = kernel.run("%wait a b")
    assert kernel.ask("ipyproc.jobs['a'].done and ipyproc.jobs['b'].done") is True
    kernel.until(lambda: cell.shown.count("exit 0") == 2)
    kernel.until(lambda: (first.stdout, second.stdout) == ("a\n", "b\n"))


def test_wait_is_interrupted_for_its_jobs(kernel: Kernel) -> None:
    ticks = "import time\nwhile True: print('tick'); time.sleep(0.05)"
    ticking = kernel.run(f"%%spawn -n a exec {sys.executable} -\n{ticks}")
    kernel.until(lambda: "tick" in ticking.stdout)
    kernel.run(WATCH)
    cell = kernel.start("%wait a")
    kernel.until(lambda: "waits" in cell.stdout)
    kernel.interrupt()
    kernel.finish(cell)
    kernel.run("ipyproc.jobs.remove_watcher(watcher)")
    assert kernel.ask("ipyproc.jobs['a'].returncode") == -2


def test_wait_for_a_job_that_has_failed_is_an_error(kernel: Kernel) -> None:
    kernel.run("%spawn -w --no-raise-error -n bad sh -c 'echo why >&2; exit 3'")
    cell = kernel.run("%wait bad")
    assert cell.reply["ename"] == "JobFailed" and "why" in cell.error
    assert "ipyproc/" not in cell.error


def test_a_job_with_a_restart_policy_is_not_started_again_by_an_interrupt(kernel: Kernel) -> None:
    cell = kernel.start(f"%spawn -w -n always --restart always {WAITED_FOR}")
    kernel.until(lambda: cell.stdout == "up\n")
    kernel.interrupt()
    kernel.finish(cell)
    assert kernel.ask("ipyproc.jobs['always'].done") is True
