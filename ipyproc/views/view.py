"""One cell's view of a job: a status line and the live output, within a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipyproc.model.state import Snapshot, at_kernels_end
from ipyproc.views.kinds import figures_differ, freshness_of, has_marks, picture
from ipyproc.views.marks import with_coloured_marks
from ipyproc.views.outlet import Outlet, new_display_id
from ipyproc.views.pace import LARGEST_MESSAGE, Pace

if TYPE_CHECKING:
    from ipyproc.spool.output import StreamName
    from ipyproc.views.budget import Limits
    from ipyproc.views.cell import Bundle, Cell
    from ipyproc.views.form import Prefixes
    from ipyproc.views.shown import Shown

__all__ = ["View"]

_TAIL_BYTES = 8192
_TAIL_WIDTH = 120


class View:
    """One cell's view of one job.

    The screen flushes a view, on one thread at a time. A view reads the job's output from its own position,
    so nothing is queued for it. Its `Pace` decides what to show, and when; its `Outlet` and
    `ipyproc.views.kinds` decide how.

    Args:
        job: the job.
        cell: the cell; its medium sets how much is shown, and how fast.
        limits: the limits for that.
        output: whether to show the output, or the status only.
        start: the offset in the output to begin at.
        prefixes: what puts something before each line; None for nothing.
    """

    __slots__ = (
        *("cell", "finished", "name", "pace"),
        *("_ends_with_kernel", "_job", "_last", "_outlet", "_prefixes", "_status", "_status_id"),
    )

    def __init__(
        self,
        job: Shown,
        cell: Cell,
        limits: Limits,
        *,
        output: bool = True,
        start: int = 0,
        prefixes: Prefixes | None = None,
    ) -> None:
        self.name = job.name
        self.cell = cell
        self.pace = Pace(cell.medium, limits, output=output, start=start)
        self.finished = False
        self._job: Shown | None = job
        self._prefixes = prefixes
        self._outlet = Outlet(cell, job.encoding)
        self._status_id = new_display_id()
        self._status: str | None = None
        self._last: Snapshot | None = None
        self._ends_with_kernel = False

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

    def farewell(self, now: float) -> None:
        """Show all output so far, and that the job ends with the kernel."""
        self._ends_with_kernel = True
        try:
            self.flush(now, LARGEST_MESSAGE, force=True)
        finally:
            self.finished = True
            self.cell.settle(self._picture(), self._status_id)

    # Flushing

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
        sent = 0
        while (step := pace.next_step(now, job.size, allowance, force=force)) is not None:
            size, is_last = self._send(now, step.size, step.is_last)
            sent += size
            if is_last or not force:
                break
        if pace.is_tail_due(now, job.size, allowance, force=force or done):
            sent += self._send_tail(now, carrier)
        caught_up = pace.has_caught_up(job.size)
        if pace.is_status_due(now, force=force or done):
            self._show_status(now, carrier or self.cell)
        if done and caught_up and not job.lingers:
            self._outlet.end()
            self.finished = True
        if carrier is not None and (force or done):
            self._outlet.show_left(carrier)
        return sent

    def due(self, now: float, page_free_at: float) -> float:
        """Return the time at which to call `flush` next; infinity if nothing is new."""
        if self.finished:
            return float("inf")
        return self.pace.due(now, page_free_at, self.job.size, over=self.job.done and not self.job.lingers)

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

    def _send(self, now: float, size: int, is_last: bool) -> tuple[int, bool]:
        """Send the next piece of output; return its size, and whether the live tail follows it."""
        position = self.pace.position
        if is_last:
            size = self._whole_lines(size)
        runs = self.job.runs(position, position + size) if size > 0 else []
        if sum(len(data) for _, data in runs) < size:
            # max_output has dropped bytes before they were sent: the tail shows what is still there.
            size, is_last, runs = 0, True, []
        if runs:
            self._outlet.send(self._painted(runs, position))
        self.pace.went(now, size, is_last=is_last)
        if is_last:
            self._outlet.end()
            self._outlet.begin_tail(self._tail())
        return size, is_last

    def _painted(self, runs: list[tuple[StreamName, bytes]], position: int) -> list[tuple[StreamName, bytes]]:
        """Return output of the job from ``position`` on with its prefixes, or its marks in colour, if any."""
        if self._prefixes is not None:
            return self._prefixes.put(self.job, position, position + sum(len(data) for _, data in runs))
        if not has_marks(self._last or self.job.snapshot()):
            return runs
        return with_coloured_marks(runs, self.job.read(position - 1, position) if position else b"")

    def _whole_lines(self, room: int) -> int:
        """Return the bytes of the whole lines that fit in ``room``; all of it if no line ends there."""
        position = self.pace.position
        data = self.job.read(position, position + room) if room else b""
        return data.rfind(b"\n") + 1 or room

    def _send_tail(self, now: float, carrier: Cell | None) -> int:
        end = self.job.size
        bundle = self._tail()
        self.pace.tail_went(now, end)
        self._outlet.update_tail(bundle, carrier)
        return sum(map(len, bundle.values()))

    def _tail(self) -> Bundle:
        from ipyproc.views import render

        job = self.job
        tail = job.tail(self.pace.limits.tail_lines, _TAIL_BYTES)
        hidden = job.size - self.pace.position
        return render.bundle(render.tail_block(tail, hidden, self.name, job.snapshot().dropped), _TAIL_WIDTH)

    def _show_status(self, now: float, through: Cell) -> None:
        self.pace.status_changed = False
        bundle = self._picture()
        if self._status is None:
            self.pace.status_opened(now)
            self.cell.display(bundle, self._status_id)
        elif bundle["text/ansi"] != self._status:
            if self.job.done:
                through.settle(bundle, self._status_id)
            else:
                through.update(bundle, self._status_id)
        self._status = bundle["text/ansi"]
        self.pace.status_went(now)

    def _picture(self) -> Bundle:
        """Return the picture of the job's status now."""
        snapshot = self.job.snapshot()
        if self._ends_with_kernel:
            snapshot = at_kernels_end(snapshot)
        self._last = snapshot
        return picture(snapshot, self.cell.medium)
