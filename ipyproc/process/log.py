"""Tornado's general log, without the price of it: the import waits for the first line that may be read.

A program of workers starts in a sixth of the time without ``tornado.log`` and `logging`.
"""

from __future__ import annotations

import sys

__all__ = ["error", "info", "silence", "warning"]

_silent = False


def silence() -> None:
    """Log errors only from now on; for a program that shows what happens by other means."""
    global _silent
    _silent = True


def info(text: str, *args: object) -> None:
    """Log what goes well."""
    # Whoever wants to read this has asked `logging` for it.
    if "logging" in sys.modules and not _silent:
        from tornado.log import gen_log

        gen_log.info(text, *args)


def warning(text: str, *args: object) -> None:
    """Log what somebody should look at."""
    if _silent:
        return
    from tornado.log import gen_log

    gen_log.warning(text, *args)


def error(text: str, *args: object) -> None:
    """Log what went wrong."""
    from tornado.log import gen_log

    gen_log.error(text, *args)
