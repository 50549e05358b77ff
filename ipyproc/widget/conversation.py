"""The conversation of one job with the pages that show it, apart from what carries the messages.

A page says hello, opens a terminal, reports what it has drawn, types, presses buttons; the kernel tells it
the status, the usage, and the output from an offset on. The child is never paused: when a terminal has not
drawn the last 256 kB, the kernel waits for it, and then skips ahead to the screen as it is by then. Each
message of output has its offset, so that a page notices that one was dropped on the way, and asks again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from ipyproc.model.spec import need_size
from ipyproc.model.state import Snapshot, at_kernels_end
from ipyproc.views.replay import Replay
from ipyproc.widget.acts import Act, act_of, in_sentences, typed
from ipyproc.widget.page import LARGEST_PIECE, WINDOW, Page
from ipyproc.widget.share import Share
from ipyproc.widget.status import Told, is_new, plain_form, told

if TYPE_CHECKING:
    from ipyproc.job.job import Job

__all__ = ["Conversation", "Send"]

Send = Callable[[Mapping[str, object], Sequence[bytes]], None]
"""Sends a message, and the bytes that belong to it, to all pages."""

_STATUS_PAUSE = 0.25
_LOOK_PAUSE = 0.5
_USAGE_PAUSE = 2.0
# A prompt stands at the end of the output, without a newline, for so long.
_PROMPT_SECONDS = 0.3
_MOST_PAGES = 20
_LONGEST_KEY = 100
_LARGEST_FILE = 32 << 20
_LARGEST_TEXT = 2 << 20
_TURN_PAUSE = 0.004
_FEW_LINES = 200


class Conversation:
    """One job, and the pages that show it. One thread at a time may call it.

    Args:
        job: the job.
        send: sends a message to all pages.
        restart: restarts a job; called on any thread, it returns at once.
        forget: forgets a job that has ended.
        as_terminal: whether pages open the terminal by themselves.
        share: the rate at which terminals may be sent output.
        clock: returns the time in seconds on a monotonic clock.
    """

    def __init__(
        self,
        job: Job,
        send: Send,
        restart: Callable[[Job], None],
        forget: Callable[[Job], None],
        *,
        as_terminal: bool = False,
        share: Share | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share or Share()
        self._as_terminal = as_terminal
        self._job = job
        self._send = send
        self._restart = restart
        self._forget = forget
        self._clock = clock
        self._pages: dict[str, Page] = {}
        self._owner = ""
        self._told: Told = {}
        self._status_due = 0.0
        self._is_changed = True
        self._has_begun = False
        self._look_due = 0.0
        self._size = -1
        self._wrote_at = clock()
        self._usage_due = 0.0
        self._usage_told = -1.0
        self._replay: Replay | None = None
        self._aim: int | None = None
        self._ends_with_kernel = False

    @property
    def has_pages(self) -> bool:
        """True if a page shows the job."""
        return bool(self._pages)

    def changed(self) -> None:
        """Record that the status of the job has changed; any thread may call it."""
        self._is_changed = True

    def began(self) -> None:
        """Record that the job was started anew, so that its end is news again; any thread may call it."""
        self._has_begun = True

    # From a page

    def receive(self, message: Mapping[str, Any]) -> Act | None:
        """Take a message of a page.

        Returns:
            What to do to the job, to be called without locks; its sentence is for `note`.
        """
        key, kind = message.get("page"), message.get("type")
        if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
            return None
        if kind == "bye":
            self._lose(key)
            return None
        page = self._page(key)
        if kind == "hello":
            self._greet(page, message.get("age"))
        elif kind == "open":
            return self._open(page, message)
        elif kind == "shut":
            page.shut()
            self._disown(page)
        elif kind == "ack":
            page.drew(_offset(message))
        elif kind == "ask":
            self._ask(page, _offset(message))
        elif kind == "input":
            return self._type(page, message)
        elif kind == "resize":
            return self._resize(page, message)
        elif kind == "act":
            do, signal, worker = message.get("do"), message.get("signal"), message.get("worker")
            return act_of(self._job, do, signal, worker, self._restart, self._forget)
        elif kind == "save":
            return self._save(page, as_text=message.get("text") is True)
        return None

    def note(self, page: object, text: str) -> None:
        """Tell a page a sentence."""
        self._send({"type": "note", "page": page, "text": text}, ())

    # To the pages

    def flush(self) -> float:
        """Send what is due; return the time of the next call, infinity if there is nothing to come."""
        if not self._pages:
            return inf
        now = self._clock()
        if self._has_begun:
            self._has_begun = False
            self._usage_due, self._usage_told = 0.0, -1.0
            for page in self._pages.values():
                page.is_told = False
        due = min(self._tell_status(now), self._tell_usage(now))
        for page in list(self._pages.values()):
            if page.is_open:
                due = min(due, self._continue(page, now))
        if self._job.done and not self._job.lingers:
            self._tell_end()
            if due == inf:
                self._replay = self._aim = None
        return due

    def farewell(self) -> None:
        """Tell all pages that the job ends with the kernel."""
        self._ends_with_kernel = True
        if self._pages:
            snapshot = self._snapshot()
            self._send({"type": "ended", "job": self._status(snapshot), "html": plain_form(snapshot)}, ())

    # Helpers

    def _page(self, key: str) -> Page:
        page = self._pages.pop(key, None) or Page(key)
        # The last one that was heard of comes last.
        self._pages[key] = page
        while len(self._pages) > _MOST_PAGES:
            self._lose(next(iter(self._pages)))
        return page

    def _lose(self, key: str) -> None:
        if (page := self._pages.pop(key, None)) is not None:
            self._disown(page)

    def _disown(self, page: Page) -> None:
        if self._owner == page.key:
            self._owner = ""

    def _greet(self, page: Page, age: object) -> None:
        snapshot = self._snapshot()
        self._told = self._status(snapshot)
        over = self._job.done or self._ends_with_kernel
        page.is_told = over
        # The text below the status no longer moves in a page that was loaded after the job began.
        is_late = isinstance(age, (int, float)) and age < _seconds_since_start(snapshot)
        message = {"type": "ended" if over else "status", "page": page.key, "job": self._told}
        html = plain_form(snapshot)
        self._send({**message, "html": html, "open": self._as_terminal or is_late}, ())
        if points := _points_of(self._job):
            self._send({"type": "usage", "page": page.key, "points": points, "all": True}, ())

    def _open(self, page: Page, message: Mapping[str, Any]) -> Act | None:
        output = self._job.hosted.output
        page.open(output.start)
        page.replayed = output.end
        page.needs_screen = output.start > 0 or output.end > WINDOW
        if message.get("owns") is True or not self._owner:
            self._own(page)
            if message.get("owns") is True:
                return self._resize(page, message)
        return None

    def _own(self, page: Page) -> None:
        """Give a page the size of the terminal: to the last one that a person has opened or typed into."""
        if self._owner == page.key or self._job.terminal is None or self._job.done:
            return
        before = self._pages.get(self._owner)
        self._owner = page.key
        # A screen says which page has the size.
        page.needs_screen = True
        if before is not None and before.is_open:
            before.needs_screen = True

    def _ask(self, page: Page, position: int) -> None:
        page.is_open = True
        page.ask(position)

    def _type(self, page: Page, message: Mapping[str, Any]) -> Act | None:
        text, is_line = message.get("data"), message.get("line") is True
        if not isinstance(text, str) or not (text or is_line):
            return None
        if page.is_open:
            self._own(page)
        return typed(self._job, text, line=is_line)

    def _resize(self, page: Page, message: Mapping[str, Any]) -> Act | None:
        rows, columns, job = message.get("rows"), message.get("columns"), self._job
        if self._owner != page.key or job.terminal is None or job.done:
            return None
        if not isinstance(rows, int) or not isinstance(columns, int) or (rows, columns) == job.terminal:
            return None

        def resize() -> None:
            need_size(rows, columns)
            job.resize(rows, columns)

        self._is_changed = True
        for other in self._pages.values():
            if other is not page and other.is_open:
                other.needs_screen = True
        return in_sentences(resize)

    def _save(self, page: Page, *, as_text: bool) -> Act | None:
        job, key, send = self._job, page.key, self._send
        size = job.size - job.hosted.output.start
        if size > _LARGEST_FILE and not as_text:
            self.note(
                key,
                f"The output has {size:,} bytes, too many for the page; write it to a file by "
                "%%spawn --log FILE, or from ipyproc.jobs in a cell.",
            )
            return None
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in job.name)
        message = {"type": "file", "page": key, "name": f"{name.strip('.') or 'job'}.log", "text": as_text}

        def read() -> None:
            # The work is proportional to the output, so the loop does not wait for it.
            data = job.render(_LARGEST_TEXT).text.encode() if as_text else job.read()
            send(message, [data])

        return lambda: threading.Thread(target=read, name="ipyproc save", daemon=True).start()

    # The status

    def _snapshot(self) -> Snapshot:
        snapshot = self._job.snapshot()
        return at_kernels_end(snapshot) if self._ends_with_kernel else snapshot

    def _status(self, snapshot: Snapshot) -> Told:
        return told(self._job, snapshot, wants_input=self._wants_input(self._clock()))

    def _tell_status(self, now: float) -> float:
        """Tell all pages a status that has changed; return when to look next."""
        if self._job.done and not self._is_changed:
            return inf
        if self._size != self._job.size:
            self._size = self._job.size
            self._wrote_at = now
            # A prompt may have been answered, or come.
            self._look_due = min(self._look_due, now + _PROMPT_SECONDS)
        if not (self._is_changed or now >= self._look_due):
            return self._look_due
        if now < self._status_due:
            return self._status_due
        self._is_changed = False
        self._look_due = now + _LOOK_PAUSE
        snapshot = self._snapshot()
        status = self._status(snapshot)
        if is_new({**self._told, "size": status["size"]}, status):
            self._told = status
            self._status_due = now + _STATUS_PAUSE
            if not snapshot.state.done:
                self._send({"type": "status", "job": status, "html": plain_form(snapshot)}, ())
        return inf if self._job.done else self._look_due

    def _tell_usage(self, now: float) -> float:
        """Tell all pages the usage that is new; return when to look next."""
        if now < self._usage_due and (not self._job.done or self._usage_due == inf):
            return self._usage_due
        points = [point for point in _points_of(self._job) if point[0] > self._usage_told]
        if points:
            self._usage_told = points[-1][0]
            self._send({"type": "usage", "points": points, "all": False}, ())
        self._usage_due = inf if self._job.done else now + _USAGE_PAUSE
        return self._usage_due

    def _wants_input(self, now: float) -> bool:
        job = self._job
        if job.done or not job.hosted.takes_input:
            return False
        if job.hides_input:
            return True
        size = job.size
        if not size or (size == self._size and now - self._wrote_at < _PROMPT_SECONDS):
            return False
        return size == self._size and job.read(size - 1, size) not in (b"\n", b"\r", b"")

    def _tell_end(self) -> None:
        if all(page.is_told for page in self._pages.values()):
            return
        snapshot = self._snapshot()
        self._send({"type": "ended", "job": self._status(snapshot), "html": plain_form(snapshot)}, ())
        for page in self._pages.values():
            page.is_told = True

    # The output

    def _continue(self, page: Page, now: float) -> float:
        """Send a terminal what is due; return the time of the next message."""
        output = self._job.hosted.output
        behind = output.end - page.position
        if page.position < output.start or (behind > WINDOW and page.room()):
            page.needs_screen = True
        elif page.lacks_lines and not behind:
            if now < page.calm_at:
                return page.calm_at
            page.needs_screen = True
        if not page.takes_screen if page.needs_screen else not behind or not page.room():
            # New output, or the page's report, will call again.
            return inf
        if now < page.due():
            return page.due()
        if page.needs_screen:
            return self._send_screen(page, now, is_far=behind > WINDOW)
        is_old = page.position < page.replayed
        end = page.replayed if is_old else page.position + behind
        stop = min(end, page.position + min(page.room(), LARGEST_PIECE))
        data = self._job.read(page.position, stop)
        message = {"type": "output", "page": page.key, "offset": page.position, "replay": is_old}
        self._send(message, [data])
        page.sent(now, len(data), self._share.pause(page, now, len(data)))
        return self._next(page)

    def _send_screen(self, page: Page, now: float, *, is_far: bool) -> float:
        if self._replay is None:
            self._replay = Replay(self._job)
        if self._aim is None:
            # A flood would outrun an end that moves.
            self._aim = self._job.size
        if not self._replay.step(self._aim):
            return now + _TURN_PAUSE
        # A page that has drawn something is behind, and will be so again in a moment.
        is_short = is_far and page.position > 0 and not self._job.done
        screen = self._replay.screen(_FEW_LINES if is_short else None)
        data = screen.text.encode("utf-8", "replace")
        message = {"type": "screen", "page": page.key, "offset": screen.offset, "owner": self._owner or None}
        self._send({**message, "rows": screen.rows, "columns": screen.columns}, [data])
        pause = self._share.pause(page, now, len(data))
        page.sent_screen(now, screen.offset, len(data), pause, whole=not is_short)
        self._aim = None
        return self._next(page)

    def _next(self, page: Page) -> float:
        if page.position < self._job.size and page.room():
            return page.due()
        return page.calm_at if page.lacks_lines else inf


def _offset(message: Mapping[str, Any]) -> int:
    offset = message.get("offset")
    return offset if isinstance(offset, int) and offset >= 0 else -1


def _seconds_since_start(snapshot: Snapshot) -> float:
    since_end = time.time() - snapshot.exits[-1].ended if snapshot.state.done and snapshot.exits else 0.0
    return since_end + snapshot.elapsed


def _points_of(job: Job) -> list[list[float]]:
    """Return the seconds since the start, the percent of one core, and the bytes, of each moment."""
    return [[round(at.seconds, 2), round(at.cpu * 100, 1), at.memory] for at in job.usage]
