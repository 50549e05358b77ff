"""The live view in a real JupyterLab: a terminal in the cell, buttons, a page that is loaded anew."""

from __future__ import annotations

import time

import pytest

from tests.browser.lab import Lab, notebook

VIEW = ".ipyproc-view"
# However slow the machine is, the page is to have its time to show a widget.
LOAD = "%load_ext ipyproc\n%config IPyProc.live_patience = 120"


def view(page: Lab, name: str):
    """The live view of a job."""
    return page.page.locator(f"{VIEW}", has_text=name).first


def rows(page: Lab, name: str) -> str:
    """What the terminal of a job's view shows."""
    return str(view(page, name).locator(".xterm-rows").inner_text()).replace("\xa0", " ")


def wait_for_rows(page: Lab, name: str, *texts: str, seconds: float = 60.0) -> str:
    """Wait until the terminal shows these texts."""
    end = time.monotonic() + seconds
    shown = ""
    while time.monotonic() < end:
        if view(page, name).locator(".xterm-rows").count():
            shown = rows(page, name)
            if all(text in shown for text in texts):
                return shown
        time.sleep(0.05)
    raise AssertionError(f"the terminal of {name!r} never showed {texts}, but:\n{shown}")


def press(page: Lab, name: str, button: str) -> None:
    view(page, name).get_by_role("button", name=button).first.click()


def wait_for_status(page: Lab, name: str, text: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    shown = ""
    while time.monotonic() < end:
        if view(page, name).count() and text in (shown := str(view(page, name).inner_text())):
            return
        time.sleep(0.05)
    raise AssertionError(f"the view of {name!r} never showed {text!r}, but:\n{shown}")


def open_anew(page: Lab) -> None:
    page.page.reload()
    page.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)


def save(page: Lab, name: str, *, until: str) -> str:
    """Save by the menu, since Ctrl+S in a terminal is the program's; return the file once it has a text."""
    path = page.server.files / name
    for _ in range(20):
        page.page.get_by_role("menuitem", name="File", exact=True).click()
        page.page.locator('li.lm-Menu-item[data-command="docmanager:save"]').click()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            if until in (text := path.read_text()):
                return text
            time.sleep(0.05)
    raise AssertionError(f"{name} never had {until!r}, but:\n{text}")


@pytest.mark.slow
def test_a_shell_in_the_cell_goes_on_after_a_reload_and_leaves_plain_text(page: Lab) -> None:
    notebook(page.server.files / "shell.ipynb", LOAD, "%%spawn -t --name shell bash --norc")
    page.open("shell.ipynb")
    page.run_all()
    wait_for_rows(page, "shell", "bash-")
    view(page, "shell").locator(".xterm").click()
    page.page.keyboard.type("echo $((6 * 7)) one\n")
    wait_for_rows(page, "shell", "42 one")
    save(page, "shell.ipynb", until="widget-view")
    open_anew(page)
    wait_for_rows(page, "shell", "42 one")
    view(page, "shell").locator(".xterm").click()
    page.page.keyboard.type("echo $((6 * 8)) two\n")
    wait_for_rows(page, "shell", "42 one", "48 two")
    press(page, "shell", "Stop")
    wait_for_status(page, "shell", "stopped")
