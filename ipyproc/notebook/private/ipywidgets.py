"""Private APIs of ipywidgets; tried with 7.7 and 8.1."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["active_output"]


def active_output(msg_id: str) -> Any:
    """Return the `ipywidgets.Output` that is active for a message; None if none is.

    The list of all widgets is ``_instances`` of a module since 8.0.3, and ``Widget.widgets`` in 7. Without
    either, no widget is found, and the cell gets the output.

    Args:
        msg_id: the id of the request of the running cell.
    """
    # Not imported here: no Output is active if no one has imported the package.
    package = sys.modules.get("ipywidgets")
    if package is None or not msg_id:
        return None
    base = sys.modules.get("ipywidgets.widgets.widget")
    instances = getattr(base, "_instances", None)
    if instances is None:
        # While a thread imports the package, it has not all of its names.
        instances = vars(getattr(package, "Widget", object)).get("widgets")
    if not isinstance(instances, dict) or not hasattr(package, "Output"):
        return None
    active = [
        widget
        for widget in list(instances.values())
        if isinstance(widget, package.Output) and widget.msg_id == msg_id
    ]
    # Of nested ones, the last one created, which is usually the inner one.
    return active[-1] if active else None
