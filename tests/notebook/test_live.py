"""The live view of a job, between a real kernel and what stands for its pages."""

from __future__ import annotations

from pathlib import Path

from tests.notebook.kernels import Cell, Kernel, running_kernel
from tests.notebook.live import VIEW, LivePage

# A page of these tests has all the time that it needs.
PATIENT = "%config IPyProc.live_patience = 120"


def start(kernel: Kernel, code: str) -> tuple[Cell, LivePage]:
    kernel.run(PATIENT)
    cell = kernel.run(code)
    assert cell.status == "ok", cell.error
    return cell, LivePage(kernel, cell)


def test_a_page_shows_the_status_and_the_display_is_updated_at_the_end_only(kernel: Kernel) -> None:
    cell, page = start(kernel, "%%spawn --name it\necho out; read -s line; echo $line")
    assert "running" in page.display.text and "text/html" in page.display.data
    assert page.state["key"] and page.state["kind"] == "status" and page.state["control"] == page.comm
    assert b"export" in page.code()
    assert page.hello()["words"] == "running"
    kernel.until(lambda: cell.stdout == "out\n")
    kernel.run("ipyproc.jobs['it'].signal(28)")
    updates = page.display.updates
    kernel.ask_until("ipyproc.jobs['it'].snapshot().elapsed > 1.2")
    assert page.display.updates == updates and VIEW in page.display.data
    kernel.run("%send it done")
    kernel.until(lambda: "exit 0" in page.display.text)
    # The file is as it is without a widget.
    assert page.display.data.keys() == {"text/plain", "text/html"}
    kernel.until(lambda: page.told("ended"))
    assert page.job["kind"] == "ok" and cell.stdout == "out\ndone\n"
    # A page that has it still, and one that is opened now, are told of the end and all that it wrote.
    late = LivePage.__new__(LivePage)
    late.__dict__.update(page.__dict__, key="late")
    assert late.hello(age=0.0)["words"] == "exit 0" and late.told("ended")[-1]["open"]
    late.open()
    kernel.until(lambda: "done" in late.shown)
    kernel.run("%forget it")
    kernel.until(lambda: page.is_closed)


def test_without_an_answer_the_plain_form_goes_on(kernel: Kernel) -> None:
    kernel.run("%config IPyProc.live_patience = 0.2")
    cell = kernel.run("%%spawn -t --name plain\necho out; exec sleep 100")
    page = LivePage(kernel, cell)
    kernel.until(lambda: VIEW not in page.display.data and cell.stdout == "out\n")
    kernel.run("%stop plain")
    kernel.until(lambda: "SIGINT" in page.display.text)
    # Nor does the next job's status stand still at first, until a page is heard.
    other = kernel.run("%%spawn --name other\nexec sleep 100")
    assert VIEW not in other.displays[0].data
    page.hello()
    kernel.until(lambda: VIEW in other.displays[0].data)
    kernel.run("%stop other")


def test_a_terminal_shows_what_is_written_and_the_cell_has_it_at_the_end(kernel: Kernel) -> None:
    cell, page = start(kernel, "%%spawn -t --name shell bash --norc")
    assert page.state["kind"] == "terminal" and page.hello()["tty"] and page.told("status")[-1]["open"]
    page.open(rows=31, columns=91)
    page.type("stty size\r")
    kernel.until(lambda: "31 91" in page.shown)
    page.type("cat\r")
    page.type("\x03")
    kernel.until(lambda: "^C" in page.shown)
    assert cell.stdout == ""
    page.say("act", do="close")
    kernel.until(lambda: "exit 130" in page.display.text and "31 91" in cell.stdout)


def echo_while_held(kernel: Kernel) -> None:
    """A key is echoed while a cell holds the kernel."""
    _, page = start(kernel, "%%spawn -t --name held cat")
    page.hello()
    page.open()
    kernel.until(lambda: page.told("screen"))
    seen = Path(kernel.ask("__import__('os').getcwd()"), "seen")
    holding = kernel.start("import os, time\nwhile not os.path.exists('seen'): time.sleep(1)")
    kernel.until(lambda: [message for message in holding.messages if message.kind == "execute_input"])
    page.type("echoed")
    kernel.until(lambda: "echoed" in page.shown)
    assert not holding.ended
    seen.touch()
    page.type("\x04\x04")
    kernel.finish(holding)
    kernel.until(lambda: "exit 0" in page.display.text)


def test_a_key_is_echoed_while_a_cell_holds_the_kernel(kernel: Kernel) -> None:
    echo_while_held(kernel)


