"""One cell's view of a job: a status line and the live output, within a budget."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from ipyproc.model.state import Snapshot, at_kernels_end
from ipyproc.views.kinds import figures_differ, freshness_of, picture
from ipyproc.views.outlet import Outlet, new_display_id
from ipyproc.views.pace import LARGEST_MESSAGE, Pace
from ipyproc.views.reading import Reading
from ipyproc.views.transcript import NO_ROWS, fitting

if TYPE_CHECKING:
    from ipyproc.views.budget import Limits
    from ipyproc.views.cell import Bundle, Cell
    from ipyproc.views.form import Form
    from ipyproc.views.live import LiveForm
    from ipyproc.views.shown import Shown
    from ipyproc.views.transcript import Lines

__all__ = ["View"]

_TAIL_WIDTH = 120


class View:
    """One cell's view of one job.

    The view manager flushes a view, on one thread at a time. A view reads the job's output from its own
    position, so nothing is queued for it. Its `Pace` decides when to show something, its `Reading` what; its
    `Outlet` and `ipyproc.views.kinds` decide how.

    Args:
        job: the job.
        cell: the cell; its medium sets how much is shown, and how fast.
        limits: the limits for that.
        output: whether to show the output, or the status only.
        start: the offset in the output to begin at.
        form: the form in which lines are shown; None for as they are.
        live: the live form of the status, which a page may show in place of the plain one; None for none.
    """

    __slots__ = (
        *("cell", "finished", "name", "pace"),
        *("_ends_with_kernel", "_has_live", "_is_full_screen", "_job", "_last", "_live", "_outlet"),
        *("_reading", "_rows", "_status", "_status_id"),
    )

    def __init__(
        self,
        job: Shown,
        cell: Cell,
        limits: Limits,
        *,
        output: bool = True,
        start: int = 0,
        form: Form | None = None,
        live: LiveForm | None = None,
    ) -> None:
        self.name = job.name
        self.cell = cell
        self.pace = Pace(cell.medium, limits, output=output)
        self.finished = False
        self._job: Shown | None = job
        self._reading = Reading(start, form)
        self._rows = NO_ROWS
        self._outlet = Outlet(cell)
        self._status_id = new_display_id()
        self._status: str | None = None
        self._live = live
        self._has_live = False
        self._last: Snapshot | None = None
        self._ends_with_kernel = False
        self._is_full_screen = False

    @property
    def job(self) -> Shown:
        """The job; the view has none between `rest` and `resume`."""
        assert self._job is not None
        return self._job

    @property
    def lasting(self) -> bool:
        """True if its output also arrives between the cells of a batch run."""
        return self._outlet.lasting

    def is_live_in(self, cell: Cell) -> bool:
        """Return True if the output that is still to come appears in this cell."""
        return self.pace.output and self._outlet.is_live_in(cell)

    # Its life

    def open(self, now: float) -> None:
        """Show the status for the first time."""
        self._show_status(now, self.cell)

    def rest(self) -> None:
        """Release the job and its snapshot; keep what `resume` needs if the job is started anew."""
        self._job = self._last = None
        self._status = ""
        self._reading.rest()

    def resume(self, job: Shown) -> None:
        """Continue with a job that was started anew, after `rest`."""
        self._job = job
        self.finished = False

    def move(self, cell: Cell) -> None:
        """Send the output that is still to come to another cell."""
        self._outlet.move(cell, self._tail() if self.pace.is_tailing else None)

    def postpone(self) -> None:
        """Send later output into a display, since the cell of a batch run ends."""
        if self.pace.output and not self.finished:
            self._outlet.leave()
            self._outlet.send((), self._reading.live, draw=False)

    def farewell(self, now: float) -> None:
        """Show all output so far, and that the job ends with the kernel."""
        self._ends_with_kernel = True
        try:
            self.flush(now, LARGEST_MESSAGE, force=True)
            if self.pace.output:
                self._end_output(now)
        finally:
            self.finished = True
            self.cell.settle(self._picture(), self._status_id)

    # Flushing

    def draw_anew(self) -> bool:
        """Have rows drawn that are not, now that a terminal's cell waits; return False if there are none."""
        if self._outlet.is_drawing or not self._reading.live.is_drawn:
            return False
        self.pace.rows_changed(0.0, drawn=True)
        return True

    def flush(self, now: float, allowance: int, carrier: Cell | None = None, *, force: bool = False) -> int:
        """Show what is new and due.

        Args:
            now: the time in seconds on a monotonic clock.
            allowance: the number of bytes of output that may go to the page.
            carrier: the cell through which to update displays; None for their own.
            force: whether to show everything, due or not, as far as the cell has room.

        Returns:
            The number of bytes of output sent.
        """
        job, pace = self.job, self.pace
        done = job.done
        sent = self._read_on(now, allowance, force=force) if pace.output and not self._holds(now) else 0
        if self._reading.is_full_screen != self._is_full_screen:
            self._is_full_screen = self._reading.is_full_screen
            pace.status_changed = True
        at_end = done and self._has_caught_up() and self._is_over()
        if at_end:
            sent += self._end_output(now)
        elif pace.are_rows_due(now, force=force):
            sent += self._show(now, self._reading.settle(), draw=True)
        if pace.is_tail_due(now, allowance, force=force or (done and self._has_caught_up())):
            sent += self._send_tail(now, carrier)
        # The end is shown even if its event has not come yet: no other flush follows.
        if at_end or pace.is_status_due(now, force=force or done):
            self._show_status(now, carrier or self.cell)
        if at_end:
            self.finished = True
        if carrier is not None and (force or done):
            self._outlet.show_left(carrier)
        return sent

    def due(self, now: float, page_free_at: float) -> float:
        """Return the time at which to call `flush` next; infinity if nothing is new."""
        if self.finished:
            return float("inf")
        over = self._is_over()
        has_caught_up = self._has_caught_up() or self._holds(now)
        return self.pace.due(now, page_free_at, has_caught_up=has_caught_up, over=over)

    def tick_due(self, now: float) -> bool:
        """Return True if the status is due only because its elapsed time or its figures have changed."""
        last = self._last
        if last is None:
            return False
        freshness = freshness_of(last)
        if freshness.look is not None:
            if not self.pace.is_look_due(now, freshness):
                return False
            if figures_differ(last, self.job.snapshot()):
                return True
        return self.pace.is_status_old(now, freshness)

    def _holds(self, now: float) -> bool:
        """Return True while the live form shows the output instead."""
        return self._live is not None and self._live.shows_output(now) and not self._is_over()

    def _has_caught_up(self) -> bool:
        return not self.pace.output or self._reading.position >= self.job.size

    def _read_on(self, now: float, allowance: int, *, force: bool) -> int:
        """Read what is due, and show the lines that it finished; return the number of characters sent."""
        pace, reading = self.pace, self._reading
        sent = 0
        while not self._has_caught_up() and (most := pace.allowed(now, allowance, force=force)):
            if pace.is_tailing:
                reading.read_tail(self.job)
                pace.tail_changed()
            else:
                sent += self._show(now, reading.read(self.job, most), draw=False)
            if not force:
                if not sent and not self._has_caught_up():
                    pace.fell_behind(now)
                break
        return sent

    def _show(self, now: float, lines: list[Lines], *, draw: bool) -> int:
        """Show finished lines as far as the cell has room for them; the live tail follows then.

        Args:
            now: the time.
            lines: the lines.
            draw: whether rows that change are due; a prompt is shown at once, except in a file.
        """
        pace, outlet, rows = self.pace, self._outlet, self._reading.live
        shown, rest = fitting(lines, pace.room)
        if rest or self._reading.gap:
            sent = outlet.send(shown, NO_ROWS, draw=False)
            self._begin_tail(now, rest)
            return sent
        draw = draw or (pace.shows_prompts and rows.straight and not outlet.is_drawing)
        sent = outlet.send(shown, rows, draw=draw)
        pace.sent(now, sum(len(piece.text) for piece in shown))
        if draw:
            self._rows = rows
            pace.rows_went(now, drawn=outlet.is_drawing)
        elif rows != self._rows or (lines and outlet.is_drawing):
            pace.rows_changed(now, drawn=outlet.is_drawing)
        return sent

    def _end_output(self, now: float) -> int:
        """Show the last rows as finished lines; return the number of characters sent."""
        pace, lines = self.pace, self._reading.finish()
        self._rows = NO_ROWS
        if pace.is_tailing:
            if lines:
                self._reading.keep(lines)
                pace.tail_changed()
            return 0
        shown, rest = fitting(lines, pace.room)
        sent = self._outlet.end(shown)
        if rest:
            self._begin_tail(now, rest)
        return sent

    def _begin_tail(self, now: float, rest: list[Lines]) -> None:
        """Show the live tail after the output, beginning with lines for which the cell has no room."""
        reading = self._reading
        self._outlet.end(())
        reading.keep(rest)
        reading.hidden += sum(len(piece.text) for piece in rest)
        self._rows = NO_ROWS
        self.pace.begin_tail(now)
        self._outlet.begin_tail(self._tail())

    def _send_tail(self, now: float, carrier: Cell | None) -> int:
        bundle = self._tail()
        self.pace.tail_went(now)
        self._outlet.update_tail(bundle, carrier)
        return sum(map(len, bundle.values()))

    def _tail(self) -> Bundle:
        from ipyproc.views import render

        reading = self._reading
        text = reading.tail(self.pace.limits.tail_lines)
        block = render.tail_block(text, reading.hidden, self.name, self.job.snapshot().dropped)
        return render.bundle(block, _TAIL_WIDTH)

    def _show_status(self, now: float, through: Cell) -> None:
        self.pace.status_changed = False
        bundle = self._picture()
        ansi = bundle["text/ansi"]
        done, over = self.job.done, self._is_over()
        live = {} if over or self._has_live or self._live is None else self._live.form()
        if self._status is None:
            self.pace.status_opened(now)
            self.cell.display({**bundle, **live}, self._status_id)
        elif live:
            through.update({**bundle, **live}, self._status_id)
        elif (self._has_live or ansi != self._status) and not (self._is_live(now, done) and not over):
            if self._has_live and not over:
                # No page has answered, so the plain form goes on.
                self._live = None
            # Without the live form at the end, so that a saved file needs no kernel to show it.
            self._has_live = False
            (through.settle if done else through.update)(bundle, self._status_id)
        self._has_live = self._has_live or bool(live)
        self._status = ansi
        self.pace.status_went(now)

    def _is_over(self) -> bool:
        return self.job.done and not self.job.lingers

    def _is_live(self, now: float, done: bool) -> bool:
        """Return True if the live form tells what is new; at an end, only if a page is known to show it."""
        live = self._live if self._has_live else None
        return live is not None and (live.is_heard if done else live.replaces_updates(now))

    def _picture(self) -> Bundle:
        """Return the picture of the job's status now."""
        snapshot = self.job.snapshot()
        if self._ends_with_kernel:
            snapshot = at_kernels_end(snapshot)
        self._last = snapshot
        if self._is_full_screen and not (snapshot.state.done or snapshot.ends_with_kernel):
            snapshot = replace(snapshot, notes=(*snapshot.notes, _full_screen_note(self.name)))
        return picture(snapshot, self.cell.medium)


def _full_screen_note(name: str) -> str:
    """Return how to end a program that draws on the whole screen, which waits for keys."""
    name = shlex.quote(name)
    return f"draws the whole screen; %stop {name} ends it, %send -n {name} q presses q"
