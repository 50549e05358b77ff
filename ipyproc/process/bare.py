"""The C halves of standard modules, whose Python halves a helper of workers would wait 5 ms for.

`signal` makes enums, and imports `enum`, `functools` and `collections` for that. Here signals are plain
numbers; `ipyproc.signal_names` has their names.
"""

from __future__ import annotations

# Known to type checkers by its name: `typing` is slow to import too.
TYPE_CHECKING = False

if TYPE_CHECKING:
    import signal
    from collections import deque
    from functools import partial
else:
    import _signal as signal
    from _collections import deque
    from _functools import partial

__all__ = ["deque", "partial", "signal"]
