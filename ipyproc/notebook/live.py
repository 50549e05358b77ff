"""Live views in the pages of a kernel: where there are any, and how their messages travel."""

from __future__ import annotations

import importlib.util
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ipyproc.notebook.cells import CallbackCell, ConsoleCell, KernelCell, current_cell, is_batch
from ipyproc.notebook.output_widgets import OutputWidgetCell
from ipyproc.notebook.private.ipykernel import kernel_of, publish, request_in, take_comm_messages
from ipyproc.notebook.private.ipywidgets import Rested, rest
from ipyproc.process.loops import asyncio_loop, on_loop, running_loop
from ipyproc.safe import SafeText
from ipyproc.views.cell import Medium
from ipyproc.widget.lives import LiveViews
from ipyproc.widget.table import LiveTables

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job
    from ipyproc.job.table import JobTable
    from ipyproc.notebook.config import IPyProc
    from ipyproc.views.cell import Cell
    from ipyproc.views.live import LiveForm, LiveTableForm
    from ipyproc.views.live_table import TableOfJobs
    from ipyproc.widget.lives import Channel

__all__ = ["PageViews", "is_installed"]

log = logging.getLogger("ipyproc")

_IMPORT_SECONDS = 10.0
_MISSING = (
    "The terminal in the page (-t) needs anywidget, which is not installed; the job is shown without it. "
    "To install it: pip install 'ipyproc[live]'"
)
_OFF = "The terminal in the page (-t) is turned off; %config IPyProc.live_view = True turns it on."


def is_installed() -> bool:
    """Return True if the package that live views need is installed."""
    return importlib.util.find_spec("anywidget") is not None


