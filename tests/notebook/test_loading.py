from __future__ import annotations

from tests.notebook.kernels import Kernel

_SNAPSHOT = """
import threading
# Threads that are there for a moment.
passing = ["ipyproc census", "ipyproc find", "ipyproc live view"]
def named():
    return [thread.name for thread in threading.enumerate()]
def picture():
    shell = get_ipython()
    return {
        "magics": {kind: dict(names) for kind, names in shell.magics_manager.magics.items()},
        "cleanup": list(shell.input_transformers_cleanup),
        "post": list(shell.input_transformers_post),
        "events": {name: list(found) for name, found in shell.events.callbacks.items()},
        "configurables": list(shell.configurables),
        "printers": dict(shell.display_formatter.ipython_display_formatter.type_printers),
        "deferred": dict(shell.display_formatter.ipython_display_formatter.deferred_printers),
        "matchers": list(shell.Completer.custom_matchers),
        "hooks": {name: list(found.strs) for name, found in shell.strdispatchers.items()},
        "threads": sorted(name for name in named() if "ipyproc" in name and name not in passing),
        "shutdown": vars(shell.kernel).get("do_shutdown"),
        "signal": __import__("signal").getsignal(__import__("signal").SIGINT),
        "name": shell.user_ns.get("ipyproc"),
    }
"""


def test_unloading_leaves_the_shell_as_it_was_before_loading(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    assert kernel.run("%unload_ext ipyproc").status == "ok"
    kernel.run(_SNAPSHOT)
    kernel.ask_until("not picture()['threads']")
    kernel.run("before = picture()")
    assert kernel.run("%load_ext ipyproc").status == "ok"
    kernel.run("loaded = picture()")
    assert kernel.run("%spawn -w true").status == "ok"
    changed = "sorted(key for key in before if before[key] != {}[key])"
    assert set(kernel.ask(changed.format("loaded"))) >= {
        *("magics", "cleanup", "post", "events", "configurables", "printers", "threads", "shutdown")
    }
    assert kernel.run("%unload_ext ipyproc").status == "ok"
    # The thread of the census ends a moment after the last question.
    kernel.until(lambda: kernel.run("after = picture()") and kernel.ask(changed.format("after")) == [])
    assert "UsageError" in kernel.run("%spawn true").stderr


def test_the_package_has_its_name_in_the_notebook_while_it_is_loaded_unless_that_is_taken(
    fresh_kernel: Kernel,
) -> None:
    kernel = fresh_kernel
    kernel.run("%unload_ext ipyproc\ndel ipyproc")
    kernel.run("%load_ext ipyproc")
    assert kernel.ask("type(ipyproc.jobs).__name__") == "JobTable"
    kernel.run("%unload_ext ipyproc")
    assert kernel.ask("'ipyproc' in dir()") is False
    # What the user has imported or put there is the user's.
    kernel.run("%load_ext ipyproc\nimport sys, ipyproc")
    kernel.run("%unload_ext ipyproc")
    assert kernel.ask("ipyproc.__name__") == "ipyproc"
    kernel.run("ipyproc = 'mine'\n%load_ext ipyproc")
    kernel.run("%unload_ext ipyproc")
    assert kernel.ask("ipyproc") == "mine"


def test_loading_twice_is_loading_once(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    kernel.run(_SNAPSHOT + "before = picture()")
    cell = kernel.run("%load_ext ipyproc\nipyproc.load_ipython_extension(get_ipython())")
    assert cell.status == "ok" and not cell.stderr
    kernel.run("after = picture()")
    assert kernel.ask("[key for key in before if before[key] != after[key]]") == []
    cell = kernel.run("%spawn echo once")
    kernel.until(lambda: "exit 0" in cell.shown and cell.stdout == "once\n")
    assert len(cell.displays) == 1


def test_a_job_goes_on_when_the_extension_is_unloaded_and_can_be_awaited(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    cell = kernel.run("%%spawn --pipes -n held sh -c 'echo early; read line; echo late $line'")
    kernel.until(lambda: "early" in cell.stdout)
    assert kernel.run("%unload_ext ipyproc").status == "ok"
    assert kernel.ask("ipyproc.jobs['held'].done") is False
    cell = kernel.run("job = ipyproc.jobs['held']\njob.send('news\\n')\nresult = await job")
    assert cell.status == "ok", cell.error
    assert kernel.ask("result.output") == "early\nlate news\n"
    assert kernel.run("%load_ext ipyproc").status == "ok"
    again = kernel.run("%logs held\nprint('printed after it')")
    assert "exit 0" in again.shown and again.stdout == "early\nlate news\nprinted after it\n"


def test_reloading_with_a_running_job_keeps_it(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    cell = kernel.run("%%spawn --pipes -n held sh -c 'echo early; read line; echo late $line'")
    kernel.until(lambda: "early" in cell.stdout)
    assert kernel.run("%reload_ext ipyproc").status == "ok"
    reloaded = kernel.run("%send held news\nawait ipyproc.jobs['held']")
    assert reloaded.status == "ok", reloaded.error
    assert kernel.ask("ipyproc.jobs['held'].output") == "early\nlate news\n"


def test_reloading_with_a_running_job_keeps_its_cell_live(fresh_kernel: Kernel) -> None:
    kernel = fresh_kernel
    cell = kernel.run("%%spawn --pipes -n held sh -c 'echo early; read line; echo late $line'")
    kernel.until(lambda: "early" in cell.stdout)
    kernel.run("%reload_ext ipyproc")
    kernel.run("%send held news")
    kernel.until(lambda: "exit 0" in cell.shown and cell.stdout == "early\nlate news\n")


def test_loading_draws_nothing_and_so_imports_no_rich(fresh_kernel: Kernel) -> None:
    assert fresh_kernel.ask("'rich' in __import__('sys').modules") is False
