"""What a user of JupyterLab sees of jobs in widgets, and at the kernel's end."""

from __future__ import annotations

from tests.browser.lab import Lab, notebook


def test_cells_say_that_their_jobs_ended_with_the_kernel_when_it_is_shut_down(page: Lab) -> None:
    notebook(
        page.server.files / "shutdown.ipynb",
        "%load_ext ipyproc",
        "%%spawn --name one\necho up; exec sleep 60",
        "import ipywidgets\nout = ipywidgets.Output()\nout",
        "import ipyproc\nwith out:\n    ipyproc.spawn('sleep 61', name='two')",
    )
    page.open("shutdown.ipynb")
    page.run_all()
    page.wait_for(1, "up")
    page.wait_for(2, "running")
    page.page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.page.get_by_text("Shut Down Kernel", exact=True).first.click()
    assert "running" not in page.wait_for(1, "ended with the kernel")
    assert "running" not in page.wait_for(2, "ended with the kernel")


def test_an_output_widget_keeps_what_was_printed_in_it_beside_its_job(page: Lab) -> None:
    notebook(
        page.server.files / "output.ipynb",
        "%load_ext ipyproc\nimport ipyproc, ipywidgets",
        "out = ipywidgets.Output()\nout",
        "with out:\n"
        "    print('printed before')\n"
        "    ipyproc.spawn('echo early; read line; echo late', name='late')",
        "print('between')",
        "ipyproc.jobs['late'].send('news\\n')",
    )
    page.open("output.ipynb")
    page.run_all()
    shown = page.wait_for(1, "exit 0")
    assert "printed before" in page.wait_for(1, "printed before")
    assert shown.count("early") >= 1 and "late" in page.wait_for(1, "late\n")
    assert "running" not in page.output(1) and "early" not in page.output(2)


def test_a_job_that_a_buttons_callback_starts_in_an_output_widget_is_live_there(page: Lab) -> None:
    notebook(
        page.server.files / "button.ipynb",
        "%load_ext ipyproc\nimport ipyproc, ipywidgets",
        "out = ipywidgets.Output()\nbutton = ipywidgets.Button(description='Go')\n"
        "def go(_):\n"
        "    with out:\n"
        "        ipyproc.spawn('for i in 1 2 3; do echo line-$i; sleep 0.3; done', name='clicked')\n"
        "button.on_click(go)\n"
        "ipywidgets.VBox([button, out])",
    )
    page.open("button.ipynb")
    page.run_all()
    page.page.locator(".jp-Notebook button", has_text="Go").click()
    page.wait_for(1, "line-1")
    shown = page.wait_for(1, "exit 0")
    assert "line-3" in shown