def test_what_holds_no_widget_shows_the_plain_form_as_before(kernel: Kernel) -> None:
    batch = kernel.run("%%spawn -t\necho batch", allow_stdin=False)
    captured = kernel.run("%%capture cap\n%spawn -w echo captured")
    assert "exit 0" in batch.shown and batch.stdout == "batch\n" and captured.status == "ok"
    kernel.run("%config IPyProc.live_view = False")
    off = kernel.run("%%spawn -t\necho off")
    kernel.until(lambda: "exit 0" in off.shown)
    assert off.stdout.startswith("The terminal in the page (-t) is turned off") and "off\n" in off.stdout
    kernel.run("%config IPyProc.live_view = True")
    shown = [display for cell in (batch, off) for display in cell.displays]
    assert not [display for display in shown if VIEW in display.data]
    assert VIEW not in kernel.ask("repr([output.data for output in cap.outputs])")


def test_a_group_has_its_workers_in_the_page_each_with_its_buttons(kernel: Kernel) -> None:
    _, page = start(kernel, "%%fork -n 2 --name group\nimport time; time.sleep(100)")
    page.hello()
    kernel.until(lambda: [worker["state"] for worker in page.job["workers"]] == ["running"] * 2)
    first = page.job["workers"][0]["pid"]
    page.say("act", do="restart", worker=0)
    kernel.until(lambda: page.job["workers"][0]["pid"] not in (first, None))
    page.say("act", do="signal", signal="KILL", worker=1)
    kernel.until(lambda: page.job["workers"][1]["restarts"])
    page.say("input", data="x", line=True)
    kernel.until(lambda: "have no standard input" in "".join(note["text"] for note in page.told("note")))
    page.say("act", do="stop")
    kernel.until(lambda: page.told("ended"))


def test_a_job_that_is_restarted_is_live_again_in_its_cell(kernel: Kernel) -> None:
    _, page = start(kernel, "%%spawn --name again\nread -s go; echo once")
    page.hello()
    page.type("\r")
    kernel.until(lambda: page.told("ended") and VIEW not in page.display.data)
    page.say("act", do="restart")
    kernel.until(lambda: VIEW in page.display.data and page.job["words"] == "running")
    page.type("\r")
    kernel.until(lambda: len(page.told("ended")) == 2 and VIEW not in page.display.data)
    assert kernel.ask("ipyproc.jobs['again'].output").count("once") == 2


def test_at_the_kernels_end_the_pages_are_told(fresh_kernel: Kernel) -> None:
    _, page = start(fresh_kernel, "%%spawn --name last\nexec sleep 100")
    page.hello()
    fresh_kernel.shut_down()
    fresh_kernel.until(lambda: page.told("ended"))
    assert page.job["words"] == "ended with the kernel"
    fresh_kernel.until(lambda: "ended with the kernel" in page.display.text)
    assert VIEW not in page.display.data


def test_where_anywidget_is_not_installed_all_is_as_before_and_t_says_what_to_install(tmp_path: Path) -> None:
    with running_kernel(tmp_path, extension=False) as kernel:
        kernel.run("import sys; sys.modules['anywidget'] = None")
        kernel.run("%load_ext ipyproc\nimport ipyproc")
        cell = kernel.run("%%spawn -t\necho out")
        kernel.until(lambda: "exit 0" in cell.shown and "out\n" in cell.stdout)
        assert "pip install 'ipyproc[live]'" in cell.stdout and cell.stdout.count("\n") == 2
        assert not [display for display in cell.displays if VIEW in display.data]
        assert not [message for message in kernel.messages if message.kind.startswith("comm")]


def test_ended_jobs_hold_next_to_nothing_and_still_answer(kernel: Kernel) -> None:
    kernel.run("import gc, ipywidgets")
    _, page = start(kernel, "%%spawn --name first\nread -s go; echo one")
    page.hello()
    page.type("\r")
    page.say("bye")
    kernel.until(lambda: VIEW not in page.display.data)
    kernel.run(
        "def models():\n"
        "    kinds = [type(model).__name__ for model in ipywidgets.widgets.widget._instances.values()]\n"
        "    return {kind: kinds.count(kind) for kind in kinds}\n"
        "many = [ipyproc.spawn('read go', name=f'many{number}') for number in range(30)]\n"
        "at_once = models().get('LiveModel', 0)"
    )
    # Not all at once, but all that go on for a while.
    assert kernel.ask("at_once") < 30
    kernel.ask_until("models()['LiveModel'] == 30")
    kernel.run("for job in many: job.close_stdin()")
    kernel.ask_until("models().get('Rested') == 31 and 'LiveModel' not in models()")
    assert kernel.ask("models()['Layout']") == 1
    late = LivePage.__new__(LivePage)
    late.__dict__.update(page.__dict__, key="late")
    assert late.hello()["words"] == "exit 0"
    late.open()
    kernel.until(lambda: "one" in late.shown)
    kernel.run("ipyproc.jobs.clear(); gc.collect()")
    kernel.ask_until("'Rested' not in models()")


