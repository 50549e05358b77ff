"""Tests that are coroutines, and what they ask about processes."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

PYTHON = (sys.executable, "-I", "-S", "-c")
"""An interpreter that starts at once; the program follows."""


def looped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Has a coroutine run as a test, on a loop of its own."""

    @functools.wraps(test)
    def whole(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(test(*args, **kwargs), 60)

        asyncio.run(bounded())

    return whole


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
