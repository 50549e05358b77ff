"""The page side of the widget, as it was built: the module of each model, and the code that it asks for."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files

__all__ = ["code", "code_message", "shim", "version"]

_STATIC = files("ipyproc.widget") / "static"


@lru_cache(maxsize=1)
def shim() -> str:
    """Return the module that every model has; it asks for the code once per page."""
    return (_STATIC / "shim.js").read_text("utf-8")


def code() -> bytes:
    """Return the code, compressed by gzip."""
    return (_STATIC / "live.js.gz").read_bytes()


def code_message() -> tuple[dict[str, object], list[bytes]]:
    """Return the answer to a page that asks for the code, and the bytes that belong to it."""
    return {"type": "code", "hash": version()}, [code()]


@lru_cache(maxsize=1)
def version() -> str:
    """Return a short text that changes with the code."""
    return hashlib.sha256(code()).hexdigest()[:16]
