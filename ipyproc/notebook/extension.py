"""Loading and unloading: what ``%load_ext ipyproc`` changes in a shell, and puts back."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from ipyproc.hosts.local.standin import StandIn
from ipyproc.job.job import Job
from ipyproc.job.table import jobs, say_on_stderr
from ipyproc.notebook.bench_magics import BenchMagics
from ipyproc.notebook.cells import current_cell
from ipyproc.notebook.completion import matcher
from ipyproc.notebook.config import IPyProc
from ipyproc.notebook.foreground import with_awaits
from ipyproc.notebook.fork_magics import ForkMagics
from ipyproc.notebook.lines import as_python_has_them
from ipyproc.notebook.magics import JobMagics
from ipyproc.notebook.screen import Screen
from ipyproc.notebook.widget import result_bundle
from ipyproc.process.watch import asyncio_loop

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.magic import Magics
    from tornado.ioloop import IOLoop


__all__ = ["load", "unload"]

_TURNS = 10

_loaded: dict[int, ExitStack] = {}
_closed: dict[int, Screen] = {}


def load(shell: InteractiveShell) -> None:
    """Loads the extension into a shell; harmless when it is loaded already."""
    if id(shell) in _loaded:
        return
    in_terminal = getattr(shell, "kernel", None) is None
    io_loop = _loop_of_terminal() if in_terminal else _loop_of_kernel(shell)
    config = IPyProc(parent=shell)
    driver = jobs.local.resources.loops.driver_of(io_loop)
    screen = Screen(shell, jobs, driver, config)
    stand_in = StandIn(driver, jobs.local.resources.pipes, screen)
    cells = _Running()
    magics = JobMagics(shell, jobs, screen, config)
    forks = ForkMagics(shell, screen)
    benches = BenchMagics(shell, screen)
    with ExitStack() as undo:
        jobs.local.settle(io_loop)
        _find_kernels_python(config, undo)
        _bound_table(config, undo)
        undo.callback(stand_in.close)
        stand_in.start()
        undo.callback(_closed.update, {id(shell): screen})
        undo.callback(screen.close)
        # In this order: a job's status line stands before its output.
        for outlook in (screen, stand_in):
            jobs.add_outlook(outlook)
            undo.callback(jobs.remove_outlook, outlook)
        _register(shell, magics, undo)
        _register(shell, forks, undo)
        _register(shell, benches, undo)
        for event, callback in (
            ("pre_run_cell", cells.begins),
            ("post_run_cell", cells.ends),
            ("pre_run_cell", screen.cell_begins),
            ("post_run_cell", stand_in.cell_ends),
            ("post_run_cell", screen.cell_ends),
        ):
            shell.events.register(event, callback)
            undo.callback(shell.events.unregister, event, callback)
        if in_terminal:
            _run_loop(shell, io_loop, undo)
        _transform(shell.input_transformers_cleanup, lambda lines: _whole_cell(lines, magics), undo)
        if not in_terminal:
            _transform(shell.input_transformers_cleanup, _only_executed(_with_body), undo)
        # IPython splits a cell itself in one of those between, as it does before them all.
        _transform(shell.input_transformers_cleanup, as_python_has_them, undo)
        _transform(shell.input_transformers_cleanup, as_python_has_them, undo, last=True)

        def waits(magic: str, arguments: list[str]) -> bool:
            # What is made ready in the midst of a cell, by %%time or %run, is not run as a coroutine.
            if cells.running:
                return False
            return any(ours.waits(magic, arguments) for ours in (magics, forks, benches))

        _transform(shell.input_transformers_post, lambda lines: with_awaits(lines, waits), undo)
        _complete(shell, undo)
        _show_jobs(shell, screen, undo)
        _show_results(shell, undo)
        _leave_interrupts_to_children(getattr(shell, "kernel", None), undo)
        _say_farewell(getattr(shell, "kernel", None), screen, undo)
        configurables: list[Any] = shell.configurables
        configurables.append(config)
        undo.callback(configurables.remove, config)
        # Magics enter themselves.
        undo.callback(configurables.remove, magics)
        undo.callback(configurables.remove, forks)
        undo.callback(configurables.remove, benches)
        _loaded[id(shell)] = undo.pop_all()
    if (before := _closed.pop(id(shell), None)) is not None:
        screen.adopt(before)


def unload(shell: InteractiveShell) -> None:
    """Puts the shell back as it was.

    Jobs that run go on, and stay in ``ipyproc.jobs``; loaded anew, the extension goes on showing
    them in their cells.
    """
    undo = _loaded.pop(id(shell), None)
    if undo is not None:
        undo.close()


class _Running:
    """Whether a cell runs in this thread."""

    def __init__(self) -> None:
        self._cells: dict[int, int] = {}

    @property
    def running(self) -> bool:
        return threading.get_ident() in self._cells

    def begins(self, _info: object = None) -> None:
        own = threading.get_ident()
        self._cells[own] = self._cells.get(own, 0) + 1

    def ends(self, _result: object = None) -> None:
        own = threading.get_ident()
        left = self._cells.pop(own, 1) - 1
        if left > 0:
            self._cells[own] = left


def _find_kernels_python(config: IPyProc, undo: ExitStack) -> None:
    """Has ``%config IPyProc.kernel_path`` say whether jobs find the kernel's Python first."""

    def changed(_change: object = None) -> None:
        jobs.kernel_path = config.kernel_path

    undo.callback(setattr, jobs, "kernel_path", jobs.kernel_path)
    config.observe(changed, "kernel_path")
    changed()


