"""Kernels and versions that are not the test venv's, each in a venv of its own. Slow: `pytest -m slow`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.notebook.kernels import Kernel, running_kernel
from tests.notebook.test_live import echo_while_held
from tests.support import PYTHONPATH

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OURS = ("rich", "psutil", "cloudpickle")
COLAB = ("ipykernel==6.17.1", "ipython==7.34.0", "tornado==6.3", "ipywidgets==7.7.1", *OURS)
TOO_OLD = ("ipykernel==5.5.6", "ipython==7.20.0", "jupyter_client<8", "tornado", *OURS)
XEUS = ("xeus-python", "tornado", *OURS)


def python() -> str:
    """A Python that the old versions know: 3.10 or 3.11."""
    if sys.version_info < (3, 12):
        return sys.executable
    found = [shutil.which("python3.11"), shutil.which("python3.10")]
    found += map(str, Path.home().glob(".pyenv/versions/3.1[01].*/bin/python3"))
    return next(path for path in found if path)


def venv_with(directory: Path, *packages: str) -> str:
    """Makes a venv, and returns its Python."""
    own = directory / "venv"
    subprocess.run([python(), "-m", "venv", own], check=True)
    # Some of the old packages need it, and have not said so.
    install = [own / "bin" / "pip", "install", "-q", "setuptools<81", *packages]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(own / "bin" / "python")


def loading_is_refused(kernel: Kernel) -> str:
    cell = kernel.run("%load_ext ipyproc")
    said = re.sub(r"\x1b\[[0-9;]*m", "", cell.error + cell.stderr).strip()
    kernel.until(lambda: kernel.run("1").idle)
    return said


def test_an_older_kernel_is_refused_in_one_sentence(tmp_path: Path) -> None:
    command = [venv_with(tmp_path, *TOO_OLD), "-m", "ipykernel_launcher"]
    with running_kernel(tmp_path, extension=False, command=command) as kernel:
        assert loading_is_refused(kernel) == (
            "UsageError: This kernel (ipykernel 5.5.6) has no get_parent, but ipyproc needs one of ipykernel "
            "6.17 or later; choose another kernel, or install a newer ipykernel."
        )


def test_xeus_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    command = [venv_with(tmp_path, *XEUS), "-m", "xpython_launcher"]
    with running_kernel(tmp_path, extension=False, command=command) as kernel:
        cell = kernel.run("%load_ext ipyproc")
        kernel.until(lambda: cell.stderr.endswith("\n"))
        assert cell.stderr == (
            "UsageError: This kernel (XKernel) has no io_loop, but ipyproc needs one of ipykernel 6.17 or "
            "later; choose another kernel, or install a newer ipykernel.\n"
        )


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory) -> str:
    return venv_with(tmp_path_factory.mktemp("colab"), *COLAB)


def test_the_versions_that_colab_has_work(tmp_path: Path, colab: str) -> None:
    command = [colab, "-m", "ipykernel_launcher"]
    with running_kernel(tmp_path, command=command) as kernel:
        whole = kernel.run("%%spawn --pipes -n one\necho out; echo err >&2; read line; echo got $line")
        kernel.until(lambda: (whole.stdout, whole.stderr) == ("out\n", "err\n"))
        kernel.run("%send one news")
        kernel.until(lambda: "exit 0" in whole.shown and whole.stdout == "out\ngot news\n")
        held = kernel.start(
            "job = %spawn -n held sh -c 'echo early; exec sleep 60'\n"
            "import os, time\nwhile not os.path.exists('seen'): time.sleep(0.1)"
        )
        kernel.until(lambda: held.stdout == "early\n")
        (tmp_path / "seen").touch()
        kernel.finish(held)
        kernel.run("%stop held")
        kernel.until(lambda: "SIGINT" in held.shown)
        assert "held" in kernel.run("%jobs").shown
        failed = kernel.run("%spawn -w sh -c 'exit 3'")
        assert "exited with status 3" in failed.error and "Traceback" not in failed.error
        kernel.run("%%capture cap\n%spawn -w echo captured")
        assert kernel.ask("cap.stdout") == "captured\n"
        kernel.run(
            "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    ipyproc.spawn('echo within')"
        )
        kernel.ask_until("'within' in repr(out.outputs) and 'exit 0' in repr(out.outputs)")
        batch = kernel.run("%%spawn\nsleep 0.3; echo late", allow_stdin=False)
        assert batch.stdout == "late\n" and "exit 0" in batch.shown
        group = kernel.run("%%fork -n 2\nprint('worker', task_id())")
        kernel.until(lambda: group.stdout.count("worker") == 2)
        last = kernel.run("%%spawn sleep 60")
        kernel.shut_down()
        kernel.until(lambda: "ended with the kernel" in last.shown)


def test_ipython_7_in_a_terminal_waits_for_a_job(tmp_path: Path, colab: str) -> None:
    done = subprocess.run(
        [colab, "-m", "IPython", "--ext", "ipyproc", "-c", "%%spawn\nsleep 0.3; echo late"],
        env=os.environ | {"PYTHONPATH": PYTHONPATH, "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0 and "\nlate\n" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "versions",
    [
        ("ipykernel==7.1.0", "anywidget==0.11.0"),
        ("ipykernel==6.29.5", "ipython==8.12.0", "tornado==6.4", "anywidget==0.9.0", "ipywidgets==8.1.0"),
    ],
    ids=lambda versions: versions[0],
)
def test_a_key_is_echoed_while_a_cell_holds_the_kernel(tmp_path: Path, versions: tuple[str, ...]) -> None:
    command = [venv_with(tmp_path, *versions, *OURS), "-m", "ipykernel_launcher"]
    with running_kernel(tmp_path, command=command) as kernel:
        echo_while_held(kernel)
