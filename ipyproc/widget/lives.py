"""The live views of a kernel's jobs: made when a cell shows a job, driven by the loop or its stand-in."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, ref

from ipyproc.model.event import EventKind
from ipyproc.safe import SafeText
from ipyproc.views.schedule import Schedule
from ipyproc.widget.acts import restart_on
from ipyproc.widget.answers import Answers
from ipyproc.widget.bundle import code_message
from ipyproc.widget.conversation import Conversation
from ipyproc.widget.share import Share

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job
    from ipyproc.job.table import JobTable
    from ipyproc.model.event import Event
    from ipyproc.views.cell import Bundle
    from ipyproc.widget.acts import Act

__all__ = ["VIEW", "Channel", "Live", "LiveViews", "OpenChannel"]

log = logging.getLogger("ipyproc")

VIEW = "application/vnd.jupyter.widget-view+json"
"""The mime type of what a page needs to show a view."""

_MOST_WATCHED = 50
_MOST_AT_ONCE = 10


class Channel(Protocol):
    """The way of one live view's messages to all pages; any thread may call it."""

    @property
    def form(self) -> SafeText:
        """What a page needs to show the view, as JSON."""

    def send(self, message: Mapping[str, object], buffers: Sequence[bytes]) -> None:
        """Send a message and the bytes that belong to it."""

    def rest(self) -> None:
        """Free what only a running job needs; messages still go both ways."""

    def close(self) -> None:
        """Close it in all pages."""


class Settings(Protocol):
    """The settings of live views."""

    live_patience: float


OpenChannel = Callable[[str, str, Callable[[Any], None]], "Channel | None"]
"""Opens a channel for a key and a kind of view; the last argument is called with each message of a page, on
any thread. Returns None while that is not possible yet."""


class Live:
    """The live form of one job's status, beside the plain one.

    Args:
        job: the job.
        lives: the live views of the kernel.
        as_terminal: whether its terminal is open at first, so that it shows the output.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_conversation",
        "_job",
        "_lives",
        "_since",
        "as_terminal",
        "is_heard",
        "key",
    )

    def __init__(self, job: Job, lives: LiveViews, key: str, as_terminal: bool) -> None:
        self.key = key
        self.as_terminal = as_terminal
        self.is_heard = False
        self._job = ref(job)
        self._lives = lives
        self._since = time.monotonic()
        self._channel: Channel | None = None
        self._conversation: Conversation | None = None

    # For the view of the job in its cell

    def form(self) -> Bundle:
        """Return what a display needs beside the plain form; empty while there is none yet."""
        channel = self._opened_channel()
        return {} if channel is None else {VIEW: channel.form}

    def replaces_updates(self, now: float) -> bool:
        """Return True if a page shows the live form, or may still do so soon."""
        return self._channel is not None and self._may_be_shown(now)

    def shows_output(self, now: float) -> bool:
        """Return True if a page shows the output in the live form's terminal, or may still do so soon."""
        return self.as_terminal and self._may_be_shown(now)

    # For the live views

    @property
    def conversation(self) -> Conversation | None:
        """The conversation; None before a page was heard, and while the job rests."""
        return self._conversation

    def receive(self, message: Any) -> Act | None:
        """Take a message of a page; call it with the lock of the live views."""
        job, channel = self._job(), self._channel
        if job is None or channel is None or not isinstance(message, dict):
            return None
        self.is_heard = True
        if message.get("type") == "code":
            channel.send(*code_message())
            return None
        if self._conversation is None:
            restart, forget = self._lives.restart, self._lives.forget
            self._conversation = Conversation(
                job,
                channel.send,
                restart,
                forget,
                as_terminal=self.as_terminal,
                share=self._lives.share,
            )
        return self._conversation.receive(message)

    def flush(self) -> float:
        """Send what is due; return the time of the next call."""
        return inf if self._conversation is None else self._conversation.flush()

    @property
    def is_over(self) -> bool:
        """True if the job has ended for good, and all that was due is sent."""
        job = self._job()
        return job is not None and job.done and not job.lingers

    @property
    def is_watched(self) -> bool:
        """True if a page shows it."""
        return self._conversation is not None and self._conversation.has_pages

    def rest(self) -> None:
        """Free all but what answers the next hello; what pages it has said nothing more to is forgotten."""
        self._conversation = None
        if self._channel is not None:
            self._channel.rest()

    def farewell(self) -> None:
        """Tell the pages that the job ends with the kernel."""
        if self._conversation is not None:
            self._conversation.farewell()

    def close(self) -> None:
        """Close the view in all pages."""
        self._conversation = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    @property
    def is_lost(self) -> bool:
        """True if nobody knows the job any more."""
        return self._job() is None

    def _may_be_shown(self, now: float) -> bool:
        answers, patience = self._lives.answers, self._lives.settings.live_patience
        was_asked = self._channel is not None
        return self.is_heard or answers.may_come(self._since, now, patience, was_asked=was_asked)

    def _opened_channel(self) -> Channel | None:
        if self._channel is None:
            self._channel = self._lives.open_channel(self)
            self._since = time.monotonic()
        return self._channel


