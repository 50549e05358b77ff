"""Private APIs of ipywidgets; tried with 7.7 and 8.1, and with anywidget 0.9 and 0.11."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Rested", "active_output", "rest"]


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
    instances = _instances()
    if instances is None or not hasattr(package, "Output"):
        return None
    active = [
        widget
        for widget in list(instances.values())
        if isinstance(widget, package.Output) and widget.msg_id == msg_id
    ]
    # Of nested ones, the last one created, which is usually the inner one.
    return active[-1] if active else None


class Rested:
    """What is left of a widget's model whose job has ended: a tenth of its memory, and the same in pages.

    A page that is loaded anew asks for the state of all models of the kernel, by these names.

    Args:
        comm: the comm of the model.
        state: the state of the model.
        received: called with each custom message of a page.
    """

    __slots__ = ("_received", "_state", "comm")

    _model_name = "AnyModel"
    _model_module = "anywidget"

    def __init__(self, comm: Any, state: dict[str, Any], received: Callable[[Any], None]) -> None:
        self.comm = comm
        self._state = state
        self._received = received
        comm.on_msg(self._take)

    @property
    def model_id(self) -> str:
        """The id of the model."""
        return str(self.comm.comm_id)

    @property
    def _model_module_version(self) -> Any:
        return self._state["_model_module_version"]

    def get_state(self, key: object = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the state of the model."""
        return dict(self._state)

    def _get_embed_state(self, drop_defaults: bool = False) -> dict[str, Any]:
        return {
            "model_name": self._model_name,
            "model_module": self._model_module,
            "model_module_version": self._model_module_version,
            "state": self.get_state(),
        }

    def close(self) -> None:
        """Close it in all pages."""
        instances = _instances()
        if instances is not None:
            instances.pop(self.model_id, None)
        self.comm.close()

    def _take(self, message: dict[str, Any]) -> None:
        data = message["content"]["data"]
        if data.get("method") == "custom":
            self._received(data.get("content"))


def rest(model: Any, received: Callable[[Any], None], usual: dict[str, Any]) -> Rested | None:
    """Put a `Rested` in the place of a model; return None, and leave the model, if that is not possible.

    It takes ``_instances`` (``Widget.widgets`` in 7), the table of all models.

    Args:
        model: the model.
        received: called with each custom message of a page.
        usual: values that many models share, which are not kept for each.
    """
    instances = _instances()
    comm = model.comm
    held: Any = None if instances is None else instances.get(model.model_id)
    if instances is None or id(held) != id(model) or not hasattr(comm, "on_msg"):
        return None
    state = {
        key: usual[key] if key in usual and usual[key] == value else value
        for key, value in model.get_state().items()
        if value is not None
    }
    rested = instances[model.model_id] = Rested(comm, state, received)
    # A model closes its comm when it goes.
    model.comm = None
    return rested


def _instances() -> dict[str, Any] | None:
    """Return the table of all models; None if there is none, or the package is only being imported."""
    base = sys.modules.get("ipywidgets.widgets.widget")
    found = getattr(base, "_instances", None)
    if found is None:
        package = sys.modules.get("ipywidgets")
        found = vars(getattr(package, "Widget", object)).get("widgets")
    return found if isinstance(found, dict) else None
