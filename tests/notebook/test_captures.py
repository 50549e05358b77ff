"""Jobs that are started where a capture takes a cell's output: %%capture, capture_output, Output widgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.notebook.kernels import Kernel, running_kernel

STATUS = "cap.outputs[0].data['text/plain']"


def test_capture_has_what_a_job_wrote_and_its_last_status(kernel: Kernel) -> None:
    cell = kernel.run("%%capture cap\n%spawn --pipes -w sh -c 'echo hi; echo why >&2'")
    assert cell.status == "ok", cell.error
    assert kernel.ask("(cap.stdout, cap.stderr)") == ("hi\n", "why\n")
    assert "exit 0" in kernel.ask(STATUS) and "<pre" in kernel.ask("cap.outputs[0].data['text/html']")
    assert not cell.streams and not cell.displays


def test_what_a_job_writes_after_the_captures_end_is_captured_too(kernel: Kernel) -> None:
    cell = kernel.run("%%capture cap\n%spawn --pipes -n late sh -c 'echo early; read line; echo late $line'")
    kernel.ask_until("cap.stdout == 'early\\n'")
    assert "running" in kernel.ask(STATUS)
    kernel.run("%send late news")
    kernel.ask_until(f"'exit 0' in {STATUS}")
    assert kernel.ask("cap.stdout") == "early\nlate news\n"
    assert kernel.ask("sum('late' in str(output.data) for output in cap.outputs)") == 1
    assert not cell.streams and not cell.displays


def test_a_capture_that_is_shown_while_its_job_runs_is_brought_up_to_date(kernel: Kernel) -> None:
    kernel.run("%%capture cap\n%spawn -n late sh -c 'read line'")
    shown = kernel.run("cap.show()")
    assert "running" in shown.shown
    kernel.run("%send late news")
    kernel.until(lambda: "exit 0" in shown.shown)


def test_all_of_a_flood_is_captured(kernel: Kernel) -> None:
    kernel.run("%%capture cap\n%spawn -w seq 1 200000", timeout=60)
    assert kernel.ask("cap.stdout == ''.join(f'{i}\\n' for i in range(1, 200001))") is True


def test_capture_output_in_a_function_has_what_its_job_wrote(kernel: Kernel) -> None:
    kernel.run(
        "from IPython.utils.capture import capture_output\n"
        "def run():\n"
        "    with capture_output() as cap:\n"
        "        ipyproc.spawn('echo hi; exit 3').join(raise_error=False)\n"
        "    return cap\n"
        "cap = run()"
    )
    kernel.ask_until(f"'exit 3' in {STATUS}")
    assert kernel.ask("cap.stdout") == "hi\n"


def test_what_is_not_captured_is_in_the_cell(kernel: Kernel) -> None:
    cell = kernel.run("%%capture --no-display cap\n%spawn -w echo hi")
    assert "exit 0" in cell.shown
    assert kernel.ask("cap.stdout") == "hi\n"
    cell = kernel.run("%%capture --no-stdout cap\n%spawn -w echo hi")
    assert cell.stdout == "hi\n"
    kernel.ask_until(f"'exit 0' in {STATUS}")


def test_the_table_of_jobs_is_captured(kernel: Kernel) -> None:
    kernel.run("%spawn -w -n listed true")
    cell = kernel.run("%%capture cap\n%jobs")
    assert "listed" in kernel.ask(STATUS) and not cell.displays


def test_in_a_batch_run_a_capture_has_what_came_between_the_cells(kernel: Kernel) -> None:
    batch: dict[str, Any] = {"allow_stdin": False}
    first = kernel.run(
        "%%capture cap\n%spawn --pipes -n late sh -c 'echo early; read line; echo late'", **batch
    )
    kernel.run("%send late news", **batch)
    kernel.ask_until("ipyproc.jobs['late'].done")
    awaiting = kernel.run("await ipyproc.jobs['late']", **batch)
    kernel.ask_until(f"'exit 0' in {STATUS}")
    assert kernel.ask("cap.stdout") == "early\nlate\n"
    assert not first.displays and not awaiting.streams


OUT = "import ipywidgets\nout = ipywidgets.Output()\ndef said():\n    return repr(out.outputs)"


@pytest.fixture
def out(kernel: Kernel) -> Kernel:
    assert kernel.run(OUT).status == "ok"
    return kernel


def test_an_output_widget_has_its_jobs_status_and_output_up_to_the_end(out: Kernel) -> None:
    cell = out.run("with out:\n    ipyproc.spawn('echo early; read line; echo late $line', name='late')")
    out.ask_until("'early' in said() and 'running' in said()")
    out.run("%send late news")
    out.ask_until("'exit 0' in said()")
    kinds = "[(output['output_type'], output.get('text')) for output in out.outputs]"
    assert out.ask(kinds) == [("display_data", None), ("stream", "early\nlate news\n")]
    assert not cell.streams and not cell.displays


def test_two_jobs_in_one_output_widget_do_not_disturb_each_other(out: Kernel) -> None:
    out.run("with out:\n    jobs = [ipyproc.spawn(f'echo from-{n}', name=f'job{n}') for n in range(2)]")
    out.ask_until("said().count('exit 0') == 2 * 2 and 'from-0' in said() and 'from-1' in said()")


def test_what_a_front_end_has_put_into_an_output_widget_stays_there(out: Kernel) -> None:
    out.run("with out:\n    ipyproc.spawn('read line; echo $line', name='late')")
    out.ask_until("'running' in said()")
    # As a front end does with what is printed inside, which it had not told the kernel of.
    out.run("out.outputs = ({'output_type': 'stream', 'name': 'stdout', 'text': 'printed\\n'},)")
    out.ask_until("'running' in said()")
    out.run("%send late news")
    out.ask_until("'exit 0' in said() and 'news' in said()")
    assert out.ask("out.outputs[0]['text']") == "printed\n"


def test_an_output_widget_that_is_cleared_shows_only_what_comes_after(out: Kernel) -> None:
    out.run("with out:\n    ipyproc.spawn('echo early; read line; echo $line', name='late')")
    # As a line that has ended: one of which the end is still to come is shown again when that comes.
    out.ask_until("'early\\n' in [output.get('text') for output in out.outputs]")
    out.run("out.outputs = ()")
    out.run("%send late news")
    out.ask_until("'news' in said()")
    assert out.ask("'early' in said()") is False


def test_a_job_after_the_widgets_with_is_in_its_cell(out: Kernel) -> None:
    cell = out.run("with out:\n    pass\nipyproc.spawn('echo hi')")
    out.until(lambda: "exit 0" in cell.shown)
    assert cell.stdout == "hi\n" and out.ask("out.outputs") == ()


def test_nothing_imports_widgets_where_no_page_shows_a_job(tmp_path: Path) -> None:
    with running_kernel(tmp_path, extension=False) as kernel:
        cell = kernel.run("%load_ext ipyproc\n%spawn -w echo hi", allow_stdin=False)
        assert "hi\n" in cell.stdout
        assert kernel.ask("'ipywidgets' in __import__('sys').modules") is False


def test_a_job_that_a_widgets_callback_starts_is_shown_where_a_display_is(out: Kernel) -> None:
    out.run(
        "button = ipywidgets.Button()\n"
        "def clicked(button):\n"
        "    display('displayed')\n"
        "    ipyproc.spawn('read line; echo $line', name='clicked')\n"
        "button.on_click(clicked)"
    )
    data = {"method": "custom", "content": {"event": "click"}}
    asked = out.send("comm_msg", {"comm_id": out.ask("button.model_id"), "data": data})

    def shown() -> list[str]:
        return [
            message.kind + ": " + message.text
            for message in out.messages
            if message.parent == asked and message.kind in ("display_data", "stream")
        ]

    out.until(lambda: any("running" in text for text in shown()))
    out.run("%send clicked hi")
    # No display is updated there, so the end is one of its own.
    out.until(lambda: any("exit 0" in text for text in shown()))
    assert shown()[0] == "display_data: 'displayed'"
    assert "running" in shown()[1] and "stream: hi\n" in shown()


def test_a_job_that_a_callback_starts_inside_an_output_widget_is_in_that(out: Kernel) -> None:
    out.run(
        "button = ipywidgets.Button()\n"
        "def clicked(button):\n"
        "    with out:\n"
        "        ipyproc.spawn('echo hi', name='clicked')\n"
        "button.on_click(clicked)"
    )
    data = {"method": "custom", "content": {"event": "click"}}
    out.send("comm_msg", {"comm_id": out.ask("button.model_id"), "data": data})
    out.ask_until("'exit 0' in said() and 'hi' in said()")
