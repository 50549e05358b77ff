"""All views of a kernel: create them, flush them when due, share the page's budget among them."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ipyproc.model.event import Event, EventKind
from ipyproc.views.budget import Budget
from ipyproc.views.cell import Cell, Medium
from ipyproc.views.kinds import freshness_of
from ipyproc.views.live_table import LiveTable
from ipyproc.views.places import Places
from ipyproc.views.quiet import QuietFailures
from ipyproc.views.schedule import Schedule
from ipyproc.views.view import View

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job
    from ipyproc.job.table import JobTable
    from ipyproc.views.budget import Limits
    from ipyproc.views.cell import FrontEnd
    from ipyproc.views.form import Form
    from ipyproc.views.live import LiveForm, LiveTableForm
    from ipyproc.views.live_table import TableOfJobs

__all__ = ["ViewManager"]

log = logging.getLogger("ipyproc")

_FEW = 8
_PAGE_WIDTH = 96


class ViewManager:
    """Show jobs in the cells that started them, as a watcher of the table of jobs.

    Any thread may flush, one at a time: the loop by a timer, the stand-in thread while the loop is held.

    Args:
        front_end: the front end that has the cells.
        jobs: the table of jobs.
        io_loop: the kernel's loop, whose timers flush the views.
        limits: how much is shown, and how fast.
        live_form: returns the live form of a job for a cell, with its terminal open or not; None for none.
        live_table: returns the live form of a table of jobs for a cell; None for none.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        jobs: JobTable,
        io_loop: IOLoop,
        limits: Limits,
        live_form: Callable[[Job, Cell, bool], LiveForm | None] = lambda *_: None,
        live_table: Callable[[TableOfJobs, Cell], LiveTableForm | None] = lambda *_: None,
    ) -> None:
        self._live_form, self._live_table = live_form, live_table
        self._here = threading.local()
        self._front_end = front_end
        self._jobs = jobs
        self._io_loop = io_loop
        self._limits = limits
        self._lock = threading.RLock()
        self._views: dict[Job, list[View]] = {}
        self._left: dict[Job, list[View]] = {}
        self._places: WeakKeyDictionary[Job, Places] = WeakKeyDictionary()
        self._dirty: set[View] = set()
        self._ticking: deque[View] = deque()
        self._budget = Budget(limits)
        self._schedule = Schedule(io_loop, self.flush_due, self._age_clocks)
        self._running: Cell | None = None
        self._batch = False
        self._table: LiveTable | None = None
        self._failures = QuietFailures(self._show_end, jobs, io_loop)
        self._over = False
        self._tags = 0

    # A watcher of the jobs

    def on_started(self, job: Job) -> None:
        """Open a view of a new job in the cell that runs in this thread."""
        if job.hosted.spec.quiet:
            # A quiet job is not shown as the value of its cell either.
            cell = self._front_end.target()
            self._places.setdefault(job, Places()).cells = (cell.key,)
            self._failures.expect(job, cell)
        elif job.has_tag:
            from ipyproc.views.form import Form

            self._tags += 1
            self.show(job, form=Form(tag=job.name, colour=self._tags - 1))
        else:
            self.show(job)

    def on_event(self, job: Job, event: Event) -> None:
        """Schedule the views of a job for the event; any thread may call it."""
        if self._over:
            return
        if event.kind is EventKind.STARTED and event.worker is None:
            self._revive(job)
        self._failures.on_event(job, event)
        views = self._views.get(job)
        if not views:
            return
        if event.kind is EventKind.RELEASED:
            self.catch_up([job])
            return
        if event.kind is EventKind.AWAITED:
            self._front_end.flush_prints()
            self._front_end.job_is_awaited()
            self._bring(views)
            views = [view for view in views if view.draw_anew()]
        with self._lock:
            for view in views:
                view.pace.status_changed |= event.kind not in (EventKind.WROTE, EventKind.AWAITED)
                self._dirty.add(view)
            if event.kind is EventKind.DONE and (self._batch or self._front_end.medium is Medium.TERMINAL):
                self.flush_all()  # What it wrote stands before what the cell prints that awaits it.
        self._schedule.soon()

    # Views

    @contextmanager
    def in_terminals(self) -> Iterator[None]:
        """Open the terminals of live forms of the jobs that this thread starts within the ``with``."""
        self._here.in_terminals = True
        try:
            yield
        finally:
            self._here.in_terminals = False

    def show(
        self, job: Job, *, output: bool = True, last: int | None = None, form: Form | None = None
    ) -> None:
        """Show a job in the running cell.

        What an ended job has written is shown by this call, as far as the page's budget allows: so it comes
        before what the cell prints afterwards. A cell shows a job once, and its output once, even if it has
        shown its status before; another call does nothing.

        Args:
            job: the job.
            output: whether to show its output, or the status only.
            last: the number of the last lines of its output to begin with; None for all of it.
            form: the form of its output; None for both streams as they came.
        """
        cell = self._front_end.target()
        with self._lock:
            if self._over:
                return
            places = self._places.setdefault(job, Places())
            if cell.key in (places.outputs if output else places.cells):
                return
            places.cells = (*places.cells, cell.key)
            if output:
                places.outputs = (*places.outputs, cell.key)
            # Text that the cell printed before comes first.
            self._front_end.flush_prints()
            if form is None or form.stream is None:
                places.first = places.first or cell.key
            if (running := self._front_end.running_cell()) is not None:
                self._runs(running)
            view = self._view_of(job, cell, output, last, form)
            self._views.setdefault(job, []).append(view)
            view.open(time.monotonic())
            self._ticking.append(view)
            self._dirty.add(view)
            if job.done:
                self._show_at_once(view)
        self._schedule.soon()

    def show_table(self, jobs: TableOfJobs | None = None) -> None:
        """Show a table of jobs, by default of all, in the running cell; an earlier one stays as it is."""
        cell, medium = self._front_end.target(), self._front_end.medium
        width = shutil.get_terminal_size().columns if medium is Medium.TERMINAL else _PAGE_WIDTH
        if self._table is not None:
            self._table.close()
        shown = self._jobs if jobs is None else jobs
        self._table = LiveTable(shown, cell, self._io_loop, width, self._live_table(shown, cell))
        self._table.open(live=medium is Medium.PAGE)

    def catch_up(self, jobs: Iterable[Job]) -> None:
        """Show what these jobs have written so far, due or not, as far as their cells have room for it."""
        with self._lock:
            for view in [view for job in jobs for view in self._views.get(job, ())]:
                self._flush(view, time.monotonic(), self._carrier(), force=True)

    def flush_due(self, now: float | None = None) -> float:
        """Flush what is due; return the time of the next flush."""
        with self._lock:
            now = time.monotonic() if now is None else now
            carrier = self._carrier()
            if self._batch and carrier is None:
                # Output between two cells of a batch run is discarded; the next cell flushes it.
                dirty = {view for view in self._dirty if view.lasting}
            else:
                dirty = self._dirty
            # Views that have shown least come first in the page's budget: a line does not wait for a flood.
            for view in sorted(dirty, key=lambda view: view.pace.shown):
                if view.due(now, now) <= now:
                    self._flush(view, now, carrier)
            # An overdrawn budget delays the paced views until it is above zero.
            free_at = self._budget.free_at(now)
            return min((view.due(now, free_at) for view in self._dirty & dirty), default=float("inf"))

    def renew(self) -> None:
        """Show the status of all jobs anew, since live forms can be shown now; any thread may call it."""
        with self._lock:
            for view in [view for views in self._views.values() for view in views]:
                view.pace.status_changed = True
                self._dirty.add(view)
        self._schedule.soon()

    def flush_all(self) -> None:
        """Flush all views now, due or not."""
        with self._lock:
            for view in list(self._dirty):
                self._flush(view, time.monotonic(), self._carrier(), force=True)

    def tick(self) -> None:
        """Flush what is due and set the timer for the next time; call on the loop."""
        self._schedule.tick()

    # The running cell, for batch runs

    def cell_begins(self, _info: object = None) -> None:
        """Record that a cell begins to run; call it on the thread of the cell."""
        self._failures.cell_begins()
        with self._lock:
            self._runs(self._front_end.running_cell())
            self._schedule.begin_anew()
        if self._dirty:
            self._schedule.soon()

    def cell_ends(self, _result: object = None) -> None:
        """Record that a cell ends; in a batch run, send its output first, since later output is discarded."""
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
        """Show in every cell that its jobs end with the kernel, and then nothing more; for any thread."""
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
                    log.exception("A view of job %r failed.", view.name)
            if self._table is not None:
                self._table.farewell()
            self._failures.farewell()

    def adopt(self, before: ViewManager) -> None:
        """Continue the views of a manager that was closed."""
        with self._lock:
            self._places, left = before.hand_over()
            for places in self._places.values():
                if places.ended is not None:
                    places.ended.pace.limits = self._limits
            for job, views in left.items():
                self._views[job] = views
                for view in views:
                    view.pace.limits = self._limits
                    view.pace.status_changed = True
                    self._ticking.append(view)
                    self._dirty.add(view)
        self._schedule.soon()

    def hand_over(self) -> tuple[WeakKeyDictionary[Job, Places], dict[Job, list[View]]]:
        """Return the cells that show each job, and the views that this closed manager had, for `adopt`."""
        return self._places, self._left

    def close(self) -> None:
        """Flush all views and close; call on the loop. Another manager may `adopt` the views."""
        with self._lock:
            self.flush_all()
            self._left = self._views
            if self._table is not None:
                self._table.close()
            self._failures.close()
            self._views = {}
            self._dirty.clear()
            self._ticking.clear()
            self._schedule.close()

    def _runs(self, cell: Cell | None) -> None:
        """Record the cell that runs, and whether this is a batch run."""
        self._running = cell
        self._batch = self._failures.is_batch = self._front_end.medium is Medium.FILE

    def _view_of(self, job: Job, cell: Cell, output: bool, last: int | None, form: Form | None) -> View:
        live = None
        # What moves all the time, as a benchmark does, is drawn by its plain form.
        if not (job.done or (form is not None and form.stream) or freshness_of(job.snapshot()).moves):
            live = self._live_form(job, cell, getattr(self._here, "in_terminals", False))
        if last is None and form is None:
            return View(job, cell, self._limits, output=output, live=live)
        from ipyproc.views.form import start_of_last

        shown = job if form is None else form.of(job)
        start = 0 if last is None else start_of_last(shown, last)
        return View(shown, cell, self._limits, output=output, start=start, form=form, live=live)

    def _show_at_once(self, view: View) -> None:
        """Show what an ended job has written: all that its cell has room for, if the page's budget allows it.

        A terminal has room for everything, so it gets one piece here, and the rest by and by.
        """
        now = time.monotonic()
        is_free = self._budget.available(now) > 0 if view.pace.is_paced else self._batch
        self._flush(view, now, self._carrier(), force=is_free)

    def _show_end(self, job: Job, cell: Cell) -> None:
        """Show the status of an ended job in a cell that has not shown the job."""
        View(job, cell, self._limits, output=False).open(time.monotonic())

    def _carrier(self) -> Cell | None:
        return self._running if self._batch else None

    def _bring(self, views: list[View]) -> None:
        """In a batch run, move the output that is still to come to the cell that awaits the job."""
        with self._lock:
            cell = self._running
            if not self._batch or cell is None or any(view.is_live_in(cell) for view in views):
                return
            for view in views:
                if view.pace.output and not view.lasting:
                    view.move(cell)
                    return

    def _flush(self, view: View, now: float, carrier: Cell | None, *, force: bool = False) -> None:
        if view.lasting:
            carrier = None
        elif self._batch and carrier is None:
            # Output between two cells of a batch run is discarded: keep it for the next cell.
            return
        try:
            sent = view.flush(now, self._budget.available(now), carrier, force=force)
        except Exception:
            # A view that fails must not stop the others.
            log.exception("A view of job %r failed.", view.name)
            self._dirty.discard(view)
            return
        if sent and view.pace.is_paced:
            self._budget.spend(sent)
        if view.finished:
            self._end(view)
        elif view.due(now, now) == float("inf"):
            self._dirty.discard(view)

    def _end(self, view: View) -> None:
        self._dirty.discard(view)
        for job, views in list(self._views.items()):
            if view in views:
                views.remove(view)
                if not views:
                    del self._views[job]
                places = self._places.get(job)
                if places is not None and places.first == view.cell.key:
                    # Kept for a restart, for as long as a reference to the job exists elsewhere.
                    view.rest()
                    places.ended = view
        if view in self._ticking:
            self._ticking.remove(view)

    def _revive(self, job: Job) -> None:
        """Continue the view of a job that was started anew after its end, in the cell that it had."""
        with self._lock:
            places = self._places.get(job)
            view = None if places is None else places.ended
            if places is None or view is None:
                return
            places.ended = None
            view.resume(job)
            self._views.setdefault(job, []).append(view)
            self._ticking.append(view)
            if self._batch and self._running is not None and not view.lasting:
                view.move(self._running)

    def _age_clocks(self) -> bool:
        """Mark a few views for new elapsed times; return False if there are no views.

        A call marks two views at most, so that many idle jobs cost little.
        """
        with self._lock:
            now = time.monotonic()
            left = 2 if len(self._ticking) <= _FEW else 1
            for _ in range(len(self._ticking)):
                view = self._ticking[0]
                self._ticking.rotate(-1)
                if left and view.tick_due(now):
                    view.pace.status_changed = True
                    self._dirty.add(view)
                    left -= 1
            return bool(self._ticking)
