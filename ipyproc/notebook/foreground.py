"""Waiting for a job in a cell, and cells that wait."""

from __future__ import annotations

import ast
import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ipyproc.errors import IpyprocError
from ipyproc.jobs.job import Job
from ipyproc.notebook.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Foreground", "plainly", "wait_for", "with_awaits"]


class Foreground:
    """What a magic returns that has something to await; a cell of its own awaits it by itself.

    Awaiting it gives what the magic is to return. In a function, or under another magic, write
    ``await`` before it.
    """

    def __init__(self, job: Job | list[Job], work: Callable[[], Coroutine[object, object, object]]) -> None:
        self._job = job
        self._work = work

    def __await__(self) -> Generator[object, None, object]:
        return self._work().__await__()

    def __repr__(self) -> str:
        return f"<await this to wait for {self._job!r}>"


async def wait_for(*jobs: Job, raise_error: bool = True, until_ready: bool = False) -> None:
    """Waits for jobs in the foreground: an interrupt (■, Ctrl-C) is meant for them.

    The first is a SIGINT to their process groups, the second a SIGTERM, the third a SIGKILL.

    Raises:
        JobFailed: one has failed, and ``raise_error`` is set.
    """
    loop = asyncio.get_running_loop()
    times = 0

    def interrupted() -> None:
        nonlocal times
        times += 1
        for job in jobs:
            if not job.done:
                job.interrupt(times)

    with _interrupts(lambda: loop.call_soon_threadsafe(interrupted)):
        if until_ready:
            await asyncio.gather(*(job.ready() for job in jobs))
        else:
            results = await asyncio.gather(*(job.wait(raise_error=False) for job in jobs))
            failed = [job for job, result in zip(jobs, results, strict=True) if result.returncode]
            if raise_error and failed:
                await failed[0].wait()


async def plainly(work: Coroutine[object, object, object]) -> object:
    """Awaits ``work``; an error of ours is shown as its sentence, without a traceback."""
    try:
        return await work
    except IpyprocError as error:
        text = f"{type(error).__name__}: {error}"
        # IPython asks an exception for its own rendering; this one needs no frames of ours.
        error._render_traceback_ = lambda: text.split("\n")  # type: ignore[attr-defined]
        raise


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


def with_awaits(lines: list[str], waits: Callable[[str, list[str]], bool]) -> list[str]:
    """A cell in which calls of magics that wait are awaited.

    Args:
        lines: the cell, after IPython has turned its magics into calls.
        waits: whether a magic with these arguments waits.

    Calls in functions and classes stay as they are: they may not be coroutines.
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
    text = [line.encode() for line in lines_of(source)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset), reverse=True):
        last, end = (call.end_lineno or call.lineno) - 1, call.end_col_offset or 0
        text[last] = text[last][:end] + b")" + text[last][end:]
        first = call.lineno - 1
        text[first] = text[first][: call.col_offset] + b"(await " + text[first][call.col_offset :]
    return [line.decode() for line in text]


def _top_level_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Await)):
            continue
        if isinstance(node, ast.Call):
            yield node
        yield from _top_level_calls(node)


def _magic_of(call: ast.Call) -> tuple[str, list[str]] | tuple[()]:
    """The name and the arguments of a call that IPython made of a magic."""
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
    if len(arguments) != len(call.args) or not arguments:
        return ()
    sign = "%%" if function.attr == "run_cell_magic" else "%"
    return sign + arguments[0], arguments[1:]
