"""What a cell shows of a job: a status line and the live output, within a budget."""

from __future__ import annotations

import codecs
import math
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from ipyproc.model.state import Snapshot, at_kernels_end
from ipyproc.safe import SafeText, StreamFilter, joined
from ipyproc.spool.output import decoders_of

if TYPE_CHECKING:
    from ipyproc.notebook.cells import Bundle, Cell
    from ipyproc.notebook.config import IPyProc
    from ipyproc.spool.output import StreamName

__all__ = ["CellView", "Medium", "Shown"]

_WIDTH = 120
_LARGEST_MESSAGE = 100_000
_LARGEST_UNPACED = 1_000_000
_MOST_RUNS = 4
_DISPLAY_PAUSE = 0.25
_TAIL_BYTES = 8192


_NONE: Mapping[StreamName, Any] = {}


class Medium(Enum):
    """Where a cell is seen.

    A page must not be flooded; a file that a batch run saves, and a terminal, take output as fast as it
    comes.
    """

    PAGE = "page"
    FILE = "file"
    TERMINAL = "terminal"


class Shown(Protocol):
    """What a view needs to know of a job, local or not."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it."""

    @property
    def lingers(self) -> bool:
        """Whether there may be more to show though it has ended: what it has left running."""

    @property
    def size(self) -> int:
        """The offset past the newest byte of its output."""

    @property
    def encoding(self) -> str:
        """What its bytes are as text."""

    def snapshot(self) -> Snapshot:
        """A picture of this moment."""

    def runs(self, start: int, stop: int) -> list[tuple[StreamName, bytes]]:
        """The bytes between two offsets, in stretches of one stream each."""

    def read(self, start: int, stop: int | None) -> bytes:
        """The bytes between two offsets."""

    def tail(self, n: int, max_bytes: int | None) -> str:
        """The last lines, of at most so many bytes."""


