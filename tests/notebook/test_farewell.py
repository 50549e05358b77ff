"""What is said at the end of a kernel, or of an IPython, in which jobs still run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.notebook.kernels import Cell, Kernel, running_kernel
from tests.support import PYTHONPATH

ENDED = "ended with the kernel"


def test_the_cells_of_running_jobs_say_that_they_ended_with_the_kernel(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    one = kernel.run("%%spawn -n one\necho up; exec sleep 60")
    two = kernel.run("%%spawn -n two sleep 60")
    over = kernel.run("%%spawn -n over true")
    table = kernel.run("%jobs")
    kernel.until(lambda: "up\n" in one.stdout and "exit 0" in over.shown)
    kernel.shut_down()
    kernel.until(lambda: ENDED in one.shown and ENDED in two.shown)
    assert "running" not in one.shown + two.shown
    assert ENDED not in over.shown
    kernel.until(lambda: ENDED in table.shown)
    assert "running" not in table.shown


def test_a_cell_that_runs_at_the_kernels_shutdown_does_not_keep_its_jobs_from_saying_so(
    fresh_kernel: Kernel,
) -> None:
    cell = fresh_kernel.start("ipyproc.spawn('sleep 60')\nimport time; time.sleep(300)")
    fresh_kernel.until(lambda: "running" in cell.shown)
    fresh_kernel.shut_down()
    fresh_kernel.until(lambda: ENDED in cell.shown)
    fresh_kernel.kill()


def test_a_worker_group_says_that_it_ended_with_the_kernel(fresh_kernel: Kernel) -> None:
    cell = fresh_kernel.run("%%fork -n 2 --bg\nprint('up')\nimport time; time.sleep(60)")
    fresh_kernel.until(lambda: cell.stdout.count("up") == 2)
    fresh_kernel.shut_down()
    fresh_kernel.until(lambda: ENDED in cell.shown)
    assert "running" not in cell.shown


def test_output_that_came_last_is_shown_before_the_kernels_end(fresh_kernel: Kernel) -> None:
    cell = fresh_kernel.run("%%spawn -n flood yes")
    fresh_kernel.until(lambda: "not shown" in cell.shown)
    fresh_kernel.shut_down()
    fresh_kernel.until(lambda: ENDED in cell.shown)


def test_quit_in_a_cell_says_it_too(fresh_kernel: Kernel) -> None:
    # Whatever ends the jobs does so before this: whoever has not said it by then sees how each of them ended.
    fresh_kernel.run("import atexit, time; atexit.register(time.sleep, 1)")
    cell = fresh_kernel.run("%%spawn\ntrap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
    fresh_kernel.until(lambda: "up\n" in cell.stdout)
    fresh_kernel.start("quit()")
    fresh_kernel.ending = True
    fresh_kernel.until(lambda: ENDED in cell.shown)


def test_a_captured_status_and_one_in_a_widget_say_it(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    kernel.run("import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    ipyproc.spawn('sleep 60')")
    kernel.ask_until("'running' in repr(out.outputs)")
    kernel.shut_down()
    kernel.until(lambda: any(m.kind == "comm_msg" and ENDED in str(m.content) for m in kernel.messages))


def test_the_kernels_own_standard_error_names_the_jobs_once(tmp_path: Path) -> None:
    with running_kernel(tmp_path) as kernel:
        kernel.run("%%spawn -n one sleep 60")
        kernel.run("job = %spawn -n over -w true")
        kernel.run("job = %spawn -q -n bad false")
        kernel.ask_until("ipyproc.jobs['bad'].done")
        pid = kernel.ask("ipyproc.jobs['one'].pid")
    said = [line for line in (tmp_path / "kernel.log").read_text().splitlines() if "ipyproc" in line]
    assert sorted(said) == [
        "ipyproc: job 'bad' failed (exit 1), and nothing awaited it.",
        f"ipyproc: job 'one' (pid {pid}) was still running and was ended.",
    ]


def test_a_fork_that_ends_says_nothing_of_jobs_that_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, sys\n"
        "get_ipython().extension_manager.load_extension('ipyproc')\n"
        "import ipyproc\n"
        "job = ipyproc.spawn('sleep 60', name='one')\n"
        "bad = ipyproc.spawn('exit 7', name='bad', quiet=True)\n"
        "while not bad.done: pass\n"
        "if not (pid := os.fork()):\n"
        "    sys.exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print('alive', not job.done)\n"
    )
    done = ipython(tmp_path, "script.py")
    assert "alive True" in done.stdout
    assert len(done.stderr.splitlines()) == 2


# A quiet job that fails


def status_of(cell: Cell) -> list[str]:
    return [display.text for display in cell.displays]


def test_a_quiet_job_that_fails_is_told_in_one_line_of_its_cell(kernel: Kernel) -> None:
    cell = kernel.run("job = %spawn -q -n bad sh -c 'echo why; exit 3'")
    kernel.until(lambda: "exit 3" in cell.shown)
    assert len(cell.displays) == 1 and "bad" in cell.shown and not cell.streams
    await_later = kernel.run("r = await job.wait(raise_error=False)")
    assert not await_later.displays and len(cell.displays) == 1


def test_a_quiet_job_that_is_awaited_is_told_by_that_alone(kernel: Kernel) -> None:
    # However long the next cell is in coming.
    kernel.run("from ipyproc.views import quiet\nbefore, quiet._PAUSE = quiet._PAUSE, 1000.0")
    cell = kernel.run("job = %spawn -q -n bad false")
    kernel.ask_until("job.done")
    awaiting = kernel.run("await job")
    assert "JobFailed" in awaiting.error
    kernel.run("quiet._PAUSE = before")
    other = kernel.run("other = %spawn -q -n other false")
    kernel.until(lambda: "exit 1" in other.shown)
    assert not cell.displays


def test_a_quiet_job_that_ends_well_or_is_stopped_or_killed_leaves_nothing(kernel: Kernel) -> None:
    cells = [
        kernel.run("well = %spawn -q -n well true"),
        kernel.run("stopped = %spawn -q -n stopped sleep 60\n%stop stopped"),
        kernel.run("killed = %spawn -q -n killed sleep 60\nkilled.kill()"),
    ]
    last = kernel.run("late = ipyproc.spawn('sleep 60', timeout=0.1, name='late', quiet=True)")
    kernel.until(lambda: "timed out" in last.shown)
    assert [len(cell.displays) for cell in cells] == [0, 0, 0]


def test_a_quiet_job_that_fails_while_its_cell_runs_can_be_awaited_in_it(kernel: Kernel) -> None:
    cell = kernel.run(
        "import asyncio\n"
        "job = ipyproc.spawn('exit 4', quiet=True)\n"
        "await asyncio.sleep(1.5)\n"
        "print((await job.wait(raise_error=False)).returncode)"
    )
    other = kernel.run("other = %spawn -q -n other false")
    kernel.until(lambda: "exit 1" in other.shown)
    assert cell.stdout == "4\n" and not cell.displays


# An IPython without a prompt


def ipython(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": PYTHONPATH,
        "IPYTHONDIR": str(directory / "ipython"),
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "IPython", "--HistoryManager.enabled=False", *arguments],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_ipython_with_a_command_waits_for_its_job(tmp_path: Path) -> None:
    done = ipython(tmp_path, "--ext", "ipyproc", "-c", "%%spawn\nsleep 0.5; echo late")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nlate\n" in done.stdout and "exit 0" in done.stdout


def test_ipython_with_a_command_has_its_jobs_failure_as_its_own(tmp_path: Path) -> None:
    done = ipython(tmp_path, "--ext", "ipyproc", "-c", "%%spawn\necho out; exit 3")
    assert done.returncode == 1
    assert "JobFailed" in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr


def test_ipython_with_a_command_says_which_jobs_its_end_has_ended(tmp_path: Path) -> None:
    done = ipython(
        tmp_path, "--ext", "ipyproc", "-c", "job = get_ipython().run_line_magic('spawn', 'sleep 60')"
    )
    assert done.returncode == 0
    assert done.stderr == _line_of(done.stdout, "sleep")


def test_ipython_with_a_notebook_script_waits_for_its_job(tmp_path: Path) -> None:
    script = "%load_ext ipyproc\nget_ipython().run_cell_magic('spawn', '', 'sleep 0.3; echo late; exit 5')\n"
    (tmp_path / "script.ipy").write_text(script)
    done = ipython(tmp_path, "script.ipy")
    assert done.returncode == 1 and "\nlate\n" in done.stdout and "exit 5" in done.stdout


def test_ipython_with_a_script_waits_for_its_magics_and_names_the_jobs_it_ends(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "shell = get_ipython()\n"
        "shell.extension_manager.load_extension('ipyproc')\n"
        "shell.run_cell_magic('spawn', '-n one', 'sleep 0.3; echo late')\n"
        "import ipyproc\n"
        "ipyproc.spawn('sleep 60', name='two')\n"
        "bad = ipyproc.spawn('exit 7', name='bad', quiet=True)\n"
        "import time\n"
        "while not bad.done: time.sleep(0.01)\n"
    )
    done = ipython(tmp_path, "script.py")
    assert done.returncode == 0 and "\nlate\n" in done.stdout
    lines = sorted(done.stderr.splitlines(keepends=True))
    assert lines == [
        "ipyproc: job 'bad' failed (exit 7), and nothing awaited it.\n",
        _line_of(done.stdout, "two"),
    ]


def test_ipython_that_shows_its_prompt_after_a_command_does_not_wait(tmp_path: Path) -> None:
    code = "%%spawn -n one\nsleep 60"
    done = ipython(tmp_path, "--ext", "ipyproc", "--simple-prompt", "-i", "-c", code)
    assert done.returncode == 0 and done.stderr == _line_of(done.stdout, "one")


def test_a_shell_that_a_program_made_for_itself_waits_for_its_job(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_cell('%load_ext ipyproc')\n"
        "result = shell.run_cell('%%spawn\\nsleep 0.3; echo late')\n"
        "print('then', result.success)\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PYTHONPATH, "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.index("late\n") < done.stdout.index("then True") and not done.stderr


@pytest.mark.parametrize("runs", ["job = %spawn -n one sleep 60", "%spawn -w sh -c 'exit 3'"])
def test_jupyter_run_waits_where_it_was_asked_to_and_says_what_it_has_ended(
    tmp_path: Path, runs: str
) -> None:
    (tmp_path / "script.py").write_text(f"%load_ext ipyproc\n{runs}\n")
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_client.runapp", "--KernelManager.shutdown_wait_time=60", "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PYTHONPATH, "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=200,
    )
    if "-w" in runs:
        assert done.returncode == 1 and "exit 3" in done.stdout + done.stderr
    else:
        # An older jupyter_client leaves its kernel to find out, and that then ends on the spot.
        left_alone = "Parent appears to have exited" in done.stderr
        assert done.returncode == 0 and (left_alone or _line_of(done.stdout, "one") in done.stderr)


def _line_of(shown: str, name: str) -> str:
    """What is said of a job that was running, with its pid as its status has it."""
    status = next(line for line in shown.splitlines() if name in line and "pid" in line)
    pid = status.partition("pid ")[2].split()[0]
    return f"ipyproc: job {name!r} (pid {pid}) was still running and was ended.\n"
