"""Tests that are coroutines, and the Python that they run."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

PYTHON = (sys.executable, "-I", "-S", "-c")
"""An interpreter that starts at once; the program follows."""


def looped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Has a coroutine run as a test, on a loop of its own."""

    @functools.wraps(test)
    def whole(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(test(*args, **kwargs), 200)

        asyncio.run(bounded())

    return whole
