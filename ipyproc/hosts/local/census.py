"""Looks at the processes of sessions, in a thread of its own: the loop is not to wait for the system."""

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
"""How long it rests between two looks, in the time that a look took."""

Answer = Callable[[list[Member]], None]


class Census:
    """Answers who is in a session; one look over the system's processes answers all who have asked by then.

    The thread runs while somebody waits for an answer, and for a moment after that. Any thread may ask.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._asked: list[tuple[float, int, Answer]] = []
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()

    def ask(self, sid: int, answer: Answer, after: float = 0.0) -> None:
        """Have ``answer`` called with the living members of a session.

        It is called in the thread of the census, and takes no lock. An exception of its own is logged.

        Args:
            sid: the session.
            answer: takes its members; none are left when there are none.
            after: seconds to wait before looking.
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
                # No fd is left, for one: those who asked are to have their answer later.
                log.exception("Looking at the processes of jobs failed.")
                with self._condition:
                    self._asked += due
                time.sleep(_IDLE_SECONDS)
            took = time.monotonic() - began
            # Where there are thousands of processes a look takes its time, and the loop wants some too.
            time.sleep(min(0.1, took * _REST))

    def _wait(self) -> bool:
        """Wait until an answer is due; False when nobody has asked for a while."""
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