def _loop_of_kernel(shell: InteractiveShell) -> IOLoop:
    kernel: Any = getattr(shell, "kernel", None)
    loop: IOLoop = kernel.io_loop
    return loop


def _loop_of_terminal() -> IOLoop:
    from IPython.core import async_helpers
    from tornado.platform.asyncio import AsyncIOLoop

    # IOLoop.current() would make a loop that nobody runs: IPython runs cells and prompt on its own.
    # Before IPython 8 it is the policy's.
    find = getattr(async_helpers, "get_asyncio_loop", None) or asyncio.get_event_loop
    loop = find()
    known = AsyncIOLoop._ioloop_for_asyncio.get(loop)
    return known or AsyncIOLoop(asyncio_loop=loop, make_current=False)


def _run_loop(shell: Any, io_loop: IOLoop, undo: ExitStack) -> None:
    """Has the loop run while a terminal shows its prompt; a simple prompt leaves it the cells' ends."""
    if getattr(shell, "simple_prompt", True):
        loop = asyncio_loop(io_loop)

        def turn(_event: object = None) -> None:
            # IPython 7 tells of its cells in the midst of a loop of its own.
            if not loop.is_running() and asyncio._get_running_loop() is None:
                loop.run_until_complete(_turns())

        for event in ("pre_run_cell", "post_run_cell"):
            shell.events.register(event, turn)
            undo.callback(shell.events.unregister, event, turn)
        return
    before = shell.active_eventloop
    shell.enable_gui("asyncio")

    def restore() -> None:
        # Jobs that go on need it.
        if all(job.done for job in jobs):
            shell.enable_gui(before)

    undo.callback(restore)


async def _turns() -> None:
    # What a process that has exited sets off takes a few turns of the loop.
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _bound_table(config: IPyProc, undo: ExitStack) -> None:
    """Has the setting say how many ended jobs are kept; it goes on holding when we are unloaded."""

    def bound(_change: object = None) -> None:
        jobs.max_ended = config.ended_jobs

    bound()
    config.observe(bound, "ended_jobs")
    undo.callback(config.unobserve, bound, "ended_jobs")


def _complete(shell: InteractiveShell, undo: ExitStack) -> None:
    try:
        ours = matcher(shell.magics_manager.magics, jobs)
    except ImportError:
        # All else works on IPython 7.
        return
    matchers: list[Any] = shell.Completer.custom_matchers
    matchers.append(ours)
    undo.callback(matchers.remove, ours)


def _leave_interrupts_to_children(kernel: Any, undo: ExitStack) -> None:
    """Has jobs that start between cells take a SIGINT, such as those started again."""
    # ipykernel ignores SIGINT while no cell runs. A child inherits that, and a handler it does not.
    undo.callback(_exchange_interrupts, kernel, _nothing, signal.SIG_IGN)
    _exchange_interrupts(kernel, signal.SIG_IGN, _nothing)


