"""List the processes of sessions in a thread of its own, so that the loop does not wait for the system."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from ipyproc.process.platform.sessions import Member, find_members

__all__ = ["Census"]

log = logging.getLogger("ipyproc")

_IDLE_SECONDS = 0.05
_REST = 2.0
"""The pause between two scans, as a multiple of the time that a scan took."""

Answer = Callable[[list[Member]], None]


class Census:
    """Answer requests for the members of sessions; one scan of the system answers all requests made by then.

    The thread runs while a request waits, and for a moment after that. Any thread may call `ask`.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._asked: list[tuple[float, int, Answer]] = []
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()

    def ask(self, sid: int, answer: Answer, after: float = 0.0) -> None:
        """Call ``answer`` with the running members of a session.

        It is called on the thread of the census, and must take no lock. An exception that it raises is
        logged.

        Args:
            sid: the session.
            answer: called with the members; with an empty list if the session has none.
            after: the seconds to wait before the scan.
        """
        with self._condition:
            self._asked.append((time.monotonic() + after, sid, answer))
            if self._thread is None and self._owner == os.getpid():
                self._thread = threading.Thread(target=self._run, name="ipyproc census", daemon=True)
                self._thread.start()
            self._condition.notify()

    def _run(self) -> None:
        took = 0.0
        while True:
            with self._condition:
                if not self._wait():
                    self._thread = None
                    return
                now = time.monotonic()
                due = [entry for entry in self._asked if entry[0] <= now]
                self._asked = [entry for entry in self._asked if entry[0] > now]
            began = time.monotonic()
            try:
                found = find_members({sid for _, sid, _ in due})
                for _, sid, answer in due:
                    answer(found[sid])
            except Exception:
                # There may be no fd left: the requests are answered later.
                log.exception("Looking at the processes of jobs failed.")
                with self._condition:
                    self._asked += due
                time.sleep(_IDLE_SECONDS)
            took = time.monotonic() - began
            # A scan of thousands of processes takes long, and the loop needs the interpreter in between.
            time.sleep(min(0.1, took * _REST))

    def _wait(self) -> bool:
        """Wait until an answer is due; return False if no request came for a while."""
        idle_until = time.monotonic() + _IDLE_SECONDS
        while True:
            now = time.monotonic()
            if self._asked:
                due = min(entry[0] for entry in self._asked)
                if due <= now:
                    return True
                self._condition.wait(due - now)
                idle_until = time.monotonic() + _IDLE_SECONDS
            elif now >= idle_until:
                return False
            else:
                self._condition.wait(idle_until - now)
