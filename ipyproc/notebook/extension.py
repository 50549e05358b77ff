"""Load and unload the extension: what ``%load_ext ipyproc`` changes in a shell, and restores."""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from ipyproc.job.job import Job
from ipyproc.job.table import jobs
from ipyproc.notebook.cells import current_cell
from ipyproc.notebook.completion import matcher
from ipyproc.notebook.config import IPyProc
from ipyproc.notebook.farewell import leave_interrupts_to_children, say_farewell
from ipyproc.notebook.front_end import ShellFrontEnd
from ipyproc.notebook.live import PageViews
from ipyproc.notebook.magics import VERBS
from ipyproc.notebook.magics.base import Context
from ipyproc.notebook.private.ipykernel import kernel_of, loop_of
from ipyproc.notebook.private.ipython import loop_of_terminal, prompt_runs_loop, run_loop_at_prompt
from ipyproc.notebook.private.tornado import io_loop_around
from ipyproc.notebook.terminal_rows import terminal_rows
from ipyproc.notebook.transforms import RunningCells, transform_cells
from ipyproc.process.loops import asyncio_loop
from ipyproc.views.kinds import result_picture
from ipyproc.views.manager import ViewManager
from ipyproc.views.schedule import Publishers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.magic import Magics
    from tornado.ioloop import IOLoop

    from ipyproc.notebook.magics.base import Verb


__all__ = ["load", "unload"]

_TURNS = 10
_IMPORT = re.compile(r"^\s*(?:import|from)\b.*\bipyproc\b", re.MULTILINE)

_loaded: dict[int, ExitStack] = {}
_closed: dict[int, ViewManager] = {}


def load(shell: InteractiveShell) -> None:
    """Load the extension into a shell; do nothing if it is loaded already."""
    if id(shell) in _loaded:
        return
    kernel = kernel_of(shell)
    io_loop = io_loop_around(loop_of_terminal()) if kernel is None else loop_of(kernel)
    config = IPyProc(parent=shell)
    front_end = ShellFrontEnd(shell, io_loop, [f"%%{verb.name}" for verb in VERBS if verb.magics["cell"]])
    pages = PageViews(shell, jobs, io_loop, config, lambda: views.renew())
    views = ViewManager(front_end, jobs, io_loop, config, pages.live_form, pages.live_table)
    stand_in = jobs.local.stand_in(io_loop, Publishers((views, pages.lives)))
    cells = RunningCells()
    context = Context(shell, jobs, views, config, pages)
    verbs = [verb(context) for verb in VERBS]
    with ExitStack() as undo:
        configurables: list[Any] = shell.configurables
        # A `Magics` object adds itself to the configurables.
        for verb in verbs:
            undo.callback(configurables.remove, verb)
        jobs.local.settle(io_loop)
        _find_kernels_python(config, undo)
        _bound_table(config, undo)
        undo.callback(stand_in.close)
        stand_in.start()
        undo.callback(_closed.update, {id(shell): views})
        undo.callback(views.close)
        undo.callback(pages.close)
        pages.open()
        # The views comes first, so that a job's status line stands before its output.
        for watcher in (views, pages.lives, stand_in):
            jobs.add_watcher(watcher)
            undo.callback(jobs.remove_watcher, watcher)
        for verb in verbs:
            _register(shell, verb, undo)
        for event, callback in (
            ("pre_run_cell", cells.begins),
            ("post_run_cell", cells.ends),
            ("pre_run_cell", views.cell_begins),
            ("pre_run_cell", terminal_rows.cell_begins),
            ("post_run_cell", stand_in.cell_ends),
            ("post_run_cell", views.cell_ends),
            ("post_run_cell", terminal_rows.cell_ends),
        ):
            shell.events.register(event, callback)
            undo.callback(shell.events.unregister, event, callback)
        if kernel is None:
            _run_loop(shell, io_loop, undo)
        transform_cells(shell, verbs, cells, undo, in_terminal=kernel is None)
        _complete(shell, verbs, undo)
        _name_package(shell, undo)
        _show_jobs(shell, views, undo)
        _show_results(shell, undo)
        leave_interrupts_to_children(kernel, undo)
        say_farewell(kernel, jobs, (views, pages.lives), undo)
        configurables.append(config)
        undo.callback(configurables.remove, config)
        _loaded[id(shell)] = undo.pop_all()
    if (before := _closed.pop(id(shell), None)) is not None:
        views.adopt(before)
    jobs.find_kept()


def unload(shell: InteractiveShell) -> None:
    """Restore the shell as it was.

    Running jobs continue, and stay in ``ipyproc.jobs``. If the extension is loaded again, it continues to
    show them in their cells.
    """
    undo = _loaded.pop(id(shell), None)
    if undo is not None:
        undo.close()


