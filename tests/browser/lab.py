"""A real JupyterLab in a real Chromium, as a user has it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat

from tests.ports import free_port
from tests.support import ROOT, wait_until

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'


def chromium() -> str | None:
    """The path of a Chromium, if the machine has one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def notebook(path: Path, *cells: str, may_fail: bool = False) -> Path:
    """Writes a notebook of code cells; where they may fail, those after them run all the same."""
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    for cell in book.cells if may_fail else ():
        cell.metadata["tags"] = ["raises-exception"]
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    book.metadata["language_info"] = {"name": "python"}
    nbformat.write(book, path)
    return path


class Server:
    """JupyterLab, serving one folder; everything of it lies in that folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = root / "files"
        self.files.mkdir()
        # Its kernels live longer than a test, and with them the files in which they keep output.
        self.temporary = root / "tmp"
        self.temporary.mkdir()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "HOME": str(root),
            "TMPDIR": str(self.temporary),
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
            "IPYTHONDIR": str(root / "ipython"),
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
        command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={self.files}"]
        self.log = root / "server.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_until_up(self, seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/api?token=t", timeout=60).close()
                return
            time.sleep(0.1)
        raise AssertionError(f"JupyterLab did not start:\n{self.log.read_text()}")

    def restarted(self) -> int:
        """How often the server has restarted a kernel; one that ends amid that does not come to its end."""
        return self.log.read_text().count("Kernel restarted")

    def dropped(self) -> int:
        """How often the server said that it drops output."""
        return self.log.read_text().count("rate exceeded")

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            # It gives each kernel some seconds to end.
            self._process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
            raise AssertionError(f"JupyterLab did not end:\n{self.log.read_text()[-5000:]}") from None
        finally:
            wait_until(lambda: not [*self.temporary.glob("ipyproc*")])


class Lab:
    """One notebook, open in a page."""

    def __init__(self, page, server: Server) -> None:
        self.page = page
        self.server = server

    def open(self, name: str) -> None:
        self.page.goto(f"{self.server.url}/lab/tree/{name}?token=t&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        # On a busy machine the list of kernels may come late, and JupyterLab asks which one to take.
        end = time.monotonic() + 120
        while time.monotonic() < end:
            dialog = self.page.query_selector(".jp-Dialog button.jp-mod-accept")
            if dialog is not None:
                dialog.click()
            status = self.page.query_selector(IDLE)
            named = self.page.get_by_text("| Idle").count()
            if status is not None and named and dialog is None:
                return
            time.sleep(0.2)
        raise AssertionError("the kernel did not become idle")

    def run_all(self) -> None:
        def use_the_menu() -> None:
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_text("Run All Cells", exact=True).first.click()

        self._until_one_runs(use_the_menu)

    def run(self, cell: int) -> None:
        """Run one cell as a hand does."""

        def press_the_keys() -> None:
            self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".cm-content").click()
            self.page.keyboard.press("Shift+Enter")

        self._until_one_runs(press_the_keys)

    def _until_one_runs(self, act: Callable[[], None]) -> None:
        """Do something until a cell runs: a page that is being set up does nothing, or takes it back."""
        before = self._prompts()
        for _ in range(6):
            act()
            quiet, running = time.monotonic(), set[int]()
            while time.monotonic() - quiet < 15:
                for cell, (was, now) in enumerate(zip(before, self._prompts(), strict=False)):
                    if "*" in now:
                        quiet = time.monotonic()
                        running.add(cell)
                    elif any(map(str.isdigit, now)) and (now != was or cell in running):
                        return
                time.sleep(0.05)
        raise AssertionError(f"the page runs no cell: {self._prompts()}")

    def _prompts(self) -> list[str]:
        """What stands before the cells, such as ``[*]:`` while one runs."""
        return list(self.page.locator(".jp-Notebook .jp-InputPrompt").all_inner_texts())

    def output(self, cell: int) -> str:
        """The text under a cell, whether it is on the screen or scrolled out of it."""
        # inner_text of what JupyterLab keeps off the screen (content-visibility) is empty.
        script = """(cell) => {
            const found = document.querySelectorAll('.jp-Notebook .jp-Cell')[cell];
            const outputs = found ? found.querySelectorAll('.jp-OutputArea-output') : [];
            return Array.from(outputs, (output) => output.textContent).join('\\n');
        }"""
        return str(self.page.evaluate(script, cell))

    def wait_for(self, cell: int, text: str, seconds: float = 120.0) -> str:
        """Waits until the output of a cell has a text; returns the output."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in (shown := self.output(cell)):
                return shown
            time.sleep(0.05)
        raise AssertionError(f"cell {cell} never showed {text!r}, but:\n{self.output(cell)[-2000:]}")

    def slowest_answer(self, until, seconds: float) -> float:
        """How long the page took to draw a frame at worst, in seconds, until a condition holds."""
        end, worst = time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            began = time.monotonic()
            self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => done(1)))")
            worst = max(worst, time.monotonic() - began)
            if until():
                return worst
            time.sleep(0.05)
        raise AssertionError("what was waited for did not happen")

    def save(self) -> None:
        self.page.keyboard.press("Control+s")


@contextlib.contextmanager
def lab(root: Path) -> Iterator[Lab]:
    """A JupyterLab and a page in it; all is gone afterwards."""
    from playwright.sync_api import sync_playwright

    server = Server(root)
    try:
        server.wait_until_up()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
            try:
                page = browser.new_page(viewport={"width": 1200, "height": 1600})
                page.set_default_timeout(120_000)
                yield Lab(page, server)
            finally:
                browser.close()
    finally:
        server.close()
