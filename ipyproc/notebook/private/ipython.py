"""What IPython does not promise; tried with 8.12.0 to 9.18, and 7.34."""

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
    """Return what tracebacks are to call the cell that runs, such as ``In[3]``.

    Without ``input_hist_parsed`` it goes by the execution count, which may be one ahead.
    """
    # The count goes up before the cell runs, or after, by the version; In may be the user's.
    parsed = getattr(shell.history_manager, "input_hist_parsed", None)
    return f"In[{shell.execution_count if parsed is None else len(parsed) - 1}]"


def ends_with_its_input(shell: Any) -> bool:
    """Return True in a terminal's IPython that has no prompt, such as ``ipython -c`` and ``ipython x.ipy``.

    `IPython.embed` has a prompt and no application. Without ``interact`` there is taken to be a prompt,
    and without ``mainloop`` none: a program has made such a shell for itself.
    """
    return not getattr(shell.parent, "interact", True) or not hasattr(shell, "mainloop")


def loop_of_terminal() -> asyncio.AbstractEventLoop:
    """Return the loop on which a terminal's IPython runs cells and prompt.

    Without ``get_asyncio_loop``, which came with IPython 8, it is the policy's.
    """
    from IPython.core import async_helpers

    find = getattr(async_helpers, "get_asyncio_loop", None) or asyncio.get_event_loop
    loop: asyncio.AbstractEventLoop = find()
    return loop


def prompt_runs_loop(shell: Any) -> bool:
    """Return True when the prompt can run the loop; without ``simple_prompt`` it is taken to be unable to."""
    return not getattr(shell, "simple_prompt", True)


def run_loop_at_prompt(shell: Any) -> Callable[[], None]:
    """Have the prompt run asyncio's loop while it waits; return what puts back the loop before."""
    before = shell.active_eventloop
    shell.enable_gui("asyncio")
    return lambda: shell.enable_gui(before)


def say_plainly(error: BaseException, text: str) -> None:
    """Have IPython show an error as a text, without a traceback.

    It asks an exception for its own rendering. A version that does not shows the traceback.
    """
    error._render_traceback_ = lambda: text.split("\n")  # type: ignore[attr-defined]