def _find_kernels_python(config: IPyProc, undo: ExitStack) -> None:
    """Apply ``%config IPyProc.kernel_path`` to the table of jobs, now and on each change."""

    def changed(_change: object = None) -> None:
        jobs.kernel_path = config.kernel_path

    undo.callback(setattr, jobs, "kernel_path", jobs.kernel_path)
    config.observe(changed, "kernel_path")
    changed()


def _bound_table(config: IPyProc, undo: ExitStack) -> None:
    """Apply ``%config IPyProc.ended_jobs`` to the table; the bound still holds after unloading."""

    def bound(_change: object = None) -> None:
        jobs.max_ended = config.ended_jobs
        jobs.kept_days, jobs.kept_bytes = config.kept_days, config.kept_bytes

    bounds = ["ended_jobs", "kept_days", "kept_bytes"]
    bound()
    config.observe(bound, bounds)
    undo.callback(config.unobserve, bound, bounds)


def _register(shell: InteractiveShell, magics: Magics, undo: ExitStack) -> None:
    registered = shell.magics_manager.magics
    before = {kind: {name: registered[kind].get(name) for name in magics.magics[kind]} for kind in registered}
    shell.register_magics(magics)

    def restore() -> None:
        for kind, names in before.items():
            for name, function in names.items():
                if function is None:
                    registered[kind].pop(name, None)
                else:
                    registered[kind][name] = function

    undo.callback(restore)


def _run_loop(shell: InteractiveShell, io_loop: IOLoop, undo: ExitStack) -> None:
    """Run the loop while a terminal shows its prompt; with a simple prompt, before and after each cell."""
    if prompt_runs_loop(shell):
        put_back = run_loop_at_prompt(shell)

        def restore() -> None:
            # Jobs that still run need the loop.
            if all(job.done for job in jobs):
                put_back()

        undo.callback(restore)
        return
    loop = asyncio_loop(io_loop)

    def turn(_event: object = None) -> None:
        # IPython 7 fires these events inside a running loop, in which no other loop can run.
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            return
        loop.run_until_complete(_turns())

    for event in ("pre_run_cell", "post_run_cell"):
        shell.events.register(event, turn)
        undo.callback(shell.events.unregister, event, turn)


async def _turns() -> None:
    # The callbacks that follow the exit of a process take a few turns of the loop.
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _complete(shell: InteractiveShell, verbs: Iterable[Verb], undo: ExitStack) -> None:
    try:
        ours = matcher(shell.magics_manager.magics, verbs, jobs)
    except ImportError:
        # IPython 7 has no such completion; all else works.
        return
    matchers: list[Any] = shell.Completer.custom_matchers
    matchers.append(ours)
    undo.callback(matchers.remove, ours)


def _name_package(shell: InteractiveShell, undo: ExitStack) -> None:
    """Put ``ipyproc`` into the user's namespace if that name is free; remove it later if it still is ours.

    It is no longer ours once a cell imports the package, or puts something else there.
    """
    import ipyproc

    names = shell.user_ns
    if "ipyproc" in names:
        return
    names["ipyproc"] = ipyproc
    imported: list[str] = []

    def look(result: Any = None) -> None:
        cell = getattr(getattr(result, "info", None), "raw_cell", None) or ""
        if not imported and "ipyproc" in cell and _IMPORT.search(cell):
            imported.append(cell)

    def remove() -> None:
        if not imported and names.get("ipyproc") is ipyproc:
            del names["ipyproc"]

    shell.events.register("post_run_cell", look)
    undo.callback(shell.events.unregister, "post_run_cell", look)
    undo.callback(remove)


def _show_jobs(shell: InteractiveShell, views: ViewManager, undo: ExitStack) -> None:
    formatters: Any = shell.display_formatter
    formatter = formatters.ipython_display_formatter
    before = formatter.for_type(Job, lambda job: views.show(job, output=False))

    def restore() -> None:
        if before is None:
            formatter.pop(Job, None)
        else:
            formatter.for_type(Job, before)

    undo.callback(restore)


def _show_results(shell: InteractiveShell, undo: ExitStack) -> None:
    formatters: Any = shell.display_formatter
    formatter = formatters.mimebundle_formatter

    # Registered by name, so that the class is not imported before it is used.
    formatter.for_type_by_name(
        "ipyproc.bench.model",
        "BenchResult",
        lambda result: result_picture(result, current_cell(shell).medium),
    )

    def restore() -> None:
        formatter.pop("ipyproc.bench.model.BenchResult", None)

    undo.callback(restore)
