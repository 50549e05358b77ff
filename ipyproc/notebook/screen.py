"""All views of a kernel: when each is flushed, and how much may go to the page."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, proxy

from ipyproc.model.event import Event, EventKind
from ipyproc.notebook.captures import CapturedCell
from ipyproc.notebook.cells import Budget, CallbackCell, Cell, current_cell, flush_prints, is_batch
from ipyproc.notebook.display_target import display_target
from ipyproc.notebook.quiet import QuietFailures
from ipyproc.notebook.table import LiveTable
from ipyproc.notebook.view import CellView, Medium
from ipyproc.notebook.widget import view_class
from ipyproc.process.loops import on_loop

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipyproc.hosts.local.driver import Driver
    from ipyproc.job.job import Job
    from ipyproc.job.table import JobTable
    from ipyproc.notebook.config import IPyProc

__all__ = ["Screen"]

log = logging.getLogger("ipyproc")

_TICK_SECONDS = 0.5
_FEW = 8
_PAGE_WIDTH = 96


class _Places:
    """Where a job is shown.

    Attributes:
        cells: the keys of the cells that show it, or are not to.
        home: the key of the first that does.
        ended: the view there, once the job has ended.
    """

    __slots__ = ("cells", "ended", "home")

    def __init__(self) -> None:
        self.cells: tuple[str, ...] = ()
        self.home = ""
        self.ended: CellView | None = None


class Screen:
    """Shows jobs in the cells that started them; an outlook on the table of jobs.

    Any thread may flush, one at a time: the loop by a timer, the stand-in while the loop is held.

    Attributes:
        driver: of the kernel's loop.
    """

    def __init__(self, shell: InteractiveShell, jobs: JobTable, driver: Driver, config: IPyProc) -> None:
        self.driver = driver
        self._shell = shell
        self._io_loop = driver.io_loop
        self._config = config
        self._lock = threading.RLock()
        self._views: dict[Job, list[CellView]] = {}
        self._left: dict[Job, list[CellView]] = {}
        self._places: WeakKeyDictionary[Job, _Places] = WeakKeyDictionary()
        self._dirty: set[CellView] = set()
        self._ticking: deque[CellView] = deque()
        self._budget = Budget(config)
        self._running: Cell | None = None
        self._batch = False
        self._timer: object | None = None
        self._timer_due = 0.0
        self._poked = False
        self._ticker: object | None = None
        self._table: LiveTable | None = None
        self._failures = QuietFailures(self, jobs, driver.io_loop)
        self._over = False

    # An outlook on the jobs

    def spawned(self, job: Job) -> None:
        """Gives a new job its view, in the cell that runs in this thread."""
        if job.quiet:
            # Not as the value of its cell, either.
            cell = self._target()
            self._places.setdefault(job, _Places()).cells = (cell.key,)
            self._failures.expect(job, cell)
        else:
            self.show(job)

    def happened(self, job: Job, event: Event) -> None:
        """Takes note of an event, and shows it when it is due."""
        if self._over:
            return
        if event.kind is EventKind.STARTED and event.worker is None:
            self._revive(job)
        self._failures.happened(job, event)
        views = self._views.get(job)
        if not views:
            return
        if event.kind is EventKind.RELEASED:
            self.catch_up([job])
            return
        if event.kind is EventKind.AWAITED:
            flush_prints(self._shell)
            self._bring(views)
            return
        with self._lock:
            for view in views:
                view.status_changed |= event.kind is not EventKind.WROTE
                self._dirty.add(view)
            if event.kind is EventKind.DONE and self._batch:
                self.flush_all()
        self._schedule()

    @property
    def is_batch(self) -> bool:
        """Whether nobody listens between two cells."""
        return self._batch

    # Views

    def show(self, job: Job, *, output: bool = True, start: int = 0) -> None:
        """Shows a job in the running cell, from an offset in its output on.

        A cell shows a job once: asked for a second time, nothing happens.
        """
        cell = self._target()
        with self._lock:
            if self._over:
                return
            places = self._places.setdefault(job, _Places())
            if cell.key in places.cells:
                return
            places.cells = (*places.cells, cell.key)
            # What was printed before the job stands before it.
            flush_prints(self._shell)
            places.home = places.home or cell.key
            if not isinstance(running := current_cell(self._shell), CallbackCell):
                self._running, self._batch = running, is_batch(self._shell)
            view = self._view(job, cell, output=output, start=start)
            self._views.setdefault(job, []).append(view)
            view.open(time.monotonic())
            self._ticking.append(view)
            self._dirty.add(view)
        self._schedule()

    def show_end(self, job: Job, cell: Cell) -> None:
        """Shows the status of a job that has ended, in a cell that has shown nothing of it."""
        self._view(job, cell, output=False).open(time.monotonic())

    def show_table(self, jobs: JobTable) -> None:
        """Shows all jobs in a table in the running cell; the table before it stays as it is."""
        cell = self._target()
        in_kernel = getattr(self._shell, "kernel", None) is not None
        width = _PAGE_WIDTH if in_kernel else shutil.get_terminal_size().columns
        if self._table is not None:
            self._table.close()
        self._table = LiveTable(jobs, cell, self._io_loop, width)
        self._table.open(live=in_kernel and not is_batch(self._shell))

    def catch_up(self, jobs: Iterable[Job]) -> None:
        """Shows what these jobs have written so far, due or not, as far as their cells have room."""
        with self._lock:
            for view in [view for job in jobs for view in self._views.get(job, ())]:
                self._flush(view, time.monotonic(), self._carrier(), force=True)

    def flush_due(self, now: float | None = None) -> float:
        """Flushes what is due; returns when the next flush is."""
        with self._lock:
            now = time.monotonic() if now is None else now
            carrier = self._carrier()
            if self._batch and carrier is None:
                # Between two cells of a batch run nobody listens; the next cell asks again.
                dirty = {view for view in self._dirty if view.lasting}
            else:
                dirty = self._dirty
            # The page's budget goes first to those that have had least of it: a line is not to wait for
            # a flood.
            for view in sorted(dirty, key=lambda view: view.shown):
                if view.due(now, now) <= now:
                    self._flush(view, now, carrier)
            # An overdrawn page budget holds back the paced views until it has something to give.
            free_at = self._budget.free_at(now)
            return min((view.due(now, free_at) for view in self._dirty & dirty), default=float("inf"))

    def flush_all(self) -> None:
        """Flushes everything now, due or not; for a cell that stops listening."""
        with self._lock:
            for view in list(self._dirty):
                self._flush(view, time.monotonic(), self._carrier(), force=True)

    def tick(self) -> None:
        """Flushes what is due and sees to the next time; on the loop."""
        if self._timer is not None:
            self._io_loop.remove_timeout(self._timer)
            self._timer = None
        self._arm(self.flush_due())

    # The running cell, for batch runs

    def cell_begins(self, _info: object = None) -> None:
        """A cell begins to run."""
        self._failures.cell_begins()
        with self._lock:
            self._running = current_cell(self._shell)
            self._batch = is_batch(self._shell)
            self._poked = False
        if self._dirty:
            self._schedule()

    def cell_ends(self, _result: object = None) -> None:
        """A cell ends; in a batch run nobody listens to it after this."""
        with self._lock:
            if self._batch and self._running is not None:
                for views in self._views.values():
                    for view in views:
                        self._dirty.add(view)
                self.flush_all()
                for views in self._views.values():
                    for view in views:
                        view.postpone()
            self._running = None
        self._failures.cell_ends()

    def farewell(self) -> None:
        """Says in every cell that its jobs end with the kernel; shows nothing after it. In any thread."""
        with self._lock:
            if self._over:
                return
            self._over = True
            views = [view for views in self._views.values() for view in views]
            self._views = {}
            self._dirty.clear()
            self._ticking.clear()
            for view in views:
                try:
                    view.farewell(time.monotonic())
                except Exception:
                    log.exception("A view of job %r failed.", view.job.name)
            if self._table is not None:
                self._table.farewell()
            self._failures.farewell()

    def adopt(self, before: Screen) -> None:
        """Goes on with the views of a screen that was closed."""
        with self._lock:
            self._places = before._places
            for places in self._places.values():
                if places.ended is not None:
                    places.ended.config = self._config
            for job, views in before._left.items():
                self._views[job] = views
                for view in views:
                    view.config = self._config
                    view.status_changed = True
                    self._ticking.append(view)
                    self._dirty.add(view)
        self._schedule()

    def close(self) -> None:
        """Shows what there is to show, and ends; another screen may `adopt` its views."""
        with self._lock:
            self.flush_all()
            self._left = self._views
            if self._table is not None:
                self._table.close()
            self._failures.close()
            self._views = {}
            self._dirty.clear()
            self._ticking.clear()
            for handle in (self._timer, self._ticker):
                if handle is not None:
                    self._io_loop.remove_timeout(handle)
            self._timer = self._ticker = None

    def _target(self) -> Cell:
        return display_target(self._shell, self._io_loop)

    def _view(self, job: Job, cell: Cell, *, output: bool, start: int = 0) -> CellView:
        medium = self._medium(cell)
        return view_class(job)(job, cell, self._config, medium=medium, output=output, start=start)

    def _medium(self, cell: Cell) -> Medium:
        if isinstance(cell, CapturedCell):
            # No page bears it, and all of it was asked for.
            return Medium.FILE
        if getattr(self._shell, "kernel", None) is None:
            return Medium.TERMINAL
        return Medium.FILE if self._batch else Medium.PAGE

    def _carrier(self) -> Cell | None:
        return self._running if self._batch else None

    def _bring(self, views: list[CellView]) -> None:
        """In a batch run, the cell that awaits a job gets the output that is still to come."""
        with self._lock:
            cell = self._running
            if not self._batch or cell is None or any(view.is_live_in(cell) for view in views):
                return
            for view in views:
                if view.has_output and not view.lasting:
                    view.move(cell)
                    return

    def _flush(self, view: CellView, now: float, carrier: Cell | None, *, force: bool = False) -> None:
        if view.lasting:
            carrier = None
        elif self._batch and carrier is None:
            # Between two cells of a batch run nobody listens: it stays for the next cell.
            return
        try:
            sent = view.flush(now, self._budget.available(now), carrier, force=force)
        except Exception:
            # One view that cannot be shown is not to silence the others.
            log.exception("A view of job %r failed.", view.job.name)
            self._dirty.discard(view)
            return
        if sent and view.paced:
            self._budget.spend(sent)
        if view.finished:
            self._end(view)
        elif view.due(now, now) == float("inf"):
            self._dirty.discard(view)

    def _end(self, view: CellView) -> None:
        self._dirty.discard(view)
        for job, views in list(self._views.items()):
            if view in views:
                views.remove(view)
                if not views:
                    del self._views[job]
                places = self._places.get(job)
                if places is not None and places.home == view.cell.key:
                    # Kept for a restart, as long as somebody else has the job.
                    view.job = proxy(job)
                    view.rest()
                    places.ended = view
        if view in self._ticking:
            self._ticking.remove(view)

    def _revive(self, job: Job) -> None:
        """Has a job that is started anew, by somebody's restart, go on in its own cell."""
        with self._lock:
            places = self._places.get(job)
            view = None if places is None else places.ended
            if places is None or view is None:
                return
            places.ended = None
            view.job, view.finished = job, False
            self._views.setdefault(job, []).append(view)
            self._ticking.append(view)
            if self._batch and self._running is not None and not view.lasting:
                view.move(self._running)

    def _schedule(self) -> None:
        # Of many events while the loop is held, one callback is enough.
        if not self._poked:
            self._poked = True
            try:
                on_loop(self._io_loop, self._arm_soon)
            except BaseException:
                # An interrupt of the cell, for one.
                self._poked = False
                raise

    def _arm_soon(self) -> None:
        self._poked = False
        now = time.monotonic()
        if self._timer is not None and self._timer_due <= now:
            return
        self._arm(self.flush_due(now))
        if self._ticker is None and self._ticking:
            self._ticker = self._io_loop.call_later(_TICK_SECONDS, self._tick_clocks)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._io_loop.remove_timeout(self._timer)
            self._timer = None
        if due != float("inf"):
            self._timer_due = due
            self._timer = self._io_loop.call_later(max(0.0, due - time.monotonic()), self.tick)

    def _tick_clocks(self) -> None:
        """Has a few elapsed times shown anew, so that many idle jobs cost next to nothing."""
        self._ticker = None
        with self._lock:
            now = time.monotonic()
            left = 2 if len(self._ticking) <= _FEW else 1
            for _ in range(len(self._ticking)):
                view = self._ticking[0]
                self._ticking.rotate(-1)
                if left and view.tick_due(now):
                    view.status_changed = True
                    self._dirty.add(view)
                    left -= 1
            if self._ticking:
                self._ticker = self._io_loop.call_later(_TICK_SECONDS, self._tick_clocks)
        self._arm(self.flush_due())
