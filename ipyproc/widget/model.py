"""The anywidget of a live view; importing this module imports anywidget, which takes a tenth of a second."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import anywidget
import ipywidgets
import traitlets

from ipyproc.widget.bundle import shim, version

__all__ = ["LiveModel"]


class LiveModel(anywidget.AnyWidget):
    """The model that a page has of a live view: what it needs to ask the kernel for all else.

    Args:
        kind: ``terminal`` if the terminal is open at first, else ``status``; ``table`` for a table of jobs.
        takes_control: whether the kernel takes messages on its control channel.
        received: called with each message of a page, and its buffers; on any thread.

    Attributes:
        key: a text that identifies the job or the table, in this kernel.
        version: a text that changes with the code of the page side.
        control: the id of the comm, if the kernel takes its messages on the control channel; else empty.
        kind: ``terminal``, ``status`` or ``table``.
    """

    _esm = traitlets.Unicode("").tag(sync=True)
    key = traitlets.Unicode("").tag(sync=True)
    version = traitlets.Unicode("").tag(sync=True)
    control = traitlets.Unicode("").tag(sync=True)
    kind = traitlets.Unicode("status").tag(sync=True)

    def __init__(self, key: str, kind: str, takes_control: bool, received: Callable[[Any], None]) -> None:
        comm_id = uuid.uuid4().hex
        control = comm_id if takes_control else ""
        super().__init__(
            model_id=comm_id,
            layout=_layout(),
            key=key,
            kind=kind,
            control=control,
            version=version(),
            _esm=shim(),
        )
        self.on_msg(lambda _model, content, _buffers: received(content))


@lru_cache(maxsize=1)
def _layout() -> ipywidgets.Layout:
    """Return the layout that all models share: each would have one of its own, and a comm for it."""
    return ipywidgets.Layout()