class PageViews:
    """The live views of a kernel's jobs, in the cells of its pages.

    Args:
        shell: the shell; one in a terminal has no live views.
        jobs: the table of jobs.
        io_loop: the kernel's loop.
        config: the settings.
        ready: called on the loop once live views can be shown.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        jobs: JobTable,
        io_loop: IOLoop,
        config: IPyProc,
        ready: Callable[[], object],
    ) -> None:
        self.lives = LiveViews(jobs, io_loop, self._open_channel, config, ready)
        self.tables = LiveTables(io_loop, self._open_channel, config, self.lives.answers, self.lives.forget)
        self._shell = shell
        self._kernel = kernel_of(shell)
        self._io_loop = io_loop
        self._config = config
        self._ready = ready
        self._is_able = self._kernel is not None and is_installed()
        self._model: Callable[..., Any] | None = None
        self._importing: threading.Thread | None = None
        self._keys: dict[str, str] = {}
        self._undo: Callable[[], None] | None = None

    def open(self) -> None:
        """Take messages on the control channel; in a page, begin to import what its live views need."""
        if not self._is_able:
            return
        self._undo = take_comm_messages(self._kernel, self._received)
        # A kernel may also load the extension before any cell has run.
        if request_in(self._kernel) and self._shows(current_cell(self._shell)):
            self._begin_import()

    def close(self) -> None:
        """Close all live views; call on the loop."""
        self._is_able = False
        if self._undo is not None:
            self._undo()
            self._undo = None
        if self._importing is not None:
            self._importing.join(_IMPORT_SECONDS)
        self.lives.close()
        self.tables.close()

    def live_form(self, job: Job, cell: Cell, as_terminal: bool) -> LiveForm | None:
        """Return the live form of a job in a cell; None if the cell shows none."""
        return self.lives.of(job, as_terminal) if self._takes(cell) else None

    def live_table(self, jobs: TableOfJobs, cell: Cell) -> LiveTableForm | None:
        """Return a live form of a table of jobs in a cell; None if the cell shows none."""
        return self.tables.of(jobs) if self._takes(cell) else None

    def lack(self) -> str:
        """Return a sentence that says why the running cell can have no terminal; empty if it can.

        Where nobody could type into one, as in a batch run, nothing needs to be said.
        """
        if self._kernel is None or is_batch(self._shell):
            return ""
        if not self._is_able:
            return _MISSING
        return "" if self._config.live_view else _OFF

    def _takes(self, cell: Cell) -> bool:
        """Return True if a cell shows live forms; begin to import what they need."""
        takes = self._is_able and self._config.live_view and self._shows(cell)
        if takes:
            self._begin_import()
        return takes

    @staticmethod
    def _shows(cell: Cell) -> bool:
        """Return True if a widget can be shown in a cell, and its displays can be updated."""
        if cell.medium is not Medium.PAGE or isinstance(cell, (CallbackCell, ConsoleCell)):
            return False
        return isinstance(cell, (KernelCell, OutputWidgetCell))

    def _begin_import(self) -> None:
        """Import in a thread, so that no cell waits for it: jobs are shown in their plain form meanwhile."""
        if self._importing is None:
            self._importing = threading.Thread(target=self._import, name="ipyproc live view", daemon=True)
            self._importing.start()

    def _import(self) -> None:
        try:
            from ipyproc.widget.model import LiveModel
        except Exception:
            # Such as an anywidget that does not go with the ipywidgets that is installed.
            log.exception("The live view cannot be shown; the plain form is.")
            self._is_able = False
            return

        def ready() -> None:
            if self._is_able:
                self._model = LiveModel
                self._ready()

        on_loop(self._io_loop, ready)

    def _open_channel(self, key: str, kind: str, received: Callable[[Any], None]) -> Channel | None:
        # A widget is made where cells run; a thread that flushes a view leaves that to the loop.
        if self._model is None or running_loop() is not asyncio_loop(self._io_loop):
            return None
        channel = _ModelChannel(self._kernel, self._model(key, kind, self._undo is not None, received), self)
        self._keys[channel.model_id] = key
        return channel

    def close_channel(self, model_id: str) -> None:
        """Forget the channel of a model, which is closed."""
        self._keys.pop(model_id, None)

    def _received(self, comm_id: str, data: Any) -> bool:
        """Take a message that came on the control channel."""
        key = self._keys.get(comm_id)
        if key is None or not isinstance(data, dict) or data.get("method") != "custom":
            return False
        self._deliver(key, data.get("content"))
        return True

    def receive_for(self, model_id: str, message: Any) -> None:
        """Take a message for the model of that id."""
        if (key := self._keys.get(model_id)) is not None:
            self._deliver(key, message)

    def _deliver(self, key: str, message: Any) -> None:
        if not self.tables.receive(key, message):
            self.lives.receive(key, message)


class _ModelChannel:
    """The comm of a widget's model.

    Messages go out as those of cells do: the comm's own way takes the parent from the thread that runs.
    """

    __slots__ = ("_kernel", "_model", "_pages", "model_id")

    # The values that models share; of the class, so that a rested one keeps none.
    _usual: ClassVar[dict[str, Any]] = {}

    def __init__(self, kernel: Any, model: Any, pages: PageViews) -> None:
        self._kernel = kernel
        self._model = model
        self._pages = pages
        self.model_id: str = model.model_id

    @property
    def form(self) -> SafeText:
        return SafeText(json.dumps({"version_major": 2, "version_minor": 0, "model_id": self.model_id}))

    def send(self, message: Mapping[str, object], buffers: Sequence[bytes]) -> None:
        data = {"method": "custom", "content": message}
        publish(self._kernel, "comm_msg", {"comm_id": self.model_id, "data": data}, {}, buffers)

    def rest(self) -> None:
        if isinstance(self._model, Rested):
            return
        usual = self._usual or self._usual.update(self._model.get_state()) or self._usual
        rested = rest(self._model, self._receive, usual)
        if rested is not None:
            self._model = rested

    def close(self) -> None:
        self._pages.close_channel(self.model_id)
        self._model.close()

    def _receive(self, message: Any) -> None:
        self._pages.receive_for(self.model_id, message)
