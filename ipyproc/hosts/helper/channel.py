"""A worker's end of the wire: what it tells its helper of itself, and the barrier."""

from __future__ import annotations

import os
import time

from ipyproc.hosts.helper.wire import encode

__all__ = ["Channel"]


class Channel:
    """Leads from a worker to its helper, which passes on what comes.

    Args:
        task_id: whose it is.
        up: where to write.
        gate: one byte comes out of it for each worker that may pass the barrier.
    """

    def __init__(self, task_id: int, up: int, gate: int) -> None:
        self._task_id = task_id
        self._up = up
        self._gate = gate

    def barrier(self) -> None:
        """Says that this worker is ready, and waits until the kernel lets those that are begin."""
        self._send(encode("ready", task=self._task_id))
        while True:
            try:
                os.read(self._gate, 1)
            except BlockingIOError:
                continue
            return

    def measure(self, operations: int, **figures: object) -> None:
        """Tells how many operations this worker has done since it began, and further figures.

        The live table shows operations a second when this is called from time to time::

            while True:
                handle(next(requests))
                done += 1
                measure(done)

        Args:
            operations: a number that only grows.
            figures: anything that JSON can hold.
        """
        body = b""
        if figures:
            import json  # not before it is needed: a worker that measures nothing need not wait for it

            body = json.dumps(figures).encode()
        now = time.monotonic()
        self._send(encode("measure", body, task=self._task_id, operations=int(operations), at=now))

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._up, data) :]
        except BrokenPipeError:
            pass  # The helper is gone; the signal that ends this worker is on its way.
