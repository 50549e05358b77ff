"""A kept job in the page: its kernel is restarted, a second notebook has it too, a terminal ends it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.browser.lab import Lab, notebook
from tests.browser.test_live import LOAD, wait_for_text
from tests.hosts.kept import end_all_kept
from tests.support import wait_until

STOP = [sys.executable, "-m", "ipyproc.console", "stop", "train"]
TRAINS = "%%spawn --keep --name train\nn=0; while :; do n=$((n+1)); echo step $n of it; sleep 0.05; done"


def steps(page: Lab, cell: int) -> int:
    """The steps that a cell shows, which begin with the first and leave none out."""
    shown = [line for line in page.output(cell).split("\n") if line.startswith("step ")]
    assert shown == [f"step {n} of it" for n in range(1, len(shown) + 1)]
    return len(shown)


@pytest.mark.slow
def test_a_kept_job_is_back_after_a_restart_and_in_a_second_notebook_at_once(page: Lab) -> None:
    notebook(page.server.files / "train.ipynb", LOAD, TRAINS, "%logs train")
    notebook(page.server.files / "beside.ipynb", LOAD, "%logs train")
    try:
        page.open("train.ipynb")
        page.run(0)
        page.run(1)
        wait_until(lambda: steps(page, 1) > 5)
        before = page.server.restarted()
        page.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.page.get_by_text("Restart Kernel…", exact=True).click()
        page.page.locator(".jp-Dialog button.jp-mod-accept").click()
        wait_for_text(page, 1, ("goes on without the kernel",))
        wait_until(lambda: page.server.restarted() > before, 120)
        page.run(0)
        page.run(2)
        wait_until(lambda: steps(page, 2) > 10)
        before = steps(page, 2)
        second = Lab(page.page.context.browser.new_page(), page.server)
        try:
            second.open("beside.ipynb")
            second.run_all()
            wait_until(lambda: steps(second, 1) > before)
            wait_until(lambda: steps(page, 2) > before + 5)
            said = subprocess.run(STOP, capture_output=True, timeout=200)
            assert said.returncode == 0
            for each, cell in ((page, 2), (second, 1)):
                each.wait_for(cell, "stopped")
            assert steps(page, 2) == steps(second, 1)
        finally:
            second.page.close()
    finally:
        end_all_kept()
