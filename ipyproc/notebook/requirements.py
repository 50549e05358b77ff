"""Check that a shell and its kernel have the attributes that the extension uses."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import IPython
from IPython.core.error import UsageError

from ipyproc.notebook.private.ipykernel import NEEDED, kernel_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["check"]


_OF_THE_SHELL = ("events", "input_transformers_cleanup", "input_transformers_post", "display_formatter")


def check(shell: InteractiveShell) -> None:
    """Check a shell and its kernel.

    Raises:
        UsageError: an attribute that the extension uses is missing.
    """
    if _missing(shell, _OF_THE_SHELL):
        raise UsageError(
            f"This IPython is {IPython.__version__}, but ipyproc needs 7.34 or later; install a newer one."
        )
    kernel = kernel_of(shell)
    if kernel is not None and (lacks := _missing(kernel, NEEDED)):
        raise UsageError(
            f"This kernel ({_origin(kernel)}) has no {lacks[0]}, but ipyproc needs one of ipykernel 6.17 or "
            "later; choose another kernel, or install a newer ipykernel."
        )


def _missing(thing: object, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if getattr(thing, name, None) is None]


def _origin(kernel: object) -> str:
    package = type(kernel).__module__.partition(".")[0]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return type(kernel).__name__
