"""What ipywidgets does not promise; tried with 7.7 and 8.1."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["active_output"]


def active_output(msg_id: str) -> Any:
    """Return the `ipywidgets.Output` that takes what is sent for a message now; None when there is none.

    The list of all widgets is ``_instances`` of a module from 8.0.3 on, and ``Widget.widgets`` in 7. Where
    there is neither, none is found, and the cell takes the output.

    Args:
        msg_id: of the message that asked for the running cell.
    """
    # Not imported: what nobody has imported, nobody is inside of.
    package = sys.modules.get("ipywidgets")
    if package is None or not msg_id:
        return None
    base = sys.modules.get("ipywidgets.widgets.widget")
    instances = getattr(base, "_instances", None)
    if instances is None:
        instances = vars(package.Widget).get("widgets")
    if not isinstance(instances, dict):
        return None
    active = [
        widget
        for widget in list(instances.values())
        if isinstance(widget, package.Output) and widget.msg_id == msg_id
    ]
    # Of several around one another the last one made, which is the inner one as a rule.
    return active[-1] if active else None
