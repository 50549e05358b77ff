from __future__ import annotations

import pytest

from tests.notebook.kernels import Cell, Kernel


def ended(kernel: Kernel, cell: Cell) -> Cell:
    """Waits until a cell shows that its one job has ended."""
    kernel.until(lambda: any(sign in cell.shown for sign in ("exit ", "SIG")))
    return cell


def test_a_cell_magic_alone_is_a_whole_cell(kernel: Kernel) -> None:
    cell = ended(kernel, kernel.run("%%spawn ls -la"))
    assert "kernel.log" in cell.stdout and not cell.stderr
    assert cell.shown.startswith("✓ ls -la  exit 0 · ")


@pytest.mark.parametrize("code", ["%%spawn ls", "%%spawn ls\n", "\n\n%%spawn ls\n\n  \n"])
def test_blank_lines_around_it_change_nothing(kernel: Kernel, code: str) -> None:
    assert "kernel.log" in ended(kernel, kernel.run(code)).stdout


def test_the_body_is_the_standard_input_of_a_command(kernel: Kernel) -> None:
    cell = ended(kernel, kernel.run("%%spawn sort -n\n10\n9\n"))
    assert cell.stdout == "9\n10\n"


def test_the_body_is_a_script_where_there_is_no_command(kernel: Kernel) -> None:
    cell = ended(kernel, kernel.run("%%spawn --pipes -n script\necho one\nif true; then echo two; fi >&2\n"))
    assert (cell.stdout, cell.stderr) == ("one\n", "two\n")
    assert kernel.ask("ipyproc.jobs['script'].output").split() == ["one", "two"]


def test_a_line_magic_gives_the_job_to_a_variable(kernel: Kernel) -> None:
    cell = kernel.run("job = %spawn echo hello\nresult = await job")
    assert kernel.ask("(job.name, result.returncode, result.stdout)") == ("echo", 0, "hello\n")
    assert cell.stdout == "hello\n" and len(cell.displays) == 1


def test_the_job_is_the_cells_value_and_is_shown_once(kernel: Kernel) -> None:
    cell = ended(kernel, kernel.run("%spawn echo hello"))
    kernel.run("same = _ is ipyproc.jobs['echo']")
    assert kernel.ask("same") is True
    assert len(cell.displays) == 1
    assert [message.kind for message in cell.messages if message.kind == "execute_result"] == []


def test_the_cell_magics_job_is_the_cells_value(kernel: Kernel) -> None:
    ended(kernel, kernel.run("%%spawn echo hello"))
    kernel.run("same = _ is ipyproc.jobs['echo']")
    assert kernel.ask("same") is True


def test_a_job_shown_in_another_cell_is_live_there_without_its_output(kernel: Kernel) -> None:
    first = kernel.run("%%spawn --pipes -n late sh -c 'echo out; read line'")
    other = kernel.run("ipyproc.jobs['late']")
    assert "running" in other.shown and len(other.displays) == 1
    kernel.run("%send late go")
    ended(kernel, first)
    ended(kernel, other)
    assert (first.stdout, other.stdout) == ("out\n", "")


def test_a_job_that_has_ended_shows_its_status_in_another_cell(kernel: Kernel) -> None:
    ended(kernel, kernel.run("%%spawn -n short sh -c 'exit 3'"))
    other = kernel.run("ipyproc.jobs['short']")
    assert "exit 3" in other.shown


def test_python_variables_expand_as_for_the_exclamation_mark(kernel: Kernel) -> None:
    kernel.run("word, number = 'it', 41")
    plain = kernel.run("!echo {word} $word {number + 1} $$word '$word' {{word}}")
    line = ended(kernel, kernel.run("%spawn -n a echo {word} $word {number + 1} $$word '$word' {{word}}"))
    cell = ended(kernel, kernel.run("%%spawn -n b echo {word} $word {number + 1} $$word '$word' {{word}}"))
    assert line.stdout == cell.stdout == plain.stdout.replace("\r", "")
    assert line.stdout.startswith("it it 42 ")


def test_what_is_no_python_variable_is_left_to_the_shell(kernel: Kernel) -> None:
    cell = ended(kernel, kernel.run("%spawn -n home echo $HOME ${HOME}"))
    assert cell.stdout == kernel.run("!echo $HOME ${HOME}").stdout.replace("\r", "")


def test_options_take_expanded_variables(kernel: Kernel) -> None:
    kernel.run("name, seconds = 'by-variable', 30")
    ended(kernel, kernel.run("%spawn -n $name --timeout {seconds} true"))
    assert kernel.ask("'by-variable' in ipyproc.jobs") is True


