"""The live form of a table of jobs: the rows, told to the pages that show it, and what their buttons do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipyproc.widget.acts import act_of, restart_on
from ipyproc.widget.bundle import code_message
from ipyproc.widget.lives import VIEW
from ipyproc.widget.status import is_new, row

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from ipyproc.job.job import Job
    from ipyproc.safe import SafeText
    from ipyproc.views.cell import Bundle
    from ipyproc.views.live import MeasuredJob
    from ipyproc.views.live_table import TableOfJobs
    from ipyproc.widget.answers import Answers
    from ipyproc.widget.lives import Channel, OpenChannel, Settings

__all__ = ["LiveTables", "TableForm"]

_MOST_PAGES = 20
_MOST_LEFT = 5
_LONGEST_KEY = 100
_ACTS = ("stop", "restart", "signal", "forget")
_NOT_SHOWN = "This table does not show that job; %jobs shows all."
_OVER = "This table has ended; run %jobs for another."


class TableForm:
    """The live form of one table of jobs. Any thread may call any method.

    Args:
        jobs: the jobs that the table shows.
        tables: the live tables of the kernel.
        key: a text that identifies the table.
    """

    most_rows = 200

    def __init__(self, jobs: TableOfJobs, tables: LiveTables, key: str) -> None:
        self.key = key
        self.is_heard = False
        self._jobs: TableOfJobs | None = jobs
        self._tables = tables
        self._channel: Channel | None = None
        self._lock = threading.RLock()
        self._since = time.monotonic()
        self._told: dict[str, Any] = {}
        self._pages: dict[str, None] = {}
        self._had_late_page = False

    # For the table in its cell

    def form(self) -> Bundle:
        """Return what a display needs beside the plain form; empty while there is none yet."""
        if self._channel is None:
            self._channel = self._tables.open_channel(self)
            self._since = time.monotonic()
        form: SafeText | None = None if self._channel is None else self._channel.form
        return {} if form is None else {VIEW: form}

    def may_be_shown(self, now: float) -> bool:
        """Return True if a page shows it, or may still do so soon."""
        answers, patience = self._tables.answers, self._tables.settings.live_patience
        was_asked = self._channel is not None
        return self.is_heard or answers.may_come(self._since, now, patience, was_asked=was_asked)

    def tell(self, jobs: Sequence[MeasuredJob], caption: str, *, over: bool = False) -> None:
        """Tell the pages what is new.

        Args:
            jobs: the jobs to show.
            caption: what is said of those that are not shown; empty for nothing.
            over: whether this is the last time: no button does anything from here on. The form is freed but
                for the message, which answers pages that are loaded later.
        """
        rows = [row(job) for job in jobs]
        told: dict[str, Any] = {"type": "table", "rows": rows, "over": over}
        if caption:
            told["caption"] = caption
        with self._lock:
            if over or _differ(self._told, told):
                self._told = told
                if self._pages:
                    self._send(told)
            if over:
                self._jobs = None
                if self._channel is not None:
                    self._channel.rest()
        if over:
            self._tables.leave(self)

    def close(self) -> None:
        """Close it in all pages."""
        with self._lock:
            channel, self._channel, self._jobs = self._channel, None, None
        self._tables.forget(self)
        if channel is not None:
            channel.close()

    # From pages

    def receive(self, message: Any) -> None:
        """Take a message of a page."""
        if not isinstance(message, dict) or self._channel is None:
            return
        self.is_heard = True
        self._tables.answers.came()
        kind, page = message.get("type"), message.get("page")
        if kind == "code":
            self._send(*code_message())
        elif not isinstance(page, str) or not 0 < len(page) <= _LONGEST_KEY:
            return
        elif kind == "hello":
            self._greet(page, message.get("age"))
        elif kind == "bye":
            self._lose(page)
        elif kind == "act":
            self._act(page, message)

    def _greet(self, page: str, age: object) -> None:
        with self._lock:
            # The display of a page that was loaded after the cell ran is not updated.
            is_late = not isinstance(age, (int, float)) or age < time.monotonic() - self._since
            self._had_late_page = self._had_late_page or is_late
            self._pages.pop(page, None)
            self._pages[page] = None
            while len(self._pages) > _MOST_PAGES:
                self._pages.pop(next(iter(self._pages)))
            self._send({**self._told, "page": page})

    def _lose(self, page: str) -> None:
        with self._lock:
            was_there = page in self._pages
            self._pages.pop(page, None)
            is_unused = was_there and self._jobs is None and not self._pages and not self._had_late_page
        if is_unused:
            # All pages have the plain form in its place.
            self._tables.close_soon(self)

    def _act(self, page: str, message: Mapping[str, Any]) -> None:
        what, name = message.get("do"), message.get("name")
        job = self._job_called(name)
        if job is None:
            note: str | None = _OVER if self._jobs is None else _NOT_SHOWN
        else:
            what = what if what in _ACTS else None
            tables = self._tables

            def restart(job: Job) -> None:
                tables.restart(job, lambda text: self._note(page, text))

            # Without the lock: it may lock the job.
            note = act_of(job, what, message.get("signal"), None, restart, tables.forget_job)()
        if note:
            self._note(page, note)

    def _job_called(self, name: object) -> Job | None:
        """Return a job by the name that a row of the page has."""
        with self._lock:
            jobs, rows = self._jobs, self._told.get("rows", ())
            if jobs is None or all(row["name"] != name for row in rows):
                return None
        return next((job for job in jobs if job.name == name), None)

    def _note(self, page: str, text: str) -> None:
        self._send({"type": "note", "page": page, "text": text})

    def _send(self, message: Mapping[str, object], buffers: Sequence[bytes] = ()) -> None:
        if (channel := self._channel) is not None:
            channel.send(message, buffers)


class LiveTables:
    """The live forms of the tables of jobs in a kernel's pages.

    Args:
        io_loop: the kernel's loop.
        open_channel: opens the way of a form's messages.
        settings: how long a page has to answer, before the plain form goes on.
        answers: whether pages answer.
        forget_job: forgets a job that has ended.
    """

    def __init__(
        self,
        io_loop: IOLoop,
        open_channel: OpenChannel,
        settings: Settings,
        answers: Answers,
        forget_job: Callable[[Job], None],
    ) -> None:
        self.settings = settings
        self.answers = answers
        self.forget_job = forget_job
        self._io_loop = io_loop
        self._open_channel = open_channel
        self._all: dict[str, TableForm] = {}
        # Of tables that have ended, and that a page may still ask for.
        self._left: deque[TableForm] = deque()
        self._made = 0

    def of(self, jobs: TableOfJobs) -> TableForm:
        """Return a live form of a table of these jobs."""
        self._made += 1
        return TableForm(jobs, self, f"table {self._made}")

    def open_channel(self, table: TableForm) -> Channel | None:
        """Open the way of a table's messages; None while that is not possible, or no answer is expected."""
        if not self.answers.are_expected(self.settings.live_patience):
            return None
        channel = self._open_channel(table.key, "table", table.receive)
        if channel is not None:
            self._all[table.key] = table
        return channel

    def receive(self, key: str, message: Any) -> bool:
        """Take a message of a page for the table of that key; return False if there is none."""
        table = self._all.get(key)
        if table is not None:
            table.receive(message)
        return table is not None

    def restart(self, job: Job, failed: Callable[[str], object]) -> None:
        """Restart a job, on the loop; call ``failed`` with the sentence of an error."""
        restart_on(self._io_loop, job, failed)

    def leave(self, table: TableForm) -> None:
        """Keep a table that has ended, for pages that ask for it; but only the last few."""
        if table.key in self._all:
            self._left.append(table)
            while len(self._left) > _MOST_LEFT:
                self._left.popleft().close()

    def forget(self, table: TableForm) -> None:
        """Forget a table that is closed."""
        self._all.pop(table.key, None)
        if table in self._left:
            self._left.remove(table)

    def close_soon(self, table: TableForm) -> None:
        """Close a table, on the loop."""
        self._io_loop.add_callback(table.close)

    def close(self) -> None:
        """Close all tables; call on the loop."""
        for table in list(self._all.values()):
            table.close()


def _differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return True if a page that knows ``before`` has something else to show."""
    rows, others = before.get("rows", ()), now["rows"]
    if len(rows) != len(others) or before.get("caption") != now.get("caption"):
        return True
    return any(is_new(row, other) for row, other in zip(rows, others, strict=True))