def _say_farewell(kernel: Any, screen: Screen, undo: ExitStack) -> None:
    """Has cells say that their jobs end with the kernel: while a front end still listens, or at its exit."""
    own = os.getpid()

    def at_exit() -> None:
        # A fork that ends shares the front end.
        if os.getpid() == own:
            screen.farewell()

    # By quit() or at the end of standard input nobody asks for a shutdown.
    atexit.register(at_exit)
    undo.callback(atexit.unregister, at_exit)
    if kernel is None:
        return
    before = kernel.do_shutdown

    def do_shutdown(restart: bool) -> object:
        screen.farewell()
        # Whoever started the kernel may be gone before its exit, and older ones then end at once.
        jobs.say_what_ends()
        return before(restart)

    def restore() -> None:
        if vars(kernel).get("do_shutdown") is do_shutdown:
            del kernel.do_shutdown

    kernel.do_shutdown = do_shutdown
    undo.callback(restore)
    jobs.say = _saying_past(sys.stderr)


def _saying_past(stream: Any) -> Callable[[str], object]:
    """Return what writes to the standard error with which the kernel was started, and not to a cell.

    While ipykernel runs, a pipe of its own stands there, and what is in it at the end reaches nobody.
    """
    try:
        pipe = os.fstat(2)
    except OSError:
        return say_on_stderr

    def say(line: str) -> None:
        with suppress(AttributeError, OSError, ValueError):
            if os.path.samestat(os.fstat(2), pipe):
                os.write(stream.fileno(), (line + "\n").encode(errors="backslashreplace"))
                return
        say_on_stderr(line)

    return say


def _exchange_interrupts(kernel: Any, old: object, new: Any) -> None:
    if getattr(kernel, "saved_sigint_handler", None) is old:
        kernel.saved_sigint_handler = new
    if signal.getsignal(signal.SIGINT) is old and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, new)


def _nothing(_signum: int, _frame: object) -> None:
    pass


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


def _transform(
    transformers: list[Callable[[list[str]], list[str]]],
    transformer: Callable[[list[str]], list[str]],
    undo: ExitStack,
    *,
    last: bool = False,
) -> None:
    transformers.insert(len(transformers) if last else 0, transformer)
    undo.callback(transformers.remove, transformer)


def _whole_cell(lines: list[str], magics: JobMagics) -> list[str]:
    """Gives ``%%spawn ls -la`` alone a body: IPython refuses a cell magic without one."""
    whole = _with_body(lines)
    line = whole[0].rstrip() if whole is not lines else ""
    return whole if magics.has_command(line.partition(" ")[2]) and not line.endswith("\\") else lines


def _with_body(lines: list[str]) -> list[str]:
    first, rest = _split(lines)
    if first.rstrip().partition(" ")[0] != "%%spawn" or "".join(rest).strip():
        return lines
    return [first.rstrip("\n") + "\n", "\n"]


def _only_executed(transformer: Callable[[list[str]], list[str]]) -> Callable[[list[str]], list[str]]:
    """Has IPython leave a transformer out where it asks whether a cell is complete.

    After ``%%spawn --name x`` and Enter a console then goes on to the body, as it does for ``%%bash``.
    """
    transformer.has_side_effects = True  # type: ignore[attr-defined]
    return transformer


def _split(lines: list[str]) -> tuple[str, list[str]]:
    for number, line in enumerate(lines):
        if line.strip():
            return line, lines[number + 1 :]
    return "", []


def _show_jobs(shell: InteractiveShell, screen: Screen, undo: ExitStack) -> None:
    formatters: Any = shell.display_formatter
    formatter = formatters.ipython_display_formatter
    before = formatter.for_type(Job, lambda job: screen.show(job, output=False))

    def restore() -> None:
        if before is None:
            formatter.pop(Job, None)
        else:
            formatter.for_type(Job, before)

    undo.callback(restore)


def _show_results(shell: InteractiveShell, undo: ExitStack) -> None:
    formatters: Any = shell.display_formatter
    formatter = formatters.mimebundle_formatter

    # By name: a class that nobody has used is not imported for this.
    formatter.for_type_by_name(
        "ipyproc.bench.model",
        "BenchResult",
        lambda result: result_bundle(result, current_cell(shell)),
    )

    def restore() -> None:
        formatter.pop("ipyproc.bench.model.BenchResult", None)

    undo.callback(restore)
