"""The live view in a real JupyterLab: a terminal in the cell, buttons, a page that is loaded anew."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from tests.browser.lab import Lab, notebook
from tests.support import need_program, wait_until

VIEW = ".ipyproc-view"
CELL = ".jp-Notebook .jp-Cell"
# However slow the machine is, the page is to have its time to show a widget.
LOAD = "%load_ext ipyproc\n%config IPyProc.live_patience = 120"


def view(page: Lab, name: str):
    """The live view of a job."""
    return page.page.locator(f"{VIEW}", has_text=name).first


def rows(page: Lab, name: str) -> str:
    """What the terminal of a job's view shows; it draws what is on the screen only."""
    view(page, name).locator(".xterm").scroll_into_view_if_needed()
    return str(view(page, name).locator(".xterm-rows").inner_text()).replace("\xa0", " ")


def wait_for_rows(page: Lab, name: str, *texts: str, seconds: float = 120.0) -> str:
    """Wait until the terminal shows these texts."""
    end = time.monotonic() + seconds
    shown = ""
    while time.monotonic() < end:
        if view(page, name).locator(".xterm-rows").count():
            shown = rows(page, name)
            if all(text in shown for text in texts):
                return shown
        time.sleep(0.05)
    outputs = "\n".join(page.output(cell) for cell in range(page.page.locator(CELL).count()))
    raise AssertionError(f"the terminal of {name!r} never showed {texts}, but:\n{shown}\nof:\n{outputs}")


def type_into(page: Lab, name: str, text: str) -> None:
    view(page, name).locator(".xterm").click()
    page.page.keyboard.type(text)


def press(page: Lab, name: str, button: str) -> None:
    view(page, name).get_by_role("button", name=button).first.click()


click = press


def press_enter(page: Lab, name: str, button: str) -> None:
    """Press a button by the keyboard."""
    view(page, name).get_by_role("button", name=button).first.focus()
    page.page.keyboard.press("Enter")


def use_menu(page: Lab, name: str, use, choice: str, *, by_keyboard: bool) -> None:
    item = view(page, name).get_by_role("menuitem", name=choice)
    # JupyterLab takes the focus when the last cell has run, and a menu closes that has lost it.
    for _ in range(10):
        use(page, name, "Send a signal")
        with suppress(AssertionError):
            wait_until(item.is_visible, 10)
            break
    if not by_keyboard:
        item.click()
        return
    while not item.evaluate("element => element === document.activeElement"):
        page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")


def wait_for_text(page: Lab, cell: int, texts: tuple[str, ...], seconds: float = 120.0) -> None:
    """Wait until the output of a cell has one of these texts."""
    wait_until(lambda: [text for text in texts if text in page.output(cell)], seconds)


def wait_for_status(page: Lab, name: str, text: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    shown = ""
    while time.monotonic() < end:
        if view(page, name).count() and text in (shown := str(view(page, name).inner_text())):
            return
        time.sleep(0.05)
    raise AssertionError(f"the view of {name!r} never showed {text!r}, but:\n{shown}")


def open_anew(page: Lab) -> None:
    page.page.reload()
    page.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)


def save(page: Lab, name: str, *, until: str) -> str:
    """Save by the menu, since Ctrl+S in a terminal is the program's; return the file once it has a text."""
    path = page.server.files / name
    for _ in range(20):
        page.page.get_by_role("menuitem", name="File", exact=True).click()
        page.page.locator('li.lm-Menu-item[data-command="docmanager:save"]').click()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if until in (text := path.read_text()):
                return text
            time.sleep(0.05)
    raise AssertionError(f"{name} never had {until!r}, but:\n{text}")


@pytest.mark.slow
def test_a_shell_in_the_cell_goes_on_after_a_reload_and_in_a_second_page(page: Lab) -> None:
    notebook(page.server.files / "shell.ipynb", LOAD, "%%spawn -t --name shell bash --norc")
    page.open("shell.ipynb")
    page.run_all()
    wait_for_rows(page, "shell", "bash-")
    type_into(page, "shell", "echo $((6 * 7)) one; seq 1 60\n")
    wait_for_rows(page, "shell", "60", "bash-")
    save(page, "shell.ipynb", until="widget-view")
    open_anew(page)
    shown = wait_for_rows(page, "shell", "60", "bash-")
    assert "42 one" not in shown
    # What has scrolled off is there, too.
    view(page, "shell").locator(".xterm").hover()
    for _ in range(50):
        page.page.mouse.wheel(0, -1000)
    wait_for_rows(page, "shell", "42 one")
    type_into(page, "shell", "echo $((6 * 8)) two\n")
    wait_for_rows(page, "shell", "48 two")
    second = Lab(page.page.context.browser.new_page(), page.server)
    try:
        second.page.goto(f"{page.server.url}/lab/workspaces/second/tree/shell.ipynb?token=t")
        wait_for_rows(second, "shell", "48 two")
        type_into(page, "shell", "echo $((6 * 9)) three\n")
        wait_for_rows(second, "shell", "54 three")
        type_into(second, "shell", "echo $((7 * 9)) four\n")
        wait_for_rows(page, "shell", "63 four")
        press(page, "shell", "Stop")
        for each in (page, second):
            wait_for_status(each, "shell", "stopped")
    finally:
        second.page.close()


