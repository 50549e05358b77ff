"""The environment of a job."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from functools import lru_cache

from ipyproc.model.text import encoded

__all__ = ["environment_of", "with_python_first"]

_PYTHONS = ("python", "python3")
_ON_PIPES = {b"PYTHONUNBUFFERED": b"1"}
_ON_TERMINAL = {b"TERM": b"xterm-256color"}
# Programs believe them rather than the terminal.
_OF_ANOTHER_TERMINAL = (b"COLUMNS", b"LINES")


def environment_of(
    changes: Mapping[str, str | None],
    *,
    clean: bool = False,
    kernel_path: bool = True,
    terminal: bool = False,
) -> dict[bytes, bytes]:
    """Return the environment of a job: the kernel's, with changes.

    It is in bytes, since decoding and encoding it would take as long as a fork.

    Args:
        changes: the variables to set; None removes one.
        clean: whether to start from an empty environment, instead of the kernel's.
        kernel_path: whether the kernel's Python comes first in the PATH; one in ``changes`` stays as it is.
        terminal: whether its output is a terminal. Then TERM is that terminal's, and COLUMNS and LINES, the
            size of another one, are left out; otherwise ``PYTHONUNBUFFERED`` is set.
    """
    environment: dict[bytes, bytes] = {}
    if not clean:
        environment = {**_bytes_of_environ(), **(_ON_TERMINAL if terminal else _ON_PIPES)}
        for size in _OF_ANOTHER_TERMINAL if terminal else ():
            environment.pop(size, None)
        if kernel_path and (path := environment.get(b"PATH")) is not None:
            environment[b"PATH"] = os.fsencode(with_python_first(os.fsdecode(path), sys.executable))
    for name, value in changes.items():
        if value is None:
            environment.pop(encoded(name), None)
        else:
            environment[encoded(name)] = encoded(value)
    return environment


def _bytes_of_environ() -> Mapping[bytes, bytes]:
    """Return the environment of this process in bytes.

    By ``os.environb._data`` (CPython 3.10 to 3.14), since a copy of `os.environb` itself checks each name
    again, which takes ninety times as long; where that is missing, by `os.environb`.
    """
    data = getattr(os.environb, "_data", None)
    return data if isinstance(data, dict) else os.environb


@lru_cache(maxsize=8)
def with_python_first(path: str, python: str | None) -> str:
    """Return a PATH in which ``python`` and ``python3`` are in the folder of ``python``.

    The PATH is unchanged if they are found there already, since a folder such as ``/usr/bin`` has other
    programs too, which would come before those of the same name.
    """
    folder = os.path.dirname(python or "")
    if not folder:
        return path
    found = [program for name in _PYTHONS if (program := shutil.which(name, path=path))]
    if found and all(os.path.dirname(program) == folder for program in found):
        return path
    return os.pathsep.join([folder, path]) if path else folder