def test_a_cell_that_is_run_again_shows_the_job_that_runs(kernel: Kernel) -> None:
    code = "%%spawn --name same\necho begun; exec sleep 100"
    first, page = start(kernel, code)
    kernel.until(lambda: "begun" in first.stdout)
    pid = kernel.ask("ipyproc.jobs['same'].pid")
    again = kernel.run(code)
    kernel.until(lambda: "begun" in again.stdout and any(VIEW in display.data for display in again.displays))
    assert (
        again.stdout.startswith("Job 'same' runs already") and kernel.ask("ipyproc.jobs['same'].pid") == pid
    )
    assert LivePage(kernel, again).comm == page.comm
    other = kernel.run("%%spawn --name same\necho other")
    kernel.until(lambda: "UsageError" in other.stderr and "'same'" in other.stderr)
    replaced = kernel.run(code.replace("same", "same --replace"))
    kernel.until(lambda: "begun" in replaced.stdout and "stopped" in first.shown and "stopped" in again.shown)


def test_what_starts_within_an_output_widget_is_live_in_it(kernel: Kernel) -> None:
    kernel.run(PATIENT)
    kernel.run(
        "import ipywidgets\nout = ipywidgets.Output()\nbutton = ipywidgets.Button()\n"
        "def click(_):\n    with out:\n        ipyproc.spawn('read go; echo gone', name='within', tty=True)\n"
        "button.on_click(click)\nout"
    )
    comm = kernel.ask("button.comm.comm_id")
    kernel.send("comm_msg", {"comm_id": comm, "data": {"method": "custom", "content": {"event": "click"}}})
    kernel.ask_until("'widget-view' in repr(out.outputs)")
    kernel.run("%send within")
    kernel.ask_until("'exit 0' in repr(out.outputs) and 'gone' in repr(out.outputs)")
    assert kernel.ask("'widget-view' in repr(out.outputs)") is False


def test_the_table_of_jobs_is_live_until_none_runs_or_another_comes(kernel: Kernel) -> None:
    kernel.run("%stop --all")
    kernel.ask_until("all(job.done for job in ipyproc.jobs)")
    kernel.run("ipyproc.jobs.clear()")
    kernel.run("%spawn -w --name ended true")
    kernel.run("%spawn --tty --name evil sh -c 'printf \"<b>\\033[31m\"; exec sleep 100'")
    kernel.run("%spawn --name other sleep 100")
    kernel.run("%config IPyProc.live_patience = 0.2")
    plain = LivePage(kernel, kernel.run("%jobs other"))
    # No page answers: the plain form goes on.
    kernel.until(lambda: VIEW not in plain.display.data and plain.is_closed)
    assert "running" in plain.display.text
    kernel.run(PATIENT)
    kernel.run("%%capture cap\n%jobs")
    assert VIEW not in kernel.ask("repr([output.data for output in cap.outputs])")
    page = LivePage(kernel, kernel.run("%jobs ended evil"))
    assert page.state["kind"] == "table" and "text/html" in page.display.data and b"export" in page.code()
    assert [(row["name"], row["kind"]) for row in page.table()["rows"]] == [
        ("ended", "ok"),
        ("evil", "running"),
    ]
    kernel.until(lambda: page.row("evil")["cpu"] is not None and page.row("evil")["last"])
    evil, updates = page.row("evil"), page.display.updates
    assert evil["last"] == "<b>" and evil["memory"] and evil["can"] == ["stop", "restart", "signal"]
    # What the table does not show, and what it has no button for, is not done.
    for name, what, words in (("other", "stop", "does not show"), ("evil", "close", "reload it")):
        page.say("act", do=what, name=name)
        kernel.until(lambda: [note for note in page.told("note") if words in note["text"]])
    page.say("act", do="forget", name="evil")
    kernel.until(lambda: "stop it before" in page.told("note")[-1]["text"])
    page.say("act", do="forget", name="ended")
    kernel.until(lambda: not page.row("ended"))
    page.say("act", do="restart", name="evil")
    kernel.until(lambda: page.row("evil")["pid"] not in (evil["pid"], None))
    assert page.display.updates == updates and VIEW in page.display.data
    # Another table takes its place; of that, a page that was loaded later still learns the end.
    kernel.run("from ipyproc.widget.table import TableForm; TableForm.most_rows = 1")
    other = LivePage(kernel, kernel.run("%jobs"))
    kernel.until(lambda: VIEW not in page.display.data and page.told("table")[-1]["over"])
    assert page.row("evil")["kind"] == "running" and not page.is_closed
    page.say("act", do="stop", name="evil")
    kernel.until(lambda: "has ended" in page.told("note")[-1]["text"])
    page.say("bye")
    kernel.until(lambda: page.is_closed)
    table = other.table(age=0.0)
    assert [row["name"] for row in table["rows"]] == ["other"] and "1 earlier ones that run" in table[
        "caption"
    ]
    other.say("act", do="signal", signal="KILL", name="other")
    kernel.until(lambda: other.row("evil"))
    kernel.run("%stop evil")
    kernel.until(lambda: VIEW not in other.display.data and other.told("table")[-1]["over"])
    other.say("bye")
    kernel.run("TableForm.most_rows = 200")
    assert "SIGKILL" in other.display.text and other.table()["over"] and not other.is_closed