class CellView:
    """One cell's view of one job.

    A view is flushed by its screen, in one thread at a time. It takes what is to be shown from the
    job's own output, from where it got to: nothing is queued for it.

    Args:
        job: what is shown.
        cell: where.
        config: the budget.
        medium: where the cell is seen, on which it depends how much it shows, and how fast.
        output: whether the output is shown, or the status line alone.
        start: the offset in the output to begin at.
    """

    def __init__(
        self,
        job: Shown,
        cell: Cell,
        config: IPyProc,
        *,
        medium: Medium,
        output: bool = True,
        start: int = 0,
    ) -> None:
        self.job = job
        self.cell = cell
        self.finished = False
        self.status_changed = True
        self.config = config
        self._medium = medium
        self.paced = medium is Medium.PAGE
        self._output = output
        self._position = start
        self._shown = 0
        self._status_id = f"ipyproc-{uuid.uuid4()}"
        self._status: str | None = None
        self._status_due = 0.0
        self._tail_id: str | None = None
        self._tail_end = -1
        self._tail_due = 0.0
        self._output_due = 0.0
        self._leftover: _Leftover | None = None
        self._target = cell
        # Empty before output comes, and after its end.
        self._decoders: Mapping[StreamName, codecs.IncrementalDecoder] = _NONE
        self._filters: Mapping[StreamName, StreamFilter] = _NONE
        self._opened = 0.0

    @property
    def shown(self) -> int:
        """How many bytes of output it has shown."""
        return self._shown

    def open(self, now: float) -> None:
        """Shows the status line for the first time."""
        self._show_status(now, self.cell)

    def rest(self) -> None:
        """Hold no more than it takes to go on, should its job be started anew."""
        self._status = ""

    def move(self, cell: Cell) -> None:
        """Has the output that is still to come appear in another cell."""
        if self._leftover is not None:
            self._leftover.show(cell)
            if self._tail_id is not None:
                # The tail stood in what was left behind; over there it has a display of its own.
                cell.display(self._tail_bundle(), self._tail_id)
        self._target = cell
        self._leftover = None

    def is_live_in(self, cell: Cell) -> bool:
        """Whether the output that is still to come appears in this cell."""
        return self._output and self._leftover is None and self._target.key == cell.key

    @property
    def lasting(self) -> bool:
        """Whether what it sends arrives between the cells of a batch run, too."""
        return self._target.lasting

    @property
    def has_output(self) -> bool:
        """Whether it shows output, or the status line alone."""
        return self._output

    def postpone(self) -> None:
        """The cell stops listening: output that comes later goes into a display it leaves behind."""
        if self._output and self._leftover is None and not self.finished and not self._target.lasting:
            self._leftover = _Leftover()
            self._leftover.open(self._target)

    def farewell(self, now: float) -> None:
        """Show all that there is, and say that the job ends with the kernel."""
        self.job = _EndsWithKernel(self.job)
        try:
            self.flush(now, _LARGEST_MESSAGE, force=True)
        finally:
            self.finished = True
            self.cell.settle(self._picture(), self._status_id)

    def flush(self, now: float, allowance: int, carrier: Cell | None = None, *, force: bool = False) -> int:
        """Shows what is new and due.

        Args:
            now: the time, in seconds on a clock that only goes forward.
            allowance: how many bytes of output may go to the page.
            carrier: the cell through which displays are updated, where that is not their own.
            force: show everything, due or not, as far as the cell has room.

        Returns:
            How many bytes of output were sent.
        """
        done = self.job.done
        sent = 0
        if self._output:
            while self._tail_id is None and self._position < self.job.size:
                step = self._flush_stream(now, allowance, force)
                sent += step
                if not step or not force:
                    break
            if self._tail_id is not None and (force or done or allowance > 0 or not self.paced):
                sent += self._flush_tail(now, carrier, force or done)
        caught_up = not self._output or self._position >= self.job.size or self._tail_id is not None
        if self.status_changed and (force or done or now >= self._status_due):
            self._show_status(now, carrier or self.cell)
        if done and caught_up and not self.job.lingers:
            self._end_stream()
            self.finished = True
        if self._leftover is not None and carrier is not None and (force or done):
            self._leftover.show(carrier)
        return sent

    def due(self, now: float, page_free_at: float) -> float:
        """When `flush` should be called next; infinity when nothing is new."""
        due = math.inf
        if self.finished:
            return due
        if self._output and self._tail_id is None and self._position < self.job.size:
            due = max(self._output_due, page_free_at if self.paced else now)
        elif self._tail_id is not None and self._tail_end != self.job.size:
            due = max(self._tail_due, page_free_at) if self.paced else self._tail_due
        if self.status_changed:
            due = min(due, self._status_due)
        if self.job.done and not self.job.lingers:
            due = (
                min(due, now) if not self._output or self._tail_id or self._position >= self.job.size else due
            )
        return due

    def tick_due(self, now: float) -> bool:
        """Whether the elapsed time should be shown anew; rarer the longer the job runs."""
        return now >= self._status_due + min(60.0, max(0.75, (now - self._opened) / 20))

    def _flush_stream(self, now: float, allowance: int, force: bool) -> int:
        if self.paced and not force and (now < self._output_due or allowance <= 0):
            return 0
        size = self.job.size - self._position
        room = max(0, self._room() - self._shown)
        if self.paced:
            step = min(size, _LARGEST_MESSAGE if force else min(allowance, _LARGEST_MESSAGE))
        else:
            step = min(size, _LARGEST_UNPACED)
        if size > room and step >= room:
            step = self._whole_lines(int(room))
            self._tail_id = f"ipyproc-{uuid.uuid4()}"
        runs = self.job.runs(self._position, self._position + step) if step > 0 else []
        if sum(len(data) for _, data in runs) < step:
            # It went before the page could take it (max_output): what is still there is the tail's.
            step = 0
            self._tail_id = f"ipyproc-{uuid.uuid4()}"
        if step > 0:
            self._send(runs)
            self._position += step
            self._shown += step
        self._output_due = now + 1 / self.config.messages_per_second
        if self._tail_id is not None:
            self._end_stream()
            if self._leftover is None:
                self._target.display(self._tail_bundle(), self._tail_id)
        return max(0, step)

    def _room(self) -> float:
        """How many bytes of output are shown before the live tail."""
        if self._medium is Medium.TERMINAL:
            return math.inf
        return float(self.config.cell_bytes if self.paced else self.config.batch_bytes)

    def _whole_lines(self, room: int) -> int:
        """How much of ``room`` the next whole lines take; all of it when there is no line's end."""
        data = self.job.read(self._position, self._position + room) if room else b""
        return data.rfind(b"\n") + 1 or room

    def _flush_tail(self, now: float, carrier: Cell | None, force: bool) -> int:
        size = self.job.size
        if size == self._tail_end or (now < self._tail_due and not force) or self._tail_id is None:
            return 0
        bundle = self._tail_bundle()
        self._tail_end, self._tail_due = size, now + _DISPLAY_PAUSE
        if self._leftover is not None:
            self._leftover.tail = bundle["text/plain"]
        else:
            (carrier or self._target).update(bundle, self._tail_id)
        return sum(map(len, bundle.values()))

    def _tail_bundle(self) -> Bundle:
        from ipyproc.notebook import render

        tail = self.job.tail(self.config.tail_lines, _TAIL_BYTES)
        hidden = self.job.size - self._position
        return render.bundle(
            render.tail_block(tail, hidden, self.job.name, self.job.snapshot().dropped), _WIDTH
        )

    def _send(self, runs: list[tuple[StreamName, bytes]]) -> None:
        if len(runs) > _MOST_RUNS:
            # Two pipes have no order between them finer than the reading of them.
            names: tuple[StreamName, ...] = ("stdout", "stderr")
            runs = [(name, b"".join(data for other, data in runs if other == name)) for name in names]
        if not self._decoders:
            self._decoders = decoders_of(self.job.encoding)
            self._filters = {"stdout": StreamFilter(), "stderr": StreamFilter()}
        for name, data in runs:
            self._write(name, self._decoders[name].decode(data))

    def _end_stream(self) -> None:
        for name, decoder in self._decoders.items():
            self._write(name, decoder.decode(b"", final=True))
        for name, stream in self._filters.items():
            self._publish(name, stream.close())
        self._decoders = self._filters = _NONE

    def _write(self, name: StreamName, text: str) -> None:
        self._publish(name, self._filters[name].feed(text))

    def _publish(self, name: StreamName, text: SafeText) -> None:
        if text and self._leftover is not None:
            self._leftover.text.append(text)
        elif text:
            self._target.stream(name, text)

    def _show_status(self, now: float, through: Cell) -> None:
        self.status_changed = False
        bundle = self._picture()
        first = self._status is None
        if first:
            self._opened = now
            self.cell.display(bundle, self._status_id)
        elif bundle["text/ansi"] != self._status:
            if self.job.done:
                through.settle(bundle, self._status_id)
            else:
                through.update(bundle, self._status_id)
        self._status = bundle["text/ansi"]
        self._status_due = now + _DISPLAY_PAUSE

    def _picture(self) -> Bundle:
        """The job's state, as it is to be shown now."""
        from ipyproc.notebook import render

        return render.bundle(render.status_line(self.job.snapshot()), _WIDTH)


class _EndsWithKernel:
    """A job as a view is to show it at the kernel's end."""

    def __init__(self, job: Shown) -> None:
        self._job = job

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def snapshot(self) -> Snapshot:
        """A picture of this moment."""
        return at_kernels_end(self._job.snapshot())


class _Leftover:
    """A display that a cell of a batch run leaves behind for output that comes after it.

    An update replaces the whole of a display, so it is sent when a cell ends, not for every line.
    """

    def __init__(self) -> None:
        self.text: list[SafeText] = []
        self.tail = SafeText("")
        self._display_id = f"ipyproc-{uuid.uuid4()}"
        self._shown = ""

    def open(self, cell: Cell) -> None:
        cell.display({"text/plain": SafeText("")}, self._display_id)

    def show(self, carrier: Cell) -> None:
        text = joined((*self.text, self.tail))
        if text != self._shown:
            carrier.update({"text/plain": text}, self._display_id)
            self.text, self._shown = [joined(self.text)], text
