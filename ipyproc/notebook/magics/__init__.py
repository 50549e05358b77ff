"""The magics, one file each, listed in `VERBS`."""

from __future__ import annotations

from ipyproc.notebook.magics.base import Verb
from ipyproc.notebook.magics.close import Close
from ipyproc.notebook.magics.forget import Forget
from ipyproc.notebook.magics.fork import Fork
from ipyproc.notebook.magics.forkbench import ForkBench
from ipyproc.notebook.magics.jobs import Jobs
from ipyproc.notebook.magics.logs import Logs
from ipyproc.notebook.magics.restart import Restart
from ipyproc.notebook.magics.send import Send
from ipyproc.notebook.magics.signal import Signal
from ipyproc.notebook.magics.spawn import Spawn
from ipyproc.notebook.magics.stop import Stop
from ipyproc.notebook.magics.wait import Wait

__all__ = ["VERBS"]

VERBS: tuple[type[Verb], ...] = (
    Spawn,
    Wait,
    Stop,
    Restart,
    Send,
    Close,
    Signal,
    Logs,
    Jobs,
    Forget,
    Fork,
    ForkBench,
)