def test_a_body_is_not_expanded(kernel: Kernel) -> None:
    kernel.run("word = 'it'")
    assert ended(kernel, kernel.run("%%spawn cat\n{word} $word\n")).stdout == "{word} $word\n"


def test_what_follows_the_options_is_the_shells_untouched(kernel: Kernel) -> None:
    cell = ended(kernel, kernel.run("%spawn -n quoted printf '%s|' \"a  b\" -n --name 'c' ; echo \\\\ done"))
    assert cell.stdout == "a  b|-n|--name|c|\\ done\n"
    cell = ended(kernel, kernel.run("%spawn -- echo --after"))
    assert cell.stdout == "--after\n"


def test_quiet_shows_nothing_and_keeps_everything(kernel: Kernel) -> None:
    cell = kernel.run("job = %spawn -q echo hidden\nawait job")
    assert not cell.streams and not [d for d in cell.displays if "echo" in d.text]
    assert kernel.ask("job.output") == "hidden\n"


def test_quiet_as_the_cells_value_shows_no_output(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn -q -n hushed echo hidden")
    kernel.ask_until("ipyproc.jobs['hushed'].done")
    assert not cell.streams
    assert not cell.displays


def test_out_and_err_put_the_output_into_variables(kernel: Kernel) -> None:
    kernel.run("%%spawn -w --out text --err problems\necho one\necho two >&2\necho three")
    assert kernel.ask("(text, problems)") == ("one\nthree\n", "two\n")


def test_out_is_there_when_a_background_job_has_ended(kernel: Kernel) -> None:
    kernel.run("%spawn -q --out later echo text")
    assert kernel.ask_until("globals().get('later')") == "text\n"


def test_out_is_there_when_an_awaiting_cell_goes_on(kernel: Kernel) -> None:
    cell = kernel.run("job = %spawn -q --out soon echo text\nawait job\nprint(soon, end='')")
    assert cell.stdout == "text\n"


def test_cwd_and_env_are_the_jobs(kernel: Kernel) -> None:
    cell = ended(
        kernel, kernel.run("%spawn -n there --cwd / --env A=1 --env 'B=two words' sh -c 'pwd; echo $A $B'")
    )
    assert cell.stdout == "/\n1 two words\n"


def test_timeout_stops_the_job_and_says_so(kernel: Kernel) -> None:
    cell = kernel.run("%spawn --timeout 0.1 sleep 60")
    kernel.until(lambda: "SIGINT" in cell.shown)
    assert "timed out after 0.1 s" in cell.shown


def test_restart_shows_each_restart_and_that_it_gave_up(kernel: Kernel) -> None:
    cell = kernel.run("%spawn -n loop --restart on-failure --max-restarts 1 sh -c 'echo try; exit 7'")
    kernel.until(lambda: "gave up" in cell.shown and cell.stdout == "try\ntry\n")
    assert "1 restart of 1" in cell.shown


def test_ready_is_shown_when_its_sign_has_come(kernel: Kernel) -> None:
    cell = kernel.run("%spawn -n up --ready 'listening on \\d+' sh -c 'read a; echo listening on 80; read b'")
    assert "not ready yet" in cell.shown
    kernel.run("%send up go")
    kernel.until(lambda: "· ready" in cell.shown)
    kernel.run("%send up end")
    ended(kernel, cell)


def test_bg_is_accepted_for_hands_used_to_script(kernel: Kernel) -> None:
    assert ended(kernel, kernel.run("%%spawn --bg echo hello")).stdout == "hello\n"


def test_an_await_raises_for_a_failure_with_the_last_lines_of_stderr(kernel: Kernel) -> None:
    cell = kernel.run("job = %spawn sh -c 'echo why >&2; exit 4'\nawait job")
    assert cell.status == "error"
    assert cell.reply["ename"] == "JobFailed"
    assert "exited with status 4" in cell.reply["evalue"] and "why" in cell.reply["evalue"]


def test_spawn_in_python_shows_in_its_cell(kernel: Kernel) -> None:
    cell = ended(kernel, kernel.run("job = ipyproc.spawn('echo hello', name='py')"))
    assert cell.stdout == "hello\n" and "py: echo hello" in cell.shown


def test_two_jobs_of_one_cell_are_both_shown_in_it(kernel: Kernel) -> None:
    cell = kernel.run("for word in ('one', 'two'):\n    ipyproc.spawn(['echo', word])")
    kernel.until(lambda: cell.shown.count("exit 0") == 2)
    assert sorted(cell.stdout.split()) == ["one", "two"]


def test_spawn_from_another_thread_shows_in_the_cell_that_started_the_thread(kernel: Kernel) -> None:
    cell = kernel.run(
        "import threading\n"
        "thread = threading.Thread(target=lambda: ipyproc.spawn('echo threaded', name='t'))\n"
        "thread.start(); thread.join()"
    )
    ended(kernel, cell)
    assert cell.stdout == "threaded\n"


def test_a_plain_thread_may_spawn_send_and_stop(kernel: Kernel) -> None:
    cell = kernel.run(
        "import threading, asyncio, time\n"
        "def work():\n"
        "    job = ipyproc.spawn('cat', name='from-thread')\n"
        "    job.send('hello\\n')\n"
        "    while job.output != 'hello\\n': time.sleep(0.01)\n"
        "    asyncio.run(job.stop())\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start()"
    )
    kernel.until(lambda: "SIGINT" in cell.shown)
    assert kernel.ask("ipyproc.jobs['from-thread'].returncode") == -2


def test_a_comms_callback_may_spawn_and_stop(kernel: Kernel) -> None:
    kernel.run(
        "import asyncio, comm\n"
        "def opened(comm_, message):\n"
        "    if message['content']['data'] == 'start':\n"
        "        ipyproc.spawn(['sleep', '60'], name='by-comm')\n"
        "    else:\n"
        "        asyncio.ensure_future(ipyproc.jobs['by-comm'].stop())\n"
        "comm.get_comm_manager().register_target('tests', opened)"
    )
    for number, data in enumerate(("start", "stop")):
        kernel.send("comm_open", {"comm_id": f"c{number}", "target_name": "tests", "data": data})
        kernel.ask_until("'by-comm' in ipyproc.jobs" if number == 0 else "ipyproc.jobs['by-comm'].done")
    assert kernel.ask("ipyproc.jobs['by-comm'].returncode") == -2


@pytest.fixture
def subshell(kernel: Kernel) -> str:
    if not kernel.ask("hasattr(get_ipython().kernel, 'shell_channel_thread')"):
        pytest.skip("this ipykernel has no subshells")
    return kernel.control("create_subshell_request")["subshell_id"]


def test_spawn_in_a_subshell_shows_in_its_cell(kernel: Kernel, subshell: str) -> None:
    cell = kernel.run("%spawn -n sub echo hello", subshell_id=subshell)
    ended(kernel, cell)
    assert cell.stdout == "hello\n" and len(cell.displays) == 1
    kernel.control("delete_subshell_request", subshell_id=subshell)


def test_a_job_of_a_subshell_is_live_while_the_main_shell_is_held(kernel: Kernel, subshell: str) -> None:
    held = kernel.start("import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)")
    cell = kernel.start("job = ipyproc.spawn('echo hello', name='sub')", subshell_id=subshell)
    kernel.until(lambda: cell.stdout == "hello\n")
    assert not held.ended
    kernel.run("open('go', 'w').close()", subshell_id=subshell)
    waited = kernel.run("result = await job", subshell_id=subshell)
    assert waited.status == "ok", waited.error
    kernel.finish(held)
    kernel.control("delete_subshell_request", subshell_id=subshell)


def test_a_widget_in_a_subshell_may_stop_a_job(kernel: Kernel, subshell: str) -> None:
    cell = kernel.run("job = ipyproc.spawn(['sleep', '60'], name='stopped')")
    kernel.run("await job.stop()", subshell_id=subshell)
    kernel.until(lambda: "SIGINT" in cell.shown)
    kernel.control("delete_subshell_request", subshell_id=subshell)


def test_a_job_that_was_started_again_between_cells_can_be_interrupted(kernel: Kernel) -> None:
    cell = kernel.run("%spawn -n again --restart always sh -c 'read line; exit 1'")
    kernel.run("%send again end")
    kernel.until(lambda: "1 restart of" in cell.shown and "running" in cell.shown)
    kernel.run("result = await ipyproc.jobs['again'].stop(60)")
    assert kernel.ask("result.ended_by") == "SIGINT"


def test_a_comment_in_place_of_the_command_leaves_the_body_a_script(kernel: Kernel) -> None:
    cell = kernel.run("%%spawn -w -n commented  # no command here\necho from the script")
    assert cell.stdout == "from the script\n"


def test_a_command_runs_at_the_end_and_a_job_that_notifies_says_so(kernel: Kernel) -> None:
    ended(kernel, kernel.run("%%spawn -n noted --notify --on-end 'echo $IPYPROC_RESULT > noted' exit 4"))
    assert kernel.ask("ipyproc.jobs['noted'].notifies") is True
    kernel.run(
        "import os, time\nwhile not (os.path.exists('noted') and os.path.getsize('noted')): time.sleep(0.01)"
    )
    assert kernel.ask("__import__('pathlib').Path('noted').read_text()") == "failed\n"
