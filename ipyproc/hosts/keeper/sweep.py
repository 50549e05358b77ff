"""Housekeeping: what is kept of jobs that have ended goes when it is old, or is much."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from ipyproc.errors import JobStateError
from ipyproc.hosts.keeper.places import Place, all_places, remove
from ipyproc.hosts.keeper.record import boot_id, read_record

__all__ = ["sweep"]

_STALE_SECONDS = 86400.0


def sweep(max_seconds: float, max_bytes: int, now: float | None = None) -> list[str]:
    """Remove what is kept of jobs that have ended, and return the ids of those.

    Those go that ended longer ago than ``max_seconds``, and then the oldest until all that have ended have
    ``max_bytes`` together. A clock that was set back removes nothing early. Directories without a record, of
    a start that was killed, go after a day.

    Args:
        max_seconds: likewise.
        max_bytes: likewise.
        now: the time, in seconds since the epoch; None for that of the clock.

    Raises:
        PermissionError: others have access to the directory of kept jobs.
    """
    now = time.time() if now is None else now
    ended: list[tuple[float, int, Place]] = []
    gone: list[Place] = []
    for place in all_places():
        try:
            record = read_record(place)
        except JobStateError:
            if not os.path.exists(place.file("record.json")) and now - _changed(place) > _STALE_SECONDS:
                gone.append(place)
            continue
        is_over = record.status.state.done and not record.status.left
        if is_over or (record.boot and record.boot != boot_id()):
            # Not when that was written, which a runner does once more before it goes.
            at = record.events[-1].at if record.events else record.written
            ended.append((at, _size(place), place))
    total = sum(size for _, size, _ in ended)
    for at, size, place in sorted(ended, key=lambda one: one[0]):
        if now - at > max_seconds or total > max_bytes:
            gone.append(place)
            total -= size
    for place in gone:
        remove(place)
    return [place.id for place in gone]


def _size(place: Place) -> int:
    size = 0
    for directory, _, names in os.walk(place.path):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(directory, name)).st_size
    return size


def _changed(place: Place) -> float:
    try:
        return os.stat(place.path).st_mtime
    except OSError:
        return float("inf")
