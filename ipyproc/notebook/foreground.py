"""Wait for jobs in the foreground, and turn calls of magics that wait into awaits."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import signal
import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, cast

from ipyproc.errors import IpyprocError
from ipyproc.job.job import Job
from ipyproc.model.life import LADDER
from ipyproc.notebook.private.ipython import say_plainly
from ipyproc.process.interrupts import interrupts_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ipyproc.job.table import JobTable

__all__ = ["Foreground", "Kind", "finish", "plainly", "taken_mark", "wait_for", "with_awaits"]

_MARK = "\0await "
"""The mark at the beginning of a magic's line if the cell awaits the call; no user types a NUL."""

Kind = Literal["line", "cell"]
"""The kind of a magic: ``%`` or ``%%``."""

Work = Callable[[], Coroutine[Any, Any, object]]


class Foreground:
    """The awaitable that a magic returns if its cell awaits the call; its result is the value of the magic.

    Args:
        work: returns the coroutine to run; it is called when the cell awaits.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def __await__(self) -> Generator[object, None, object]:
        return self._work().__await__()


def taken_mark(line: str) -> tuple[bool, str]:
    """Return True if a magic's line has the mark of `with_awaits`, and the line without it."""
    return line.startswith(_MARK), line.removeprefix(_MARK)


def finish(
    work: Work,
    awaited: bool,
    table: JobTable,
    jobs: Sequence[Job] = (),
    held: interrupts_after | None = None,
) -> object:
    """Return the value of a magic that waits.

    If the cell awaits the call, that is a `Foreground`. Otherwise, as in a function, under ``%%time``, or in
    a cell that was transformed before the extension was loaded, do the work now and return its result; the
    jobs are driven meanwhile.

    Args:
        work: returns the coroutine to run.
        awaited: whether the cell awaits the call.
        table: the table of jobs, which drives them.
        jobs: the jobs that get the interrupts, as in `wait_for`.
        held: holds an interrupt that came while they were started, which they get too.
    """
    return Foreground(work) if awaited else _finish_here(work, table, jobs, held)


async def wait_for(
    *jobs: Job,
    raise_error: bool = True,
    until_ready: bool = False,
    held: interrupts_after | None = None,
) -> None:
    """Wait for jobs in the foreground, where interrupts (■, Ctrl-C) go to the jobs.

    The first interrupt sends SIGINT to their sessions, the second SIGTERM, the third SIGKILL.

    Args:
        jobs: the jobs.
        raise_error: whether to raise if a job fails, or ends before it is ready.
        until_ready: whether to wait until they are ready, instead of for their end.
        held: holds an interrupt that came while they were started, which they get too.

    Raises:
        JobFailed: a job failed, and ``raise_error`` is set.
        NotReadyError: a job ended before it was ready, and ``raise_error`` is set.
    """
    loop = asyncio.get_running_loop()
    hand_on = _interrupting(jobs)
    with _interrupts(lambda: loop.call_soon_threadsafe(hand_on)):
        if held is not None and held.take():
            hand_on()
        if until_ready:
            await _all_ready(jobs, raise_error)
        else:
            results = await asyncio.gather(*(job.wait(raise_error=False) for job in jobs))
            failed = [job for job, result in zip(jobs, results, strict=True) if result.returncode]
            if raise_error and failed:
                await failed[0].wait()


async def _all_ready(jobs: Sequence[Job], raise_error: bool) -> None:
    waiting = [asyncio.ensure_future(job.ready()) for job in jobs]
    try:
        await asyncio.gather(*waiting, return_exceptions=not raise_error)
    finally:
        # After a failure, those of the other jobs.
        for task in waiting:
            task.cancel()


async def plainly(work: Coroutine[object, object, object]) -> object:
    """Await ``work``; IPython shows an `IpyprocError` that it raises without a traceback."""
    try:
        return await work
    except IpyprocError as error:
        say_plainly(error, f"{type(error).__name__}: {error}")
        raise


