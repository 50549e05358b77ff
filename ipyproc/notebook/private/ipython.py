"""Private APIs of IPython; tried with 8.12.0 to 9.18, and 7.34."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = [
    "cell_name",
    "ends_with_its_input",
    "loop_of_terminal",
    "prompt_runs_loop",
    "run_loop_at_prompt",
    "say_plainly",
]


def cell_name(shell: Any) -> str:
    """Return the name of the running cell for tracebacks, such as ``In[3]``.

    Without ``input_hist_parsed`` the name has the execution count, which may be one ahead.
    """
    # Versions differ in whether the count goes up before or after the cell; the user may have assigned In.
    parsed = getattr(shell.history_manager, "input_hist_parsed", None)
    return f"In[{shell.execution_count if parsed is None else len(parsed) - 1}]"


def ends_with_its_input(shell: Any) -> bool:
    """Return True for a terminal IPython without a prompt, such as ``ipython -c`` and ``ipython x.ipy``.

    `IPython.embed` has a prompt but no application. Without ``interact`` a prompt is assumed; a shell without
    ``mainloop``, which a program has created, has none.
    """
    return not getattr(shell.parent, "interact", True) or not hasattr(shell, "mainloop")


def loop_of_terminal() -> asyncio.AbstractEventLoop:
    """Return the loop on which a terminal IPython runs its cells and its prompt.

    Without ``get_asyncio_loop``, which came with IPython 8, it is the loop of asyncio's policy.
    """
    from IPython.core import async_helpers

    find = getattr(async_helpers, "get_asyncio_loop", None) or asyncio.get_event_loop
    loop: asyncio.AbstractEventLoop = find()
    return loop


def prompt_runs_loop(shell: Any) -> bool:
    """Return True if the prompt can run the loop; without ``simple_prompt`` return False."""
    return not getattr(shell, "simple_prompt", True)


def run_loop_at_prompt(shell: Any) -> Callable[[], None]:
    """Let the prompt run asyncio's loop while it waits; return a function that undoes it."""
    before = shell.active_eventloop
    shell.enable_gui("asyncio")
    return lambda: shell.enable_gui(before)


def say_plainly(error: BaseException, text: str) -> None:
    """Let IPython show an error as a text, without a traceback.

    IPython asks an exception for its own rendering. A version that does not will show the traceback.
    """
    error._render_traceback_ = lambda: text.split("\n")  # type: ignore[attr-defined]
