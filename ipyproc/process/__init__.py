"""The whole of ``tornado.process``, on the IOLoop that you already have.

Porting from ``tornado.process`` is a change of one import line::

    from ipyproc.process import Subprocess, fork_processes, task_id

Source of the interface: the documentation of Tornado 4.2 to 4.5; later differences are named where they
matter.
"""

from __future__ import annotations

# Known to type checkers by its name: `typing` is slow to import for those who need nothing else.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ipyproc.process.child import CalledProcessError, Subprocess
    from ipyproc.process.fork import cpu_count, fork_processes, task_id

__all__ = ["CalledProcessError", "Subprocess", "cpu_count", "fork_processes", "task_id"]

# A helper of workers needs nothing of Tornado, whose import takes ten times as long as its own.
_HOMES = {
    "CalledProcessError": "ipyproc.process.child",
    "Subprocess": "ipyproc.process.child",
    "cpu_count": "ipyproc.process.fork",
    "fork_processes": "ipyproc.process.fork",
    "task_id": "ipyproc.process.fork",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """Return all names, those too that have not been imported yet."""
    return sorted({*globals(), *__all__})