def _finish_here(work: Work, table: JobTable, jobs: Sequence[Job], held: interrupts_after | None) -> object:
    """Do the work on a new loop in another thread, and drive the jobs in this one meanwhile."""
    outcome: list[object] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(work()))
        except BaseException as error:
            failure.append(error)

    # The context has the parent message of the cell that runs here, so the thread gets a copy.
    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(run,), name="ipyproc foreground", daemon=True
    )
    came: list[None] = []
    hand_on = _interrupting(jobs)

    def is_over() -> bool:
        while came:
            came.pop()
            hand_on()
        return not thread.is_alive()

    # The handler only queues: it may interrupt this thread in the middle of a call on a job.
    with _interrupts(lambda: came.append(None)) if jobs else nullcontext():
        if held is not None and held.take():
            came.append(None)
        thread.start()
        table.local.block_until(is_over)
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _interrupting(jobs: Sequence[Job]) -> Callable[[], None]:
    """Return a function that passes an interrupt on: first as SIGINT, then as SIGTERM, then as SIGKILL."""
    times = 0

    def hand_on() -> None:
        nonlocal times
        times += 1
        for job in jobs:
            if not job.done:
                _interrupt(job, times)

    return hand_on


def _interrupt(job: Job, times: int) -> None:
    """Do to a job what the interrupt of that number does, from 1 on."""
    job.hosted.stop(None, (LADDER[min(times, len(LADDER)) - 1],))


@contextmanager
def _interrupts(interrupted: Callable[[], object]) -> Iterator[None]:
    # ipykernel's own handler cancels the cell at the first SIGINT and ignores the others.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signum: int, _frame: FrameType | None) -> None:
        interrupted()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def with_awaits(lines: list[str], waits: Callable[[Kind, str, list[str]], bool]) -> list[str]:
    """Return a cell in which calls of magics that wait are awaited, and marked as such (`taken_mark`).

    Calls in functions and classes stay as they are, since those may not be coroutines.

    Args:
        lines: the cell, after IPython has turned its magics into calls.
        waits: returns True if a magic of this kind and name waits with these arguments.
    """
    source = "".join(lines)
    if "_magic(" not in source:
        return lines
    try:
        tree = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return lines
    calls = [call for call in _top_level_calls(tree) if _magic_of(call) and waits(*_magic_of(call))]
    if not calls:
        return lines
    text = [line.encode() for line in source.split("\n")]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset), reverse=True):
        line = cast(ast.Constant, call.args[1])
        marked = repr(_MARK + cast(str, line.value))
        _replace(text, _end_of(call), _end_of(call), b")")
        _replace(text, _start_of(line), _end_of(line), marked.encode())
        _replace(text, _start_of(call), _start_of(call), b"(await ")
    whole = [line.decode() for line in text]
    return [line + "\n" for line in whole[:-1]] + [line for line in whole[-1:] if line]


_Place = tuple[int, int]


def _start_of(node: ast.expr) -> _Place:
    return node.lineno - 1, node.col_offset


def _end_of(node: ast.expr) -> _Place:
    return (node.end_lineno or node.lineno) - 1, node.end_col_offset or 0


def _replace(text: list[bytes], start: _Place, end: _Place, new: bytes) -> None:
    """Replace the text between two positions, in lines of UTF-8."""
    (first, left), (last, right) = start, end
    text[first : last + 1] = [text[first][:left] + new + text[last][right:]]


def _top_level_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Await)):
            continue
        if isinstance(node, ast.Call):
            yield node
        yield from _top_level_calls(node)


def _magic_of(call: ast.Call) -> tuple[Kind, str, list[str]] | tuple[()]:
    """Return the kind, the name and the arguments of a magic's call; empty for any other call."""
    function = call.func
    if not (
        isinstance(function, ast.Attribute)
        and function.attr in ("run_line_magic", "run_cell_magic")
        and isinstance(function.value, ast.Call)
        and isinstance(function.value.func, ast.Name)
        and function.value.func.id == "get_ipython"
    ):
        return ()
    arguments = [
        arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
    ]
    if len(arguments) != len(call.args) or len(arguments) < 2:
        return ()
    return "cell" if function.attr == "run_cell_magic" else "line", arguments[0], arguments[1:]