@pytest.mark.slow
def test_vim_a_flood_and_a_password_and_a_file_that_is_static_at_the_end(page: Lab) -> None:
    need_program("vim")
    files = page.server.files
    notebook(
        files / "programs.ipynb",
        LOAD,
        "%%spawn -t --name editor vim -u NONE -N edited.txt",
        "%%spawn -t --name flood yes",
        "%%spawn --name asks\nread -s -p 'password? ' word; echo; echo got ${#word} letters",
        "%%spawn -t --name sized sh -c 'while sleep 0.05; do stty size; done'",
    )
    page.open("programs.ipynb")
    page.run_all()
    wait_for_rows(page, "editor", "~")
    type_into(page, "editor", "ihello from the page")
    page.page.keyboard.press("Escape")
    page.page.keyboard.type(":wq\n")
    page.wait_for(1, "exit 0")
    assert (files / "edited.txt").read_text() == "hello from the page\n"
    wait_for_rows(page, "flood", "y\ny\ny")
    type_into(page, "flood", "")
    page.page.keyboard.press("Control+c")
    page.wait_for(2, "SIGINT")
    field = view(page, "asks").locator("input")
    field.wait_for()
    wait_until(lambda: field.get_attribute("type") == "password", 120)
    field.fill("secret")
    field.press("Enter")
    page.wait_for(3, "got 6 letters")
    assert "secret" not in page.output(3)
    before = wait_for_rows(page, "sized", " ").split()
    page.page.set_viewport_size({"width": 800, "height": 1600})
    wait_until(lambda: rows(page, "sized").split()[-1:] != before[-1:], 120)
    page.page.set_viewport_size({"width": 1200, "height": 1600})
    press(page, "sized", "Stop")
    page.wait_for(4, "stopped")
    # The widgets are gone from the page, and from the file; it has no widget state.
    text = save(page, "programs.ipynb", until="got 6 letters")
    wait_until(lambda: page.page.locator(VIEW).count() == 0, 120)
    text = save(page, "programs.ipynb", until="stopped, SIGINT")
    assert "widget-view" not in text and "application/vnd.jupyter.widget-state" not in text
    assert '"y\\n"' in text


@pytest.mark.slow
def test_each_button_does_its_work_by_mouse_and_by_keyboard_and_so_do_those_of_the_table(page: Lab) -> None:
    notebook(
        page.server.files / "buttons.ipynb",
        LOAD,
        "%%spawn --name buttons\ntrap 'echo hup' HUP; echo begun; while sleep 0.1; do :; done",
        "%jobs",
    )
    page.open("buttons.ipynb")
    page.run_all()
    page.wait_for(1, "begun")
    table = page.page.locator(f"{VIEW}[aria-label=Jobs]")
    table.get_by_role("button", name="Stop buttons").wait_for()
    for number, use in enumerate((click, press_enter), start=1):
        use_menu(page, "buttons", use, "SIGHUP", by_keyboard=use is press_enter)
        wait_until(lambda: page.output(1).count("hup") >= number, 120)
        use(page, "buttons", "Show the terminal")
        wait_for_rows(page, "buttons", "hup")
        use(page, "buttons", "Hide the terminal")
        wait_until(lambda: view(page, "buttons").locator(".xterm").count() == 0, 120)
        with page.page.expect_download() as download:
            use(page, "buttons", "Save the output")
        assert download.value.suggested_filename == "buttons.log"
        assert "begun" in download.value.path().read_text()
        use(page, "buttons", "Restart the job")
        wait_until(lambda: page.output(1).count("begun") > number, 120)
        view(page, "buttons").get_by_role("button", name="Stop the job").wait_for()
    assert "exit" not in view(page, "buttons").text_content()
    table.locator("td.ipyproc-last", has_text="begun").wait_for()
    table.get_by_role("button", name="Stop buttons").click()
    page.wait_for(1, "stopped")
    # The table ends with its last job, and is text then.
    wait_until(lambda: table.count() == 0, 120)
    page.wait_for(2, "SIGINT")


@pytest.mark.slow
def test_a_view_whose_kernel_is_restarted_says_so(page: Lab) -> None:
    notebook(page.server.files / "restart.ipynb", LOAD, "%%spawn --name lost sleep 1000")
    page.open("restart.ipynb")
    page.run_all()
    wait_for_status(page, "lost", "running")
    before = page.server.restarted()
    page.page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.page.get_by_text("Restart Kernel…", exact=True).click()
    page.page.locator(".jp-Dialog button.jp-mod-accept").click()
    wait_for_text(page, 1, ("ended with the kernel", "when the kernel went"))
    wait_until(lambda: page.server.restarted() > before, 120)
