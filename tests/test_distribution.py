"""What is shipped: the wheel, and what Binder makes of the checkout. Slow: `pytest -m slow`."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.ports import free_port
from tests.support import ROOT, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPAWN = """
import asyncio, ipyproc
async def main():
    result = await ipyproc.spawn("echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\\n", "err\\n"), result.output
    print(ipyproc.__file__)
asyncio.run(main())
"""


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fresh_venv(path: Path) -> Path:
    venv.create(path, with_pip=True)
    return path / "bin" / "python"


def test_the_wheel_works_outside_the_checkout_and_holds_nothing_but_the_package(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"ipyproc", wheel.name.rsplit("-py3", 1)[0] + ".dist-info"}
    assert "ipyproc/py.typed" in names
    static = {name.rpartition("/")[2] for name in names if name.startswith("ipyproc/widget/static/")}
    assert static == {"shim.js", "live.js.gz", "LICENCES.txt"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    python = fresh_venv(tmp_path / "venv")
    run(python, "-m", "pip", "install", "-q", wheel, cwd=tmp_path)
    where = run(python, "-W", "error", "-c", SPAWN, cwd=tmp_path, PYTHONPATH="")
    assert where.startswith(str(tmp_path / "venv"))


def test_the_binder_steps_give_an_environment_in_which_every_notebook_runs(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    run("git", "clone", "-q", ROOT, checkout, cwd=tmp_path)
    python = fresh_venv(tmp_path / "venv")
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    # repo2docker runs pip and postBuild in the checkout's own folder.
    run(python, "-m", "pip", "install", "-q", "-r", "binder/requirements.txt", cwd=checkout, PATH=path)
    run(checkout / "binder" / "postBuild", cwd=checkout, PATH=path)
    books = sorted((checkout / "notebooks").glob("*.ipynb"))
    assert len(books) == 5
    for book in books:
        run(
            *(python, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", book),
            cwd=checkout / "notebooks",
            PATH=path,
            HOME=str(tmp_path),
            PYTHONPATH="",
        )
    assert first_page(checkout, PATH=path, HOME=str(tmp_path)) == "/lab/tree/notebooks/01-spawn.ipynb"


def first_page(checkout: Path, **env: str) -> str:
    """Where the server that Binder starts sends whoever opens it."""
    port = free_port()
    # The command is that of Binder's images.
    command = ["binder/start", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--NotebookApp.default_url=/lab/", "--IdentityProvider.token="]
    server = subprocess.Popen(
        command, cwd=checkout, env={**os.environ, **env}, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return wait_until(lambda: _redirect(port), timeout=60, interval=0.2)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _redirect(port: int) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return urlsplit(connection.getresponse().getheader("Location")).path
    except OSError:
        return None
    finally:
        connection.close()