class LiveViews:
    """The live views of a kernel's jobs, as a watcher of the table of jobs.

    Any thread may call any method, unless it says otherwise.

    Args:
        jobs: the table of jobs.
        io_loop: the kernel's loop.
        open_channel: opens the way of a view's messages.
        settings: how long a page has to answer, before the plain form goes on.
        again: called on the loop when views that could not be opened may be.
    """

    def __init__(
        self,
        jobs: JobTable,
        io_loop: IOLoop,
        open_channel: OpenChannel,
        settings: Settings,
        again: Callable[[], object],
    ) -> None:
        self._again = again
        self._retrying: object | None = None
        self.settings = settings
        self.share = Share()
        self._jobs = jobs
        self._io_loop = io_loop
        self._open_channel = open_channel
        self._lock = threading.RLock()
        self._of_jobs: WeakKeyDictionary[Job, Live] = WeakKeyDictionary()
        self._all: dict[str, Live] = {}
        self._dirty: set[Live] = set()
        # Of jobs that have ended, in the order in which they were last heard.
        self._resting: OrderedDict[Live, None] = OrderedDict()
        self._made = 0
        self._is_closed = False
        self._opened: deque[float] = deque(maxlen=_MOST_AT_ONCE)
        self.answers = Answers(lambda: io_loop.add_callback(self._retry))
        self._schedule = Schedule(io_loop, self.flush_due, lambda: False)

    def of(self, job: Job, as_terminal: bool) -> Live:
        """Return the live view of a job, which every cell that shows the job has."""
        with self._lock:
            live = self._of_jobs.get(job)
            if live is None:
                self._drop_lost()
                self._made += 1
                live = self._of_jobs[job] = Live(job, self, f"{self._made}", as_terminal)
                self._all[live.key] = live
            return live

    # A watcher of the jobs

    def on_started(self, job: Job) -> None:
        """Do nothing, since a cell that shows the job makes its view."""

    def on_event(self, job: Job, event: Event) -> None:
        """Schedule what is to be told to the pages of a job."""
        live = self._of_jobs.get(job)
        if live is None:
            return
        if event.kind is EventKind.RELEASED:
            self._io_loop.add_callback(self._close, live)
            return
        conversation = live.conversation
        if conversation is None or not conversation.has_pages:
            if event.kind is EventKind.DONE:
                self._io_loop.add_callback(self._flush_soon, live)
            return
        if event.kind is EventKind.WROTE:
            self._flush_soon(live)
        else:
            if event.kind is EventKind.STARTED and event.worker is None:
                conversation.began()
            conversation.changed()
            # Never here: the job is locked while it tells this, and a thread that flushes may want that lock.
            self._io_loop.add_callback(self._flush_soon, live)

    # A publisher, for the loop and its stand-in

    def flush_due(self) -> float:
        """Send what is due; return the time of the next call."""
        with self._lock:
            due = inf
            for live in list(self._dirty):
                self._dirty.discard(live)
                try:
                    own = live.flush()
                except Exception:
                    # A view that fails must not stop the others.
                    log.exception("The live view %s failed.", live.key)
                    continue
                if own < inf:
                    self._dirty.add(live)
                elif live.is_over:
                    self._let_rest(live)
                due = min(due, own)
            return due

    def tick(self) -> None:
        """Send what is due, and set the timer for the next time; call on the loop."""
        self._schedule.tick()

    # From pages

    def receive(self, key: str, message: Any) -> None:
        """Take a message of a page for the view of that key."""
        live = self._all.get(key)
        if live is None:
            return
        with self._lock:
            act = live.receive(message)
            self._dirty.add(live)
        self.answers.came()
        if act is not None:
            # Without the lock: it may lock the job.
            note = act()
            if note and (conversation := live.conversation) is not None:
                with self._lock:
                    conversation.note(message.get("page"), note)
        self.flush_due()
        self._schedule.soon()

    def restart(self, job: Job) -> None:
        """Restart a job, on the loop."""

        def failed(sentence: str) -> None:
            live = self._of_jobs.get(job)
            if live is not None and live.conversation is not None:
                live.conversation.note(None, sentence)

        restart_on(self._io_loop, job, failed)

    def forget(self, job: Job) -> None:
        """Forget a job that has ended."""
        self._jobs.forget_all([job])

    # Their life

    def open_channel(self, live: Live) -> Channel | None:
        """Open the way of a view's messages; None while that is not possible, or many have just been opened.

        A cell may start hundreds of jobs, most of which have ended before anybody could look at them. Those
        that go on get theirs when their status is shown anew. Nor is it where no answer is expected.
        """
        now = time.monotonic()
        if not (live.as_terminal or self.answers.are_expected(self.settings.live_patience)):
            return None
        if not live.as_terminal and len(self._opened) == _MOST_AT_ONCE and self._opened[0] > now - 1.0:
            self._io_loop.add_callback(self._retry)
            return None
        self._opened.append(now)
        kind = "terminal" if live.as_terminal else "status"
        return self._open_channel(live.key, kind, lambda message: self.receive(live.key, message))

    def farewell(self) -> None:
        """Tell all pages that the jobs that run end with the kernel."""
        with self._lock:
            for live in list(self._all.values()):
                try:
                    live.farewell()
                except Exception:
                    log.exception("The live view %s failed.", live.key)

    def close(self) -> None:
        """Close all views; call on the loop."""
        with self._lock:
            self._is_closed = True
            if self._retrying is not None:
                self._io_loop.remove_timeout(self._retrying)
            self._schedule.close()
            for live in list(self._all.values()):
                live.close()
            self._all.clear()
            self._of_jobs.clear()
            self._dirty.clear()
            self._resting.clear()

    def _retry(self) -> None:
        """Let those be opened in a second that could not be now."""

        def again() -> None:
            self._retrying = None
            self._again()

        if self._retrying is None and not self._is_closed:
            self._retrying = self._io_loop.call_later(1.0, again)

    def _flush_soon(self, live: Live) -> None:
        self._dirty.add(live)
        self._schedule.soon()

    def _let_rest(self, live: Live) -> None:
        """Free an ended job's view; of those that a page still shows, all but the last few."""
        self._resting.pop(live, None)
        if not live.is_watched:
            live.rest()
            return
        self._resting[live] = None
        while len(self._resting) > _MOST_WATCHED:
            self._resting.popitem(last=False)[0].rest()

    def _close(self, live: Live) -> None:
        with self._lock:
            self._all.pop(live.key, None)
            self._dirty.discard(live)
            self._resting.pop(live, None)
            live.close()

    def _drop_lost(self) -> None:
        """Close the oldest views of jobs that nobody knows any more."""
        for live in list(self._all.values())[:4]:
            if not live.is_lost:
                break
            self._close(live)
