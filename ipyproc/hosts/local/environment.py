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


def environment_of(
    changes: Mapping[str, str | None], *, clean: bool = False, kernel_path: bool = True
) -> dict[bytes, bytes]:
    """The environment of a job: the kernel's, changed.

    As bytes, as the system has it: to decode all of it, and encode it again, takes as long as a fork.

    Args:
        changes: variables to be set, and those to be removed, whose value is None.
        clean: whether it starts from nothing, instead of from the kernel's.
        kernel_path: whether the kernel's own Python comes first in its PATH, where it does not do so
            already; a PATH among the changes stays as it is.
    """
    environment: dict[bytes, bytes] = {}
    if not clean:
        environment = {**os.environb, b"PYTHONUNBUFFERED": b"1"}
        if kernel_path and (path := environment.get(b"PATH")) is not None:
            environment[b"PATH"] = os.fsencode(with_python_first(os.fsdecode(path), sys.executable))
    for name, value in changes.items():
        if value is None:
            environment.pop(encoded(name), None)
        else:
            environment[encoded(name)] = encoded(value)
    return environment


@lru_cache(maxsize=8)
def with_python_first(path: str, python: str | None) -> str:
    """A PATH in which ``python`` and ``python3`` are the given one.

    Unchanged where they are that already: a folder such as ``/usr/bin`` has other programs as well, which
    are not to come before their namesakes for nothing.
    """
    folder = os.path.dirname(python or "")
    if not folder:
        return path
    found = [program for name in _PYTHONS if (program := shutil.which(name, path=path))]
    if found and all(os.path.dirname(program) == folder for program in found):
        return path
    return os.pathsep.join([folder, path]) if path else folder
